"""What the commands say on a bad day, read as a stranger does: whose fault it is, and the command that helps."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from local_server.cli.program import program
from local_server.client import sessions
from tests.control.conftest import Running, serving, wait_for
from tests.control.test_publishing import registered
from tests.sync.fake_marketplace import FakeMarketplace, a_marketplace

Run = Callable[..., Result]
NOBODY = "http://127.0.0.1:9"
OVER = {"status": 401, "code": "session_invalid", "title": "x", "detail": "The session token has expired", "hint": "y"}


@pytest.fixture(scope="module")
def market() -> Iterator[FakeMarketplace]:
    with a_marketplace() as found:
        yield found


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory, market: FakeMarketplace) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("bad-days")
    with serving(root / "home") as started:
        sessions.keep(started.home, market.url, {"token": "ana-token", "handle": "ana", "expires_at": "2099-01-01"})
        registered(started, root / "weather", "weather")
        yield started


@pytest.fixture
def run(laptop: Running, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("APIMARKET_HOME", str(laptop.home))
    runner = CliRunner()
    return lambda *args: runner.invoke(program, [*args], prog_name="apimarket")


@pytest.fixture
def session_over(market: FakeMarketplace) -> Iterator[None]:
    market.market.refuse = OVER
    yield
    market.market.refuse = None


class TestAway:
    def test_a_marketplace_that_does_not_answer_is_not_this_machines_to_start(self, run: Run) -> None:
        away = run("usage", "--remote", NOBODY)
        assert away.exit_code == 1
        assert away.stderr.startswith(f"error: {NOBODY} does not answer: connection refused\n")
        assert "apimarket serve" not in away.stderr
        assert "network" in away.stderr

    def test_publishing_waits_for_it_and_says_so(self, run: Run, laptop: Running, market: FakeMarketplace) -> None:
        market.market.refuse = {"status": 503, "code": "storage_unavailable", "title": "x", "detail": "It rests"}
        try:
            waits = run("publish", "weather", "--no-wait", "--remote", market.url)
            assert waits.exit_code == 1  # never met: who publishes is not known yet
            assert "It rests" in waits.stderr
        finally:
            market.market.refuse = None
        assert run("publish", "weather", "--remote", market.url).exit_code == 0


class TestSessions:
    def test_without_one_the_command_that_begins_one_is_told(self, run: Run) -> None:
        none = run("pull", "bob/x", "--remote", NOBODY)
        assert none.exit_code == 1
        assert "nobody has logged in there from this machine" in none.stderr
        assert f"apimarket login NAME --remote {NOBODY}" in none.stderr

    @pytest.mark.usefixtures("session_over")
    def test_one_that_is_over_names_who_and_where(self, run: Run, market: FakeMarketplace) -> None:
        over = run("pull", "weather")
        assert over.exit_code == 1
        assert f"hint: apimarket login ana --remote {market.url}" in over.stderr
        asked = run("usage", "--remote", market.url)
        assert asked.exit_code == 1
        assert "The session token has expired" in asked.stderr
        assert f"hint: apimarket login NAME --remote {market.url}\n" in asked.stderr

    @pytest.mark.usefixtures("session_over")
    def test_the_outbox_shows_what_it_waits_for(self, run: Run, market: FakeMarketplace) -> None:
        seen = run("sync").stdout
        assert "the session there is over" in seen
        assert f"apimarket login ana --remote {market.url}" in seen


class TestAgain:
    """A publish whose outcome is asked for again."""

    def test_what_is_published_is_done_already(self, run: Run, laptop: Running, market: FakeMarketplace) -> None:
        for more in ((), ("--version", "0.1.0"), ("--dry-run",)):
            again = run("publish", "weather", *more)
            assert (again.exit_code, again.stderr) == (0, "")
            assert "ana/weather 0.1.0  already published" in again.stdout
        other = run("publish", "weather", "--version", "0.2.0")
        assert other.exit_code == 1
        assert "The newest version of ana/weather, 0.1.0, has the very same files" in other.stderr

    def test_what_waits_still_is_waited_for(self, run: Run, laptop: Running, market: FakeMarketplace) -> None:
        registered(laptop, laptop.home.parent / "tides", "tides")
        market.market.refuse = {"status": 503, "code": "storage_unavailable", "title": "x", "detail": "It rests"}
        try:
            assert run("publish", "tides", "--no-wait").exit_code == 0
            again = run("publish", "tides", "--no-wait")
            assert (again.exit_code, again.stderr) == (0, "")
            assert "on its way" in again.stdout
        finally:
            market.market.refuse = None
        done = run("publish", "tides")
        assert done.exit_code == 0
        assert "published" in done.stdout

    def test_an_edit_that_does_not_serve_is_not_published(self, run: Run, laptop: Running) -> None:
        directory = laptop.home.parent / "weather"
        (directory / "syntax-error").write_text("'(' was never closed")
        wait_for(lambda: laptop.ask("GET", "/api/v1/apis/weather").json["error"])
        again = run("publish", "weather")
        assert again.exit_code == 1
        assert "never closed" in again.stderr
        (directory / "syntax-error").unlink()
        wait_for(lambda: not laptop.ask("GET", "/api/v1/apis/weather").json["error"])


class TestVersions:
    def test_a_number_that_is_taken_or_none_comes_with_one_that_is_free(self, run: Run, laptop: Running) -> None:
        change(laptop, 1)
        taken = run("publish", "weather", "--version", "0.1.0")
        assert taken.exit_code == 1
        assert "has a version 0.1.0 already" in taken.stderr
        assert "hint: Try: apimarket publish weather --version 0.1.1\n" in taken.stderr
        assert "apimarket publish weather --version 0.1.1" in run("publish", "weather", "--version", "soon").stderr

    def test_a_head_that_moved_is_told_with_both_sides(
        self, run: Run, laptop: Running, market: FakeMarketplace
    ) -> None:
        change(laptop, 2)
        head = market.market.heads["ana/weather"]
        market.market.heads["ana/weather"] = head | {"rev": head["rev"] + 1, "version": "a" * 64, "semver": "0.1.9"}
        moved = run("publish", "weather")
        assert moved.exit_code == 1
        assert "The marketplace has 0.1.9, which this was not made upon" in moved.stdout
        assert "apimarket sync --resolve weather" in moved.stdout
        assert run("sync").stdout.count("apimarket sync --resolve weather") == 1
        assert "apimarket sync --resolve weather" in run("publish", "weather").stderr

    @pytest.mark.parametrize(
        "args",
        [
            ("--mine", "--theirs"),
            ("--theirs", "--fork", "other"),
            ("--theirs", "--take", "main.py=mine"),
            ("--take", "main.py=mine"),
            ("--retry", "x"),
        ],
    )
    def test_a_choice_that_contradicts_itself_gives_nothing_up(self, run: Run, args: tuple[str, ...]) -> None:
        assert run("sync", "--resolve", "weather", *args).exit_code == 2
        assert "conflict" in run("sync").stdout

    def test_somebody_elses_that_is_not_there_is_searched_for(self, run: Run, market: FakeMarketplace) -> None:
        missing = run("pull", "bob/nothing")
        assert missing.exit_code == 1
        assert "that you may read" in missing.stderr
        assert f"apimarket search --remote {market.url}" in missing.stderr

    def test_a_marketplace_that_became_another_can_be_forgotten(
        self, run: Run, laptop: Running, market: FakeMarketplace
    ) -> None:
        assert run("sync", "--forget", market.url).exit_code == 0
        assert f"Logged in to {market.url}" in run("sync").stdout


def change(laptop: Running, number: int) -> None:
    """Save, and wait until what was saved serves."""
    before = laptop.ask("GET", "/api/v1/apis/weather").json["serving"]
    directory = Path(laptop.ask("GET", "/api/v1/apis/weather").json["directory"])
    (directory / "main.py").write_text(f"def handler(request):\n    return {{'n': {number}}}\n")
    assert laptop.ask("POST", "/api/v1/apis/weather/deploy").status < 300
    wait_for(lambda: laptop.ask("GET", "/api/v1/apis/weather").json["serving"] != before)
