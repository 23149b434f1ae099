"""Whole servers, killed at every named place of publishing: the marketplace and the laptop, each started again with the
next place set before the outbox has brought to its end what the last kill broke off."""

import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from os import urandom
from pathlib import Path
from typing import Any

import pytest

from local_server.client import ApimarketClientError, Client
from local_server.client.calls import Call
from local_server.failpoints import VARIABLE
from local_server.storage.blobs import BlobStore
from tests.conftest import Count
from tests.e2e.conftest import RunningServer, running, wait_for
from tests.e2e.project import FUNCTION, Project
from tests.postgres.clusters import Cluster
from tests.publishing.conftest import tree_of

PASSWORD = "correct horse battery"
SOURCE = Path(__file__).parents[2] / "local_server"


def places(package: str, prefix: str) -> list[str]:
    """In the order in which the source names them."""
    sources = sorted((SOURCE / package).glob("*.py"))
    found = [name for source in sources for name in re.findall(rf'"({prefix}\.[a-z-]+)"', source.read_text())]
    return list(dict.fromkeys(found))


@dataclass
class Stage:
    market: RunningServer
    laptop: RunningServer
    weather: Project
    published: list[tuple[str, str]] = field(default_factory=list)
    """Number and tree of all that was given to the outbox, in order."""
    ana: str = ""
    """Her session there."""

    def publish(self) -> None:
        """The next version: small files that go along, more than fit there, and one that goes alone."""
        for number in range(4):
            (self.weather.directory / f"{number}.bin").write_bytes(urandom(300_000))
        (self.weather.directory / "large.bin").write_bytes(urandom(8 * 1024 * 1024 + 1))
        version = f"1.{len(self.published)}.0"
        self.weather.save("main.py", f"VERSION = '{version}'\n{FUNCTION}")
        files = {path.name: path.read_bytes() for path in self.weather.directory.iterdir() if path.is_file()}
        tree = tree_of(files).digest

        def serves() -> bool:
            row = self.weather.row
            newest = row["generation"]
            return bool(newest["digest"] == tree and newest["number"] == row["serving"])

        wait_for(serves, lambda: f"{version} to serve: {self.weather.row}")
        self.published.append((version, tree))
        with suppress(ApimarketClientError):  # it may be killed while it takes this down
            self.laptop.client.publish("weather", {"version": version, "remote": self.market.url})

    def waits(self) -> bool:
        """Whether anything is on its way."""
        return any(entry["state"] != "applied" for entry in self.laptop.client.outbox()["entries"])

    def seen(self) -> list[tuple[str, str]]:
        """What a reader sees on the marketplace: number and tree of each version, oldest first, proven to be whole. In
        the feed each is told of once."""
        changes = self._ask("/changes", "ChangesView")["changes"]
        versions = self._ask("/apis/ana/weather", "PublishedApiView")["versions"][::-1][: len(changes)]
        assert [one["number"] for one in changes] == list(range(1, len(changes) + 1))
        assert [one["refs"]["head"]["semver"] for one in changes] == [one["semver"] for one in versions]
        blobs = BlobStore(self.market.home / "blobs")
        for version in versions:
            for file in self._ask(f"/trees/{version['tree']}?api=ana/weather", "TreeView")["put"]:
                assert blobs.verify(file["sha256"]), file
        return [(one["semver"], one["tree"]) for one in versions]

    def _ask(self, path: str, answer: str) -> Any:
        self.ana = self.ana or Client(self.market.url).login("ana", PASSWORD)["token"]
        return Client(self.market.url, self.ana).send(Call("GET", f"/api/v1/sync{path}", f"sync:{answer}"))


POSTGRES = pytest.param("postgres18", marks=pytest.mark.postgres)


@pytest.fixture(params=["sqlite", POSTGRES])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    hosted = {"APIMARKET_PROFILE": "hosted"}
    if request.param != "sqlite":
        cluster: Cluster = request.getfixturevalue(request.param)
        hosted["APIMARKET_DATABASE"] = cluster.empty_database()
    with ExitStack() as stack:
        market = stack.enter_context(running(tmp_path / "market" / "home", "process", env=hosted))
        laptop = stack.enter_context(running(tmp_path / "laptop" / "home", "process"))
        laptop.run("signup", "ana", "--password-stdin", "--remote", market.url, input=f"{PASSWORD}\n")
        stage = Stage(market, laptop, Project.write(laptop, "weather", {"main.py": FUNCTION}).add())
        stage.publish()
        wait_for(lambda: not stage.waits(), lambda: f"the first version: {laptop.client.outbox()}")
        yield stage


def kill_at_each(stage: Stage, victim: RunningServer, names: Sequence[str]) -> int:
    """How often it was killed: once at each place."""
    victim.kill()
    for name in names:
        start_armed(victim, name)
        with suppress(ApimarketClientError):  # whoever is asked may be the victim
            seen = stage.seen()
            assert seen == stage.published[: len(seen)]
        wait_for(lambda: not alive_after_a_step(stage, victim), lambda name=name: f"{name} to be reached")  # type: ignore[misc]
        assert victim.process is not None
        assert victim.process.returncode == -signal.SIGKILL, victim.words()
    del victim.env[VARIABLE]
    victim.start()
    stage.laptop.client.sync_now()
    wait_for(lambda: not stage.waits(), lambda: f"all to be published: {stage.laptop.client.outbox()}")
    return len(names)


def alive_after_a_step(stage: Stage, victim: RunningServer) -> bool:
    """Publish what waits, or something new."""
    assert victim.process is not None
    if victim.process.poll() is None:
        with suppress(ApimarketClientError):
            if not stage.waits():
                stage.publish()
            stage.laptop.client.sync_now()
    return victim.process.poll() is None


def start_armed(victim: RunningServer, name: str) -> None:
    """It may be killed before it is seen to answer: the outbox does not wait for us."""
    victim.env[VARIABLE] = name
    with suppress(AssertionError):
        victim.start()


@pytest.mark.slow
class TestKilledServers:
    def test_the_marketplace_at_each_place(self, stage: Stage, request: pytest.FixtureRequest, count: Count) -> None:
        kills = kill_at_each(stage, stage.market, places("publishing", "publish"))
        assert kills >= 16
        self.assert_all_is_there_once(stage)
        count(f"kill -9 of a marketplace's server, on {request.node.callspec.params['stage']}", kills)

    @pytest.mark.parametrize("stage", [POSTGRES], indirect=True)  # what a laptop keeps is in SQLite in any case
    def test_the_laptop_at_each_place(self, stage: Stage, count: Count) -> None:
        kills = kill_at_each(stage, stage.laptop, places("sync", "outbox"))
        assert kills >= 10
        self.assert_all_is_there_once(stage)
        count("kill -9 of a laptop's server that published", kills)

    def assert_all_is_there_once(self, stage: Stage) -> None:
        """As if nobody had been killed."""
        assert stage.seen() == stage.published
        entries = stage.laptop.client.outbox()["entries"]
        assert [(one["version"], one["state"]) for one in entries] == [
            (version, "applied") for version, _ in reversed(stage.published)
        ]
        assert not [part for part in (stage.market.home / "uploads").rglob("*") if part.is_file()]
