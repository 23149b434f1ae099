"""The verbs of the marketplace against a real server, with a stranger's hostile texts."""

import json
import unicodedata
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from local_server.accounts import passwords
from local_server.cli.program import program
from tests.control.conftest import Running, serving, wait_for
from tests.control.test_market import MANIFEST, WEATHER, call

Run = Callable[..., Result]
PASSWORD = "correct horse battery"
HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202eevil\u2066 <b>[bold]"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "ROUNDS", 4)
        root = tmp_path_factory.mktemp("market-cli")
        with serving(root / "home") as started:
            (root / "weather").mkdir()
            (root / "weather" / "main.py").write_text("def handler(request):\n    return {}\n")
            (root / "weather" / "answer.txt").write_text("sunny")
            hostile = MANIFEST.replace("Forecasts for any place", "\u202etsaceroF\u2066 [red]x")
            (root / "weather" / "apimarket.toml").write_text(hostile)
            assert started.ask("POST", "/api/v1/apis", {"directory": str(root / "weather")}).status == 201
            wait_for(lambda: started.ask("GET", WEATHER, token=None).status == 200)
            wait_for(lambda: started.ask("GET", "/api/v1/apis/weather").json["serving"])
            yield started


@pytest.fixture(scope="module")
def bob(running: Running) -> str:
    """The session of a consumer, as `login` would have kept it."""
    body = {"handle": "bob", "email": "bob@example.org", "password": PASSWORD, "role": "consumer"}
    return str(running.ask("POST", "/api/v1/auth/signup", body, token=None).json["token"])


@pytest.fixture
def run(running: Running, bob: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("APIMARKET_URL", f"http://127.0.0.1:{running.port}")
    monkeypatch.setenv("APIMARKET_TOKEN", bob)
    runner = CliRunner()

    def invoke(*args: str, typed: str = "") -> Result:
        return runner.invoke(program, [*args], prog_name="apimarket", input=typed)

    return invoke


def harmless(text: str) -> bool:
    """Nothing in it steers a terminal or reorders what is read."""
    return all(unicodedata.category(char) not in ("Cc", "Cf") or char in "\n\t" for char in text)


class TestSearch:
    def test_finds_what_is_public(self, run: Run) -> None:
        found = run("search", "weather")
        assert found.exit_code == 0, found.output
        assert "ana/weather" in found.stdout
        assert "tsaceroF" in found.stdout
        assert harmless(found.stdout)
        assert json.loads(run("search", "--tag", "geo", "--free", "--json").stdout)["total"] == 1
        narrowed = run("search", "--owner", "ana", "--runtime", "python", "--category", "data", "--json")
        assert json.loads(narrowed.stdout)["total"] == 1
        assert json.loads(run("search", "--min-rating", "5", "--json").stdout)["total"] == 0
        assert json.loads(run("search", "--owner", "bob", "--json").stdout)["total"] == 0
        assert "Nothing" in run("search", "volcano").stdout
        assert "matches these filters" in run("search", "--tag", "geo", "--tag", "moon").stdout

    def test_wrong_usage(self, run: Run) -> None:
        assert run("search", "--sort", "worst").exit_code == 2
        assert run("search", "--min-rating", "6").exit_code == 2
        assert run("subscribe", "weather").exit_code == 2
        assert run("reviews", "ana/weather", "--text", "x").exit_code == 2
        assert run("reviews", "ana/weather", "--rate", "5", "--remove").exit_code == 2
        assert run("subscriptions", "cancel").exit_code == 2
        missing = run("subscribe", "ana/nothing")
        assert (missing.exit_code, "apimarket search" in missing.stderr) == (1, True)


class TestShow:
    def test_all_there_is_to_know(self, run: Run, running: Running) -> None:
        assert running.ask("POST", "/api/v1/apis/weather/deploy", {"version": "1.4.0"}).status == 202
        shown = run("show", "ana/weather")
        assert shown.exit_code == 0, shown.output
        for told in ("ana/weather", "tsaceroF", "pro", "4.50 EUR/month", "1.4.0", "apimarket subscribe ana/weather"):
            assert told in shown.stdout
        assert harmless(shown.stdout)
        assert [one["version"] for one in json.loads(run("show", "ana/weather", "--json").stdout)["versions"]] == [
            "1.4.0"
        ]
        assert "has no README" in run("show", "ana/weather", "--readme").stdout
        assert run("show", "ana/nothing").exit_code == 1
        assert run("show", "weather").exit_code == 2


class TestSubscribing:
    def test_from_the_key_to_the_review_to_the_end(
        self, run: Run, running: Running, bob: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert "no subscriptions" in run("usage").stdout
        made = run("subscribe", "ana/weather", "--plan", "pro", "--spend-cap", "500")
        assert made.exit_code == 0, made.output
        key = made.stdout.strip()
        assert key.startswith("am_live_")
        assert len(key.split()) == 1
        assert "cannot be shown again" in made.stderr
        assert call(running, key).status == 200
        wait_for(lambda: json.loads(run("usage", "--json").stdout)[0]["usage"]["used"] == 1)
        assert "4.50 EUR" in run("usage").stdout
        monkeypatch.setenv("APIMARKET_TOKEN", running.token)
        assert "bob" in run("subscribers", "weather").stdout
        assert ["pro", "4.50", "EUR/month"] in [
            line.split()[:3] for line in run("plans", "weather").stdout.splitlines()
        ]
        monkeypatch.setenv("APIMARKET_TOKEN", bob)
        written = run("reviews", "ana/weather", "--rate", "4", "--text", "-", typed=HOSTILE)
        assert written.exit_code == 0, written.output
        listed = run("reviews", "ana/weather")
        assert "4.0 of 5, 1 review" in listed.stdout
        assert "evil" in listed.stdout
        assert harmless(listed.stdout + written.stdout)
        monkeypatch.setenv("APIMARKET_TOKEN", running.token)
        assert "Thanks" in run("reviews", "ana/weather", "--answer", "bob", "--text", "Thanks").stdout
        monkeypatch.setenv("APIMARKET_TOKEN", bob)
        assert "is gone" in run("reviews", "ana/weather", "--remove").stdout
        assert "no reviews" in run("reviews", "ana/weather").stdout
        subscription = json.loads(run("subscriptions", "--json").stdout)[0]["id"]
        again = run("subscribe", "ana/weather", "--plan", "pro")
        assert f"subscriptions key {subscription}" in again.stderr
        other = run("subscriptions", "key", subscription, "--now").stdout.strip()
        assert (call(running, key).status, call(running, other).status) == (401, 200)
        key = other
        assert "ends then" in run("subscriptions", "cancel", subscription).stdout
        assert "ends then" not in run("subscriptions", "keep", subscription).stdout
        assert run("subscriptions", "cancel", subscription, "--now", "--json").exit_code == 0
        assert "canceled" in run("subscriptions").stdout
        assert call(running, key).status == 401
        assert "cannot be changed" in run("subscriptions", "key", subscription).stderr
