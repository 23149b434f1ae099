"""Two laptops, one marketplace on PostgreSQL and a consumer, each a whole server or a stranger over HTTP: an API is
published, run there, pulled on the other machine, edited on both, found, subscribed to, called and reviewed.

The tests of one stage tell one story and come in order: each begins where the one before ended.
"""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local_server.client import Client
from local_server.client.calls import Call
from tests.e2e.conftest import RunningServer, free_port, running, wait_for
from tests.e2e.project import Project
from tests.e2e.traffic import ask
from tests.postgres.clusters import Cluster, open_directory
from tests.sync.test_cut_lines import CuttingLine

PASSWORD = "correct horse battery"
QUOTA = 5
KEY = {"name": "", "scopes": ["read"], "cidrs": [], "expires_at": None, "rate_limit": None}
SETTINGS = f"""version = "1.0.0"
summary = "Forecasts for any place"
tags = ["geo"]
category = "data"
visibility = "public"

[gateway]
auth = "key"

[[plan]]
code = "free"
price = "0 EUR/month"
quota = "{QUOTA}/month"
overage = "block"
"""
MAIN = """
PLACE = "Vienna"
UNITS = "metric"


def handler(request):
    return {"says": TEXT, "place": PLACE, "units": UNITS}


TEXT = "one"
"""


@dataclass
class Stage:
    market: RunningServer
    line: CuttingLine
    """The network between laptop A and the marketplace."""
    a: RunningServer
    b: RunningServer
    key: str = ""
    """ana's own, to her API there."""

    def remote(self, laptop: RunningServer) -> str:
        return self.line.url if laptop is self.a else self.market.url


STAGES = [
    pytest.param(("process", "postgres15"), id="process-postgres15", marks=pytest.mark.postgres),
    pytest.param(("docker", "embedded"), id="docker-embedded", marks=(pytest.mark.postgres, pytest.mark.docker)),
]
"""Engine and database: an operator's own PostgreSQL, and the one that comes along, which a kill of the server leaves
running without it."""


@pytest.fixture(scope="module", params=STAGES)
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    engine, database = request.param
    root, port = tmp_path_factory.mktemp("stage"), free_port()
    with contextlib.ExitStack() as stack:
        if database != "embedded":
            cluster: Cluster = request.getfixturevalue(database)
            database = cluster.empty_database()
            stack.callback(cluster.drop, database)
        public = stack.enter_context(open_directory("market-"))
        line = CuttingLine(port)
        stack.callback(line.close)
        # To those at the end of the line the marketplace has another name.
        hosted = {
            "APIMARKET_DATABASE": database,
            "APIMARKET_RUN_PUBLISHED": "1",
            "APIMARKET_ALLOWED_HOSTS": json.dumps([line.url.partition("//")[2]]),
        }
        market = stack.enter_context(running(public / "home", engine, env=hosted, port=port))
        a = stack.enter_context(running(root / "a" / "home", engine))
        b = stack.enter_context(running(root / "b" / "home", engine))
        yield Stage(market, line, a, b)


@dataclass
class Weather:
    """ana's API on one of her laptops."""

    stage: Stage
    laptop: RunningServer
    directory: Path

    @property
    def project(self) -> Project:
        return Project(self.laptop, "weather", self.directory)

    def edit(self, *changes: tuple[str, str]) -> None:
        """Save each (before, after) where it stands, the code last, and wait until what was saved answers."""
        for before, after in changes:
            places = (self.directory / "apimarket.toml", self.directory / "main.py")
            (place,) = [place for place in places if before in place.read_text()]
            place.write_text(place.read_text().replace(before, after))
        self.serves()

    def serves(self) -> None:
        """Until the directory's files answer."""
        namespace: dict[str, Any] = {}
        exec((self.directory / "main.py").read_text(), namespace)
        wanted = namespace["handler"](None)

        def answered() -> bool:
            return json.loads(self.project.body or "null") == wanted

        wait_for(answered, lambda: f"{wanted} to be answered; it is {self.project.body}\n{self.project.log}")

    def publish(self, version: str, *, check: bool = True) -> str:
        done = self.laptop.run(
            "publish", "weather", "--version", version, "--remote", self.stage.remote(self.laptop), check=check
        )
        return done.stdout + done.stderr

    def resolve(self, *how: str, check: bool = True) -> str:
        done = self.laptop.run("sync", "--resolve", "weather", *how, check=check)
        return done.stdout + done.stderr

    def pull(self) -> str:
        return self.laptop.run("pull", "weather", "--write").stdout


