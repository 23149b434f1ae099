"""What the environment says, and what it may not say."""

from pathlib import Path

import pytest

from local_server.domain.server_errors import SettingRefused
from local_server.settings import read_settings


@pytest.mark.parametrize("said", ["a.example,b.example", " a.example , b.example,", '["a.example", "b.example"]'])
def test_host_names_with_commas_or_as_json(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("APIMARKET_ALLOWED_HOSTS", said)
    assert read_settings({}).allowed_hosts == ("a.example", "b.example")


def test_no_host_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APIMARKET_ALLOWED_HOSTS", "")
    assert read_settings({}).allowed_hosts == ()


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("APIMARKET_SIGNUPS", "maybe", "'open' or 'closed'"),
        ("APIMARKET_PUBLISH_FILES", "20001", "less than or equal to 20000"),
        ("APIMARKET_DRAIN_S", "soon", "valid number"),
        ("APIMARKET_INSPECT", "-1", "greater than or equal to 0"),
        ("APIMARKET_ALLOWED_HOSTS", "{}", "{}: input should be a valid tuple"),
        ("APIMARKET_OWNER", "Ana B", "a letter first"),
    ],
)
def test_a_wrong_value_is_told_with_its_variable_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, allowed: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingRefused) as refused:
        read_settings({})
    assert refused.value.detail.startswith(f"{variable} is ")
    assert allowed in refused.value.detail


def test_a_database_is_never_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APIMARKET_DATABASE", "mysql://ana:hunter2@db.example/market")
    with pytest.raises(SettingRefused) as refused:
        read_settings({})
    assert "postgresql://" in refused.value.detail
    assert "hunter2" not in refused.value.detail


def test_what_is_given_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APIMARKET_PORT", "8081")
    assert read_settings({"port": 9000}).port == 9000


def test_lower_publish_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APIMARKET_PUBLISH_TREE_BYTES", "1000")
    limits = read_settings({}).publish_limits
    assert (limits.tree_bytes, limits.staged_bytes) == (1000, 4000)


class TestTheDatabaseOfADataDirectory:
    def embedded(self, home: Path) -> Path:
        (home / "postgres" / "data").mkdir(parents=True)
        (home / "postgres" / "data" / "PG_VERSION").write_text("18\n")
        return home

    def test_a_marketplace_goes_on_with_its_own(self, tmp_path: Path) -> None:
        settings = read_settings({"home": self.embedded(tmp_path), "database": ""})
        assert (settings.database.get_secret_value(), settings.profile) == ("embedded", "hosted")

    def test_what_is_named_goes_before_it(self, tmp_path: Path) -> None:
        settings = read_settings({"home": self.embedded(tmp_path), "database": "postgresql://db.example/market"})
        assert settings.database.get_secret_value() == "postgresql://db.example/market"

    def test_a_laptop_that_tried_one_out_stays_a_laptop(self, tmp_path: Path) -> None:
        (self.embedded(tmp_path) / "registry.db").touch()
        settings = read_settings({"home": tmp_path, "database": ""})
        assert (settings.database.get_secret_value(), settings.profile) == ("", "local")
