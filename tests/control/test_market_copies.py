"""A laptop and a marketplace, both whole servers: the catalogue of the one is searched on the other, also when it is
away."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from local_server.accounts import passwords
from local_server.cli.program import program
from tests.control.conftest import Running, serving, wait_for
from tests.control.test_market import MANIFEST, an_account


@dataclass
class Pair:
    laptop: Running
    hub: Running
    hub_stack: ExitStack

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.hub.port}"

    def search(self, **query: str) -> Any:
        asked = "&".join(f"{key}={value}" for key, value in {"remote": self.url, **query}.items())
        return self.laptop.ask("GET", f"/api/v1/market/search?{asked}")

    def copy(self) -> Any:
        answer = self.laptop.ask("POST", "/api/v1/market/copies", {"remote": self.url})
        assert answer.status == 202, answer.body
        return wait_for(self.settled)

    def settled(self) -> Any:
        (state,) = self.laptop.ask("GET", "/api/v1/market/copies").json
        return state if not state["refreshing"] else None


def publish(server: Running, directory: Path, name: str, manifest: str) -> None:
    directory.mkdir(parents=True)
    (directory / "main.py").write_text("def handler(request):\n    return {}\n")
    (directory / "answer.txt").write_text("sunny")
    (directory / "apimarket.toml").write_text(manifest.replace('"weather"', f'"{name}"'))
    assert server.ask("POST", "/api/v1/apis", {"directory": str(directory)}).status == 201
    wait_for(lambda: server.ask("GET", f"/api/v1/marketplace/apis/ana/{name}", token=None).status == 200)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack, ExitStack() as hub_stack:
        patch.setattr(passwords, "ROUNDS", 4)
        hub = hub_stack.enter_context(serving(tmp_path / "hub"))
        publish(hub, tmp_path / "weather", "weather", MANIFEST)
        publish(hub, tmp_path / "tides", "tides", MANIFEST.replace("Forecasts for any place", "Sea \u202elevels"))
        yield Pair(stack.enter_context(serving(tmp_path / "laptop")), hub, hub_stack)


class TestCopies:
    def test_first_the_marketplace_answers_then_the_copy_then_the_copy_alone(self, pair: Pair) -> None:
        away = pair.search(offline="true")
        assert (away.status, away.json["code"]) == (503, "catalogue_not_copied")
        first = pair.search(q="forec")
        assert (first.status, first.json["live"], first.json["copied"]["whole"]) == (200, True, False)
        assert pair.laptop.ask("GET", "/api/v1/market/copies").json == []  # asking once is not following
        state = pair.copy()
        assert (state["listings"], state["whole"], state["trouble"]) == (2, True, None)
        for query in ({"q": "forec"}, {"q": "sea"}, {"tag": "geo", "sort": "name"}, {"free": "true"}, {"q": "nothing"}):
            original = pair.hub.ask(
                "GET", f"/api/v1/marketplace/apis?{'&'.join(f'{key}={value}' for key, value in query.items())}"
            ).json
            copied = pair.search(**query).json
            assert {key: copied[key] for key in original} == original
            assert (copied["live"], copied["copied"]["listings"]) == (False, 2)
        pair.hub_stack.close()
        offline = pair.search(q="forec")
        assert [api["name"] for api in offline.json["apis"]] == ["ana/weather"]
        state = pair.copy()
        assert (state["whole"], state["listings"]) == (True, 2)
        assert str(pair.hub.port) in state["trouble"]

    def test_it_follows_what_changes(self, pair: Pair, tmp_path: Path) -> None:
        pair.copy()
        publish(pair.hub, tmp_path / "moon", "moon", MANIFEST)
        assert pair.hub.ask("DELETE", "/api/v1/apis/tides").status == 204
        path = "/api/v1/marketplace/apis/ana/tides"
        wait_for(lambda: pair.hub.ask("GET", path, token=None).status == 404)
        pair.copy()
        names = [api["name"] for api in pair.search(sort="name").json["apis"]]
        assert names == ["ana/moon", "ana/weather"]

    def test_it_can_be_forgotten(self, pair: Pair) -> None:
        pair.copy()
        gone = pair.laptop.ask("DELETE", f"/api/v1/market/copies?remote={pair.url}")
        again = pair.laptop.ask("DELETE", f"/api/v1/market/copies?remote={pair.url}")
        assert (gone.status, again.status, again.json["code"]) == (204, 404, "copy_not_found")
        assert pair.search(offline="true").status == 503

    @pytest.mark.parametrize("remote", ["http://hub.example", "ftp://127.0.0.1", "", "file:///etc/passwd"])
    def test_no_address_in_the_clear(self, pair: Pair, remote: str) -> None:
        for answer in (
            pair.laptop.ask("GET", f"/api/v1/market/search?remote={remote}"),
            pair.laptop.ask("POST", "/api/v1/market/copies", {"remote": remote}),
        ):
            assert (answer.status, answer.json["code"]) == (422, "no_remote")

    def test_accounts_do_not_use_this_machines_lines(self, pair: Pair) -> None:
        token = an_account(pair.laptop)
        answer = pair.laptop.ask("GET", f"/api/v1/market/search?remote={pair.url}", token=token)
        assert (answer.status, answer.json["code"]) == (403, "machine_owner_only")

    def test_the_feed_is_squeezed_for_who_can_read_that(self, pair: Pair) -> None:
        path = "/api/v1/marketplace/catalogue"
        squeezed = pair.hub.ask("GET", path, headers={"Accept-Encoding": "gzip"}, token=None)
        plain = pair.hub.ask("GET", path, token=None)
        assert (squeezed.headers["content-encoding"], "content-encoding" in plain.headers) == ("gzip", False)
        import gzip

        assert json.loads(gzip.decompress(squeezed.body)) == plain.json
        assert plain.json["origin"]


@pytest.fixture
def run(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("APIMARKET_URL", f"http://127.0.0.1:{pair.laptop.port}")
    monkeypatch.setenv("APIMARKET_TOKEN", pair.laptop.token)

    def invoke(*args: str) -> Result:
        return CliRunner().invoke(program, [*args], prog_name="apimarket")

    return invoke


class TestCommand:
    def test_search_falls_back_to_the_copy(self, pair: Pair, run: Callable[..., Result]) -> None:
        asked = ("search", "forec", "--remote", pair.url)
        live = run(*asked)
        assert (live.exit_code, "ana/weather" in live.stdout, live.stderr) == (0, True, "")
        none = run(*asked, "--offline")
        assert (none.exit_code, "never copied" in none.stderr) == (1, True)
        pair.copy()
        offline = run(*asked, "--offline")
        assert (offline.exit_code, offline.stdout) == (0, live.stdout)
        assert "up to date, 2 APIs" in offline.stderr
        pair.hub_stack.close()
        away = run(*asked)
        assert (away.exit_code, away.stdout) == (0, live.stdout)
        assert "From the copy of" in away.stderr
        assert json.loads(run(*asked, "--json").stdout)["copied"]["whole"]
        sea = run("search", "sea", "--remote", pair.url, "--offline")
        assert ("ana/tides" in sea.stdout, "\u202e" in sea.stdout) == (True, False)
