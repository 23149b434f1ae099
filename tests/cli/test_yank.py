"""A version taken out of sight and put back, from a laptop on a marketplace."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from local_server.accounts import passwords
from local_server.cli.program import program
from local_server.client import sessions
from tests.control.conftest import serving
from tests.control.test_publishing import registered


def test_out_of_sight_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "ROUNDS", 4)
    with serving(tmp_path / "market") as market, serving(tmp_path / "laptop") as laptop:
        url = f"http://127.0.0.1:{market.port}"
        begun = market.ask("POST", "/api/v1/auth/signup", {"handle": "bob", "password": "correct horse battery"})
        kept: sessions.Kept = {"token": begun.json["token"], "handle": "bob", "expires_at": "2099-01-01T00:00:00Z"}
        sessions.keep(laptop.home, url, kept)
        registered(laptop, tmp_path / "tides", "tides")
        monkeypatch.setenv("APIMARKET_HOME", str(laptop.home))

        def run(*args: str) -> Result:
            return CliRunner().invoke(program, [*args], prog_name="apimarket")

        def yanked() -> object:
            return market.ask("GET", "/api/v1/sync/apis/bob/tides", token=kept["token"]).json["refs"]["yanked"]

        assert run("publish", "tides", "--version", "1.0.0").exit_code == 0
        assert run("yank", "tides", "1.0.0").exit_code == 2
        assert run("yank", "tides", "1.0.0", "--undo", "--reason", "x").exit_code == 2
        assert "is yanked: leaks" in run("yank", "tides", "1.0.0", "--reason", "leaks").stdout
        assert yanked() == {"1.0.0": "leaks"}
        assert "1.0.0 is yanked: leaks" in run("sync").stdout
        assert "1.0.0 is yanked: leaks" in run("pull", "tides").stdout
        assert "in sight again" in run("yank", "tides", "1.0.0", "--undo").stdout
        assert yanked() == {}
        assert "yanked" not in run("sync").stdout
