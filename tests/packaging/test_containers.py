"""The image and the compose file, as far as they can be read."""

import re
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")


@pytest.fixture
def compose() -> Any:
    return yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))


class TestImage:
    def test_installs_what_is_locked_and_nothing_else(self) -> None:
        assert re.findall(r"pip install .*", DOCKERFILE) == [
            "pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock"
        ]

    def test_does_not_run_as_root(self) -> None:
        user = re.search(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE)
        assert user is not None
        assert int(user[1]) > 0
        assert DOCKERFILE.index("USER ") < DOCKERFILE.index("ENTRYPOINT")

    def test_takes_only_what_it_copies_from_here(self) -> None:
        wanted = set(re.findall(r"^COPY (\S+) ", DOCKERFILE, re.MULTILINE))
        allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
        assert wanted == allowed
        assert all((ROOT / name).exists() for name in wanted)


class TestCompose:
    def test_no_secret_stands_in_it(self, compose: Any) -> None:
        for service in compose["services"].values():
            for name, value in service["environment"].items():
                if "PASSWORD" in name or "://" in value:
                    assert "${POSTGRES_PASSWORD" in value

    def test_the_server_waits_for_a_healthy_database(self, compose: Any) -> None:
        services = compose["services"]
        assert services["server"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
        assert "pg_isready" in services["postgres"]["healthcheck"]["test"][1]
        assert "HEALTHCHECK" in DOCKERFILE

    def test_what_is_kept_is_in_volumes(self, compose: Any) -> None:
        mounted = [volume.partition(":")[0] for one in compose["services"].values() for volume in one["volumes"]]
        assert set(compose["volumes"]) <= set(mounted)

    def test_it_is_reached_from_this_machine_alone_until_somebody_decides_otherwise(self, compose: Any) -> None:
        ports = [port for one in compose["services"].values() for port in one.get("ports", [])]
        assert ports == ["127.0.0.1:8080:8080"]

    def test_the_server_has_no_more_rights_than_it_needs(self, compose: Any) -> None:
        server = compose["services"]["server"]
        assert server["cap_drop"] == ["ALL"]
        assert server["security_opt"] == ["no-new-privileges:true"]