@pytest.fixture(scope="module")
def on_a(stage: Stage) -> Weather:
    return Weather(stage, stage.a, stage.a.home.parent / "projects" / "weather")


@pytest.fixture(scope="module")
def on_b(stage: Stage) -> Weather:
    return Weather(stage, stage.b, stage.b.home.parent / "weather")


def head(stage: Stage) -> str:
    """The newest version, as the marketplace says it."""
    lines = stage.a.run("sync", "--json").stdout
    (api,) = [api for api in json.loads(lines)["apis"] if api["name"] == "ana/weather"]
    return str(api["version"])


class TestPublishing:
    def test_ana_signs_up_and_publishes_from_one_laptop(self, stage: Stage, on_a: Weather) -> None:
        assert Client(stage.market.url).health()["storage"].startswith("postgresql 1")
        stage.a.run("signup", "ana", "--password-stdin", "--remote", stage.line.url, input=f"{PASSWORD}\n")
        Project.write(stage.a, "weather", {"main.py": MAIN, "README.md": "# Weather\n\nSunny.\n"}, SETTINGS).add()
        told = on_a.publish("1.0.0")
        assert "published" in told
        assert head(stage) == "1.0.0"

    def test_the_other_laptop_pulls_and_runs_the_very_same(self, stage: Stage, on_a: Weather, on_b: Weather) -> None:
        stage.b.run("login", "ana", "--password-stdin", "--remote", stage.market.url, input=f"{PASSWORD}\n")
        stage.b.run("pull", "ana/weather", "--run", "--dir", str(on_b.directory))
        stage.b.until("weather", "running")
        on_b.serves()
        assert digest(on_b) == digest(on_a)

    def test_a_cut_line_and_a_killed_marketplace_lose_and_repeat_nothing(self, stage: Stage, on_a: Weather) -> None:
        on_a.edit(('TEXT = "one"', 'TEXT = "two"'))
        stage.line.budget = 700  # bytes: in the middle of the request
        stage.a.run("publish", "weather", "--version", "1.1.0", "--remote", stage.line.url, "--no-wait")
        wait_for(lambda: stage.line.cuts, "the line to be cut")
        stage.market.kill()
        stage.line.budget = None
        on_a.edit(('TEXT = "two"', 'TEXT = "three"'))  # what is edited meanwhile changes nothing of what is sent
        stage.market.start()

        def published() -> bool:
            return head(stage) == "1.1.0"

        wait_for(published, lambda: f"1.1.0 to be published: {stage.a.run('sync').stdout}")
        entries = json.loads(stage.a.run("sync", "--json").stdout)["entries"]
        assert [one["state"] for one in entries if one["version"] == "1.1.0"] == ["applied"]
        assert [line["semver"] for line in versions(stage)] == ["1.1.0", "1.0.0"]
        on_a.publish("1.2.0")


Edits = list[tuple[str, str]]


