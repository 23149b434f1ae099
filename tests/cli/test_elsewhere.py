"""Looking after an API where it was published to: the verbs that look and steer, with --remote."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from local_server.accounts import passwords
from local_server.cli.program import program, terminal_ui
from local_server.client import sessions
from local_server.client.asynchronous import AsyncClient
from local_server.client.errors import ApimarketClientError
from tests.control.conftest import Running, serving, wait_for

Run = Callable[..., Result]
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """With two versions of `ana/weather`, one of which has the traffic."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "ROUNDS", 4)
        root = tmp_path_factory.mktemp("elsewhere")
        with serving(root / "home") as started:
            (root / "weather").mkdir()
            (root / "weather" / "main.py").write_text("def handler(request):\n    return {}\n")
            (root / "weather" / "answer.txt").write_text("sunny")
            assert started.ask("POST", "/api/v1/apis", {"directory": str(root / "weather")}).status == 201
            wait_for(lambda: started.ask("GET", "/api/v1/apis/weather").json["serving"])
            for number in ("1.0.0", "1.1.0"):
                assert started.ask("POST", "/api/v1/apis/weather/deploy", {"version": number}).status == 202
                wait_for(partial(_has_all, started, number))
            yield started


def _has_all(market: Running, number: str) -> bool:
    return bool(market.ask("GET", "/api/v1/apis/weather").json["shares"] == {number: 100})


def session_of(market: Running, handle: str) -> str:
    for act in ("signup", "login"):
        body = {"login": handle, "password": PASSWORD} if act == "login" else {"handle": handle, "password": PASSWORD}
        answer = market.ask("POST", f"/api/v1/auth/{act}", body)
        if answer.status < 300:
            return str(answer.json["token"])
    raise AssertionError(answer.json)


@pytest.fixture
def run(market: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """On a laptop where no server runs."""
    monkeypatch.setenv("APIMARKET_HOME", str(tmp_path))
    monkeypatch.delenv("APIMARKET_URL", raising=False)
    monkeypatch.delenv("APIMARKET_TOKEN", raising=False)
    url = f"http://127.0.0.1:{market.port}"

    def invoke(*args: str, as_: str | None = "ana") -> Result:
        sessions.forget(tmp_path, url)
        if as_ is not None:
            kept: sessions.Kept = {
                "token": session_of(market, as_), "handle": as_, "expires_at": "2099-01-01T00:00:00+00:00"
            }  # fmt: skip
            sessions.keep(tmp_path, url, kept)
        return CliRunner().invoke(program, [*args, "--remote", url], prog_name="apimarket")

    return invoke


def test_its_owner_looks_at_it(run: Run) -> None:
    assert "ana/weather" in run("status", "weather").stdout
    assert "weather" in run("ls").stdout
    versions = json.loads(run("versions", "weather", "--json").stdout)
    assert [(one["version"], one["weight"]) for one in versions] == [("1.1.0", 100), ("1.0.0", 0)]
    assert json.loads(run("stats", "weather", "--json").stdout)["requests"] == 0
    assert json.loads(run("history", "weather", "--json").stdout)["requests"] == []
    assert "g1" in run("logs", "weather", "--version", "1.1.0").stdout


def test_its_owner_steers_it(run: Run) -> None:
    assert "1.0.0 100 %" in run("rollback", "weather", "1.0.0").stdout
    assert "1.1.0 100 %" in run("traffic", "weather", "1.1.0").stdout
    assert "@beta" in run("channels", "weather", "beta", "1.0.0").stdout
    mistyped = run("channels", "weather", "betta", "--remove")
    assert ("has no channel 'betta'" in mistyped.stderr, "@beta" in mistyped.stdout) == (True, True)
    assert "ends 2099-01-31" in run("deprecate", "weather", "1.0.0", "--sunset", "2099-01-31").stdout
    assert "1.0.0 is stopped" in run("stop", "weather", "--version", "1.0.0").stdout
    assert run("restart", "weather", "--wait").exit_code == 0


def test_of_others_it_is_told_that_there_is_none(run: Run) -> None:
    for verb in ("status", "logs", "stats", "versions", "restart"):
        told = run(verb, "ana/weather", as_="bob")
        assert (told.exit_code, "No API" in told.stderr) == (1, True), verb


def test_who_is_not_logged_in_is_told_how(run: Run, market: Running) -> None:
    told = run("status", "weather", as_=None)
    assert told.exit_code == 1
    assert f"apimarket login NAME --remote http://127.0.0.1:{market.port}" in told.stderr


async def test_the_terminal_ui_is_let_in_by_the_same_session(
    run: Run, market: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{market.port}"
    assert run("ls").exit_code == 0
    monkeypatch.setenv("APIMARKET_URL", url)
    backends: list[AsyncClient] = []

    def open_ui(backend: AsyncClient, home: Path, connect: object, *, by_session: bool) -> int:
        assert (home, by_session) == (tmp_path, True)
        backends.append(backend)
        return 0

    monkeypatch.setattr("apimarket_tui.app.run", open_ui)
    with pytest.raises(SystemExit):
        terminal_ui()
    async with backends[0] as backend:
        assert [api.name for api in await backend.apis()] == ["weather"]
        backend.use_token("")
        with pytest.raises(ApimarketClientError) as refused:
            await backend.apis()
        assert refused.value.status == 401


def test_its_log_is_followed_by_asking(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    def pause(_: float) -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", pause)
    told = run("logs", "weather", "--version", "1.1.0", "--follow")
    assert (told.exit_code, asked) == (0, 3)
    lines = told.stdout.splitlines()
    assert lines
    assert len(lines) == len(set(lines))


def test_where_no_server_runs_the_one_logged_in_to_is_meant(
    run: Run, market: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("ls")
    url = f"http://127.0.0.1:{market.port}"
    here = CliRunner().invoke(program, ["whoami"])
    assert "ana" in here.stdout
    assert "until 2099" in here.stdout
    monkeypatch.setenv("APIMARKET_URL", url)
    monkeypatch.setenv("APIMARKET_TOKEN", session_of(market, "bob"))
    sessions.keep(
        tmp_path, "https://market.example", {"token": "t", "handle": "eve", "expires_at": "2099-01-01T00:00Z"}
    )
    assert "eve at https://market.example, until 2099-01-01" in CliRunner().invoke(program, ["whoami"]).stdout


def test_it_is_removed_only_on_purpose(run: Run) -> None:
    assert run("rm", "weather").exit_code == 2
    assert run("rm", "ana/weather", "--yes", as_="bob").exit_code == 1
    assert run("status", "weather").exit_code == 0


def test_the_server_itself_is_not_stopped_from_afar(run: Run) -> None:
    assert run("stop").exit_code == 2
