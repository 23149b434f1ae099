"""Somebody's API, pulled and pulled again, by the commands."""

import json
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from local_server.cli.program import program
from local_server.client import sessions
from tests.control.conftest import Running, serving, wait_for
from tests.control.test_publishing import registered
from tests.sync.fake_marketplace import FakeMarketplace, a_marketplace

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def market() -> Iterator[FakeMarketplace]:
    with a_marketplace() as found:
        yield found


@pytest.fixture(scope="module")
def anas(tmp_path_factory: pytest.TempPathFactory, market: FakeMarketplace) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("ana")
    with serving(root / "home") as started:
        sessions.keep(started.home, market.url, {"token": "ana-token", "handle": "ana", "expires_at": "2099-01-01"})
        registered(started, root / "weather", "weather")
        yield started


@pytest.fixture(scope="module")
def bobs(tmp_path_factory: pytest.TempPathFactory, market: FakeMarketplace) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("bob")
    with serving(root / "home") as started:
        sessions.keep(started.home, market.url, {"token": "bob-token", "handle": "bob", "expires_at": "2099-01-01"})
        yield started


@pytest.fixture
def publish(anas: Running, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let the API answer something else, and publish that."""

    def act(text: str) -> None:
        monkeypatch.setenv("APIMARKET_HOME", str(anas.home))
        before = anas.ask("GET", "/api/v1/apis/weather").json["serving"]
        (anas.home.parent / "weather" / "answer.txt").write_text(text)
        wait_for(lambda: anas.ask("GET", "/api/v1/apis/weather").json["serving"] != before)
        done = CliRunner().invoke(program, ["publish", "weather"], prog_name="apimarket")
        assert done.exit_code == 0, done.output

    return act


@pytest.fixture
def run(bobs: Running, monkeypatch: pytest.MonkeyPatch) -> Run:
    def act(*args: str) -> Result:
        monkeypatch.setenv("APIMARKET_HOME", str(bobs.home))
        monkeypatch.chdir(bobs.home.parent)
        return CliRunner().invoke(program, [*args], prog_name="apimarket")

    return act


def test_pulled_again_it_is_brought_to_the_newer_version_and_reloads(
    run: Run, bobs: Running, publish: Callable[[str], None]
) -> None:
    publish("one")
    first = run("pull", "ana/weather", "--run")
    assert first.exit_code == 0, first.output
    directory = bobs.home.parent / "weather"
    url = bobs.ask("GET", "/api/v1/apis/weather").json["url"].partition(str(bobs.port))[2]
    wait_for(lambda: bobs.ask("GET", url).body == b"one")

    publish("two")
    run("sync")
    listed = run("ls")
    assert "↑ weather: update available: ana/weather 0.1.1; apimarket pull ana/weather" in listed.stdout
    assert json.loads(run("ls", "--json").stdout)[0]["clone"]["update"] is True
    assert "ana/weather 0.1.0, update available: ana/weather 0.1.1" in run("status", "weather").stdout

    (directory / "notes.txt").write_text("mine")
    again = run("pull", "weather")
    assert again.exit_code == 0, again.output
    assert "kept  notes.txt, as it was changed here" in again.stdout
    assert f"written to {directory}" in again.stdout
    wait_for(lambda: bobs.ask("GET", url).body == b"two")
    assert "update available" not in run("ls").stdout

    nothing = run("pull", "ana/weather")
    assert (nothing.exit_code, "that is what is here already" in nothing.stdout) == (0, True)


def test_what_clashes_is_chosen(run: Run, bobs: Running, publish: Callable[[str], None]) -> None:
    place = bobs.home.parent / "weather" / "answer.txt"
    place.write_text("mine")
    publish("three")
    clash = run("pull", "ana/weather")
    assert clash.exit_code == 1
    assert "clash in answer.txt; nothing was written" in clash.stderr
    assert "apimarket pull ana/weather --take 'answer.txt=mine'" in clash.stderr
    assert place.read_text() == "mine"
    assert run("pull", "ana/weather", "--take", "answer.txt=theirs").exit_code == 0
    assert place.read_text() == "three"


def test_a_version_that_is_named_is_stayed_at(run: Run, bobs: Running) -> None:
    place = bobs.home.parent / "weather" / "answer.txt"
    pinned = run("pull", "ana/weather", "--version", "0.1.1")
    assert pinned.exit_code == 0, pinned.output
    assert "it stays at 0.1.1; to follow again: apimarket pull ana/weather" in pinned.stdout
    assert place.read_text() == "two"
    run("sync")
    assert "update available" not in run("ls").stdout
    assert "ana/weather 0.1.1, stays there; the newest is 0.1.2" in run("status", "weather").stdout
    assert run("pull", "ana/weather").exit_code == 0
    assert place.read_text() == "three"
    assert run("pull", "ana/weather@0.1.1", "--version", "0.1.0").exit_code == 2