class TestConflicts:
    """Both laptops publish the same number, each upon the same version; the first one is there."""

    def clash(self, on_a: Weather, on_b: Weather, version: str, mine: Edits, theirs: Edits) -> None:
        """On A `theirs` is published; on B `mine` then is in conflict."""
        on_a.pull()
        on_b.pull()
        on_a.serves()
        on_b.serves()
        on_a.edit(*theirs)
        on_a.publish(version)
        on_b.edit(*mine)
        told = on_b.publish(version, check=False)
        assert "conflict" in told
        assert f"The marketplace has {version}" in told
        assert "apimarket sync --resolve weather" in told

    def test_merged_by_lines(self, stage: Stage, on_a: Weather, on_b: Weather) -> None:
        self.clash(
            on_a,
            on_b,
            "2.0.0",
            mine=[('UNITS = "metric"', 'UNITS = "imperial"')],
            theirs=[('TEXT = "three"', 'TEXT = "A"')],
        )
        shown = on_b.resolve()
        assert "merges" in shown
        wait_published(on_b, on_b.resolve("--merge"))
        on_b.serves()
        assert body(on_b) == {"says": "A", "place": "Vienna", "units": "imperial"}
        newest = versions(stage)[0]
        assert newest["semver"] == "2.0.1"
        assert newest["parents"][0] == versions(stage)[1]["id"]
        on_a.pull()
        assert digest(on_a) == digest(on_b)

    def test_mine_is_kept_as_a_version_after_theirs(self, stage: Stage, on_a: Weather, on_b: Weather) -> None:
        self.clash(
            on_a, on_b, "3.0.0", mine=[('TEXT = "A"', 'TEXT = "mine"')], theirs=[('TEXT = "A"', 'TEXT = "theirs"')]
        )
        assert "choose" in on_b.resolve()
        wait_published(on_b, on_b.resolve("--mine"))
        assert body(on_b)["says"] == "mine"
        assert [line["semver"] for line in versions(stage)][:2] == ["3.0.1", "3.0.0"]
        on_a.pull()
        on_a.serves()
        assert body(on_a)["says"] == "mine"

    def test_theirs_replaces_mine(self, stage: Stage, on_a: Weather, on_b: Weather) -> None:
        self.clash(
            on_a, on_b, "4.0.0", mine=[('TEXT = "mine"', 'TEXT = "no"')], theirs=[('TEXT = "mine"', 'TEXT = "yes"')]
        )
        on_b.resolve("--theirs")
        on_b.serves()
        assert body(on_b)["says"] == "yes"
        assert versions(stage)[0]["semver"] == "4.0.0"

    def test_what_clashes_is_taken_field_by_field(self, stage: Stage, on_a: Weather, on_b: Weather) -> None:
        self.clash(
            on_a,
            on_b,
            "4.1.0",
            mine=[("any place", "any city"), ('"geo"', '"geo", "mine"'), ('TEXT = "yes"', 'TEXT = "chosen"')],
            theirs=[("any place", "any town"), ('"data"', '"weather"'), ('TEXT = "yes"', 'TEXT = "not"')],
        )
        shown = on_b.resolve()
        assert "api.summary" in shown
        refused = on_b.resolve("--merge", "--take", "main.py=mine", check=False)
        assert "apimarket.toml (api.summary)" in refused
        wait_published(
            on_b, on_b.resolve("--merge", "--take", "main.py=mine", "--take", "apimarket.toml#api.summary=theirs")
        )
        on_a.pull()
        on_a.serves()
        assert digest(on_a) == digest(on_b)
        assert body(on_a)["says"] == "chosen"
        (listed,) = client(stage, "ana").search("forecasts")["apis"]
        assert (listed["version"], listed["summary"]) == ("4.1.1", "Forecasts for any town")
        assert (listed["tags"], listed["category"]) == (["geo", "mine"], "weather")

    def test_mine_goes_on_under_another_name(self, stage: Stage, on_a: Weather, on_b: Weather) -> None:
        self.clash(
            on_a,
            on_b,
            "5.0.0",
            mine=[('TEXT = "chosen"', 'TEXT = "fork"')],
            theirs=[('TEXT = "chosen"', 'TEXT = "stays"')],
        )
        told = on_b.resolve("--fork", "climate")
        on_b.serves()
        assert body(on_b)["says"] == "stays"
        stage.b.until("climate", "running")
        wait_for(lambda: client(stage, "ana").search("climate")["apis"], lambda: f"climate to be listed: {told}")
        assert versions(stage)[0]["semver"] == "5.0.0"
        assert json.loads(Project(stage.b, "climate", Path()).body)["says"] == "fork"


class TestHosting:
    """The marketplace runs what is published to it."""

    def test_a_consumer_is_held_to_the_plan_and_counted_exactly(self, stage: Stage, on_a: Weather) -> None:
        carol = Client(stage.market.url, account(stage, "carol"))
        found = {one["name"]: one for one in carol.search("forecasts")["apis"]}["ana/weather"]
        assert (found["version"], found["free"]) == ("5.0.0", True)
        url = f"{stage.market.url}/ana/weather/"
        assert ask(url).status == 401
        key = {"X-Api-Key": str(carol.subscribe("ana/weather", {"plan": "free", "spend_cap_minor": None})["key"])}
        answers = [ask(url, headers=key) for _ in range(QUOTA + 2)]
        assert [answer.status for answer in answers] == [200] * QUOTA + [429] * 2
        assert json.loads(answers[0].body) == body(on_a)

        def counted() -> Any:
            (one,) = carol.usage()
            return one if one["usage"]["used"] == QUOTA else None

        usage = wait_for(counted, lambda: f"{QUOTA} calls to be counted: {carol.usage()}")["usage"]
        assert (usage["quota_left"], usage["beyond"]) == (0, 0)
        carol.write_review("ana/weather", {"rating": 5, "text": "Always sunny"})
        (review,) = carol.reviews("ana/weather")["reviews"]
        assert (review["reviewer"], review["rating"]) == ("carol", 5)

    def test_a_version_that_does_not_start_leaves_the_old_one_and_is_told(self, stage: Stage, on_a: Weather) -> None:
        broken = stage.a.home.parent / "broken"
        broken.mkdir()
        text = (on_a.directory / "main.py").read_text()
        (broken / "main.py").write_text(f"import os\nraise RuntimeError('not today')\n{text}")
        (broken / "apimarket.toml").write_text((on_a.directory / "apimarket.toml").read_text())
        told = from_pipeline(stage, broken, "5.1.0")
        assert told.returncode == 1
        assert "published" in told.stdout
        assert "does not start there: RuntimeError: not today (main.py:2)" in told.stdout
        assert says(stage) == "stays"
        assert traffic(stage) == {"5.0.0": 100}

    def test_the_next_one_takes_over_and_is_rolled_back(self, stage: Stage, on_a: Weather) -> None:
        mended = stage.a.home.parent / "mended"
        mended.mkdir()
        text = (on_a.directory / "main.py").read_text()
        (mended / "main.py").write_text(text.replace('TEXT = "stays"', 'TEXT = "mended"'))
        (mended / "apimarket.toml").write_text((on_a.directory / "apimarket.toml").read_text())
        told = from_pipeline(stage, mended, "5.2.0")
        assert told.returncode == 0, told.stdout + told.stderr
        assert "runs there" in told.stdout
        assert (says(stage), says(stage, "@5.0.0")) == ("mended", "stays")
        client(stage, "ana").roll_back("ana/weather")
        wait_for(lambda: says(stage) == "stays", "the traffic to be back")
        client(stage, "ana").roll_back("ana/weather", "5.2.0")
        wait_for(lambda: says(stage) == "mended", "the traffic to be there again")

    def test_it_all_comes_back_after_a_kill(self, stage: Stage) -> None:
        stage.market.kill()
        stage.market.start()
        wait_for(lambda: says(stage) == "mended", lambda: f"it to answer again\n{stage.market.words()}")
        assert says(stage, "@5.0.0") == "stays"

    def test_yanked_it_gives_way_to_the_newest_that_is_not(self, stage: Stage, on_a: Weather) -> None:
        stage.a.run("yank", "weather", "5.2.0", "--reason", "too sunny")
        client(stage, "ana").move_traffic("ana/weather", {"target": "5.0.0", "weight": 100})
        wait_for(lambda: says(stage) == "stays", lambda: f"5.0.0 to answer: {traffic(stage)}")
        assert says(stage, "@5.2.0") == "mended"  # who pinned it keeps it


# -- Small parts -----------------------------------------------------------------------------------------------------


def client(stage: Stage, handle: str) -> Client:
    return Client(stage.market.url, Client(stage.market.url).login(handle, PASSWORD)["token"])


def account(stage: Stage, handle: str) -> str:
    """The session of a stranger with a new account on the marketplace."""
    body = {"handle": handle, "password": PASSWORD, "role": "consumer", "email": f"{handle}@example.org"}
    return Client(stage.market.url).signup(body)["token"]


def from_pipeline(stage: Stage, directory: Path, version: str) -> "subprocess.CompletedProcess[str]":
    """Publish a directory that nobody ran before."""
    arguments = ("publish", "--dir", str(directory), "--version", version, "--remote", stage.market.url)
    return stage.a.run(*arguments, "--token", str(client(stage, "ana")._token), check=False)


def says(stage: Stage, pin: str = "") -> str:
    """What ana's own key is answered through the marketplace's gateway."""
    stage.key = stage.key or str(client(stage, "ana").create_key("ana/weather", KEY)["key"])  # type: ignore[arg-type]
    answer = ask(f"{stage.market.url}/ana/weather{pin}/", headers={"X-Api-Key": stage.key})
    return str(json.loads(answer.body).get("says")) if answer.status == 200 else f"{answer.status} {answer.body}"


def traffic(stage: Stage) -> dict[str, int]:
    return {share["target"]: share["weight"] for share in client(stage, "ana").traffic("ana/weather")["shares"]}


def versions(stage: Stage) -> list[dict[str, Any]]:
    """Newest first, as the marketplace has them."""
    found = client(stage, "ana").send(Call("GET", "/api/v1/sync/apis/ana/weather", "sync:PublishedApiView"))
    return list(found["versions"])


def wait_published(weather: Weather, told: str) -> None:
    """Until nothing of it is on its way."""
    wait_for(
        lambda: all(
            one["state"] in ("applied", "canceled")
            for one in json.loads(weather.laptop.run("sync", "--json").stdout)["entries"]
        ),
        lambda: f"{told}\n{weather.laptop.run('sync').stdout}",
    )


def body(weather: Weather) -> dict[str, Any]:
    return dict(json.loads(weather.project.body))


def digest(weather: Weather) -> str:
    return str(weather.project.row["generation"]["digest"])
