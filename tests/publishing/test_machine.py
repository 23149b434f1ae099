"""Three machines of one account and a stranger do whatever comes to mind to one marketplace, and after each step all
that docs/sync.md promises is looked at. The same steps go to every store there is, and must be answered the same."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from local_server.domain.errors import ApimarketError
from local_server.domain.ids import uuid7
from local_server.domain.manifest import Visibility
from local_server.domain.publishing import Missing, Outcome
from local_server.domain.refs import START, chained
from local_server.domain.trees import TreeEntry
from local_server.events.bus import Bus
from local_server.publishing.collection import leased_blobs
from local_server.storage.base import ReadTx, Storage
from local_server.storage.postgres import PostgresStorage
from local_server.storage.sqlite import SqliteStorage
from tests.conftest import Count
from tests.postgres.clusters import Cluster
from tests.publishing.conftest import Account, Market, a_pack, frames_of, in_pieces, tree_of
from tests.storage.factories import NOON

T = TypeVar("T")
Files = dict[str, bytes]
EXAMPLES = int(os.environ.get("APIMARKET_TEST_EXAMPLES", "20"))
STEPS = 50
MACHINES = st.integers(0, 2)
PATHS = st.sampled_from(["main.py", "lib/a.py", "lib/b.py", "README.md"])
CONTENTS = st.sampled_from([b"", b"a", b"b\n" * 40, b"c" * 3000, bytes(range(256)) * 20])
VISIBILITIES = st.sampled_from(["private", "unlisted", "public"])
runs: dict[str, int] = {"traces": 0, "steps": 0, "versions": 0}


class SetClock:
    """Says what it is told, and gives the same ids for the same questions. It moves from step to step, however often an
    act asks that PostgreSQL runs again."""

    def __init__(self) -> None:
        self.time = NOON
        self._asked = 0

    def now(self) -> datetime:
        return self.time

    def new_id(self) -> str:
        self._asked += 1
        return uuid7(1_700_000_000_000 + self._asked, self._asked.to_bytes(10, "big"))


class LineBroke(Exception):
    pass


async def breaking(content: bytes, at: int) -> AsyncIterator[bytes]:
    async for piece in in_pieces(content[:at], 64):
        yield piece
    raise LineBroke


@dataclass
class Laptop:
    """What one machine has, and knows."""

    files: Files = field(default_factory=lambda: {"main.py": b"print(1)\n"})
    base: Files | None = None
    head: tuple[int, str, str] | None = None
    """Revision, version and number it is made upon."""
    pending: tuple[dict[str, Any], Files] | None = None
    """The request that was sent and not answered."""


@dataclass
class Side:
    """The marketplace on one store."""

    home: Path
    open_storage: Callable[[], Coroutine[Any, Any, Storage]]
    clock: SetClock = field(default_factory=SetClock)
    storage: Storage | None = None

    async def start(self) -> None:
        self.storage = await self.open_storage()
        self.market = Market(self.home, self.storage, Bus(), system=self.clock)
        self.ana = await self.market.account(1, "ana")
        self.bob = await self.market.account(2, "bob")

    async def stop(self) -> None:
        if self.storage is not None:
            await self.storage.close()


class Marketplace(RuleBasedStateMachine):
    stores = "on SQLite"
    openers: tuple[Callable[[Path], Coroutine[Any, Any, Storage]], ...] = (
        lambda home: SqliteStorage.open(home / "registry.db", lambda event: None),
    )

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.root = TemporaryDirectory(prefix="apimarket-machine-")
        self.sides = []
        for number, opener in enumerate(self.openers):
            home = Path(self.root.name) / str(number)
            home.mkdir()
            self.sides.append(Side(home, partial(opener, home)))
        for side in self.sides:
            self.runner.run(side.start())
        self.laptops = [Laptop() for _ in range(3)]
        self.ops = 0
        self.history: list[tuple[str, str, Files]] = []
        """Number, version and files of all that was published, in order."""
        self.yanked: dict[str, str] = {}
        self.revisions = {"visibility": 0, "yanked": 0}
        self.visibility = "private"
        self.changes = 0
        self.answered: dict[str, Outcome] = {}
        runs["traces"] += 1

    def each(self, act: Callable[[Side], Coroutine[Any, Any, T]]) -> T:
        """Do it on every store; the answer, which is the same everywhere."""
        runs["steps"] += 1
        for side in self.sides:
            side.clock.time += timedelta(milliseconds=1)
        answers = [self.runner.run(self._answer(act, side)) for side in self.sides]
        assert all(answer == answers[0] for answer in answers), answers
        return answers[0]

    async def _answer(self, act: Callable[[Side], Coroutine[Any, Any, T]], side: Side) -> Any:
        try:
            return await act(side)
        except ApimarketError as error:
            return error.code
        except LineBroke:
            return "broken"

    # -- A machine ---------------------------------------------------------------------------------------------

    @rule(which=MACHINES, path=PATHS, content=CONTENTS)
    def edit(self, which: int, path: str, content: bytes) -> None:
        self.laptops[which].files = {**self.laptops[which].files, path: content}

    @rule(which=MACHINES, path=PATHS)
    def delete(self, which: int, path: str) -> None:
        laptop = self.laptops[which]
        if len(laptop.files) > 1:
            laptop.files = {name: content for name, content in laptop.files.items() if name != path}

    @rule(which=MACHINES, visibility=VISIBILITIES, inline=st.booleans(), lost=st.booleans())
    def publish(self, which: int, visibility: str, inline: bool, lost: bool) -> None:
        laptop = self.laptops[which]
        self._begin(laptop, visibility)
        self._send(laptop, inline=inline, lost=lost)

    @rule(which=MACHINES, share=st.floats(0.05, 0.99))
    def publish_over_a_broken_line(self, which: int, share: float) -> None:
        laptop = self.laptops[which]
        self._begin(laptop, "private")
        self._send(laptop, inline=True, lost=False, share=share)

    @precondition(lambda self: self.history)
    @rule(which=MACHINES)
    def pull(self, which: int) -> None:
        """A machine that waits for an answer keeps what it has; else it takes what is newest."""
        laptop = self.laptops[which]
        if laptop.pending is None:
            semver, version, files = self.history[-1]
            laptop.files, laptop.base = dict(files), files
            laptop.head = (len(self.history), version, semver)

    @precondition(lambda self: self.history)
    @rule(which=MACHINES)
    def keep_mine(self, which: int) -> None:
        """Settle a conflict: the same files, upon what is newest."""
        laptop = self.laptops[which]
        if laptop.pending is None:
            semver, version, files = self.history[-1]
            laptop.base, laptop.head = files, (len(self.history), version, semver)

    @precondition(lambda self: self.answered)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """What was committed is answered the same for ever, and counts once."""
        op = data.draw(st.sampled_from(sorted(self.answered)))

        async def ask(side: Side) -> Any:
            state = await side.market.open.intake.operation(side.ana.user, op)
            return state.outcome.published if state.outcome else None

        assert self.each(ask) == self.answered[op].published

    # -- Refs --------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.history)
    @rule(visibility=VISIBILITIES, stale=st.booleans())
    def show(self, visibility: str, stale: bool) -> None:
        revision = self.revisions["visibility"] + (1 if stale else 0)

        async def act(side: Side) -> Any:
            refs = side.market.open.refs
            return (await refs.show_to(side.ana.user, "ana", "one", Visibility(visibility), revision)).visibility_rev

        done = self.each(act)
        assert (done == "stale_ref") is stale
        if not stale and visibility != self.visibility:
            self.visibility, self.revisions["visibility"] = visibility, done
            self.changes += 1

    @precondition(lambda self: self.history)
    @rule(data=st.data(), back=st.booleans())
    def yank(self, data: st.DataObject, back: bool) -> None:
        semver = data.draw(st.sampled_from([one[0] for one in self.history]))
        reason = None if back else "leaks"

        async def act(side: Side) -> Any:
            refs, revision = side.market.open.refs, self.revisions["yanked"]
            return (await refs.yank(side.ana.user, "ana", "one", semver, reason, revision)).yanked_rev

        before = dict(self.yanked)
        self.yanked.pop(semver, None)
        self.yanked |= {} if reason is None else {semver: reason}
        done = self.each(act)
        if self.yanked != before:
            self.revisions["yanked"] += 1
            self.changes += 1
        assert done == self.revisions["yanked"]

    # -- Bad days ----------------------------------------------------------------------------------------------

    @rule()
    def restart(self) -> None:
        for side in self.sides:
            self.runner.run(side.stop())
            self.runner.run(side.start())

    @rule(days=st.sampled_from([-400, -2, 2, 400]))
    def set_the_clock(self, days: int) -> None:
        for side in self.sides:
            side.clock.time += timedelta(days=days)

    @rule()
    def collect(self) -> None:
        """Without any grace: nothing is under way here."""

        async def act(side: Side) -> None:
            await side.market.open.collection.expire()
            keep = await side.market.storage.read(needed)
            side.market.blobs.collect(keep, grace_s=-1)

        self.each(act)

    # -- What holds --------------------------------------------------------------------------------------------

    @invariant()
    def the_feed_has_every_change_once_in_order(self) -> None:
        async def ask(side: Side) -> Any:
            return [told.change for told in (await side.market.open.reading.changes(side.ana.user, "")).told]

        changes = self.each(ask)
        assert [change.number for change in changes] == list(range(1, self.changes + 1))
        cursor = START
        for change in changes:
            cursor = chained(cursor, change.kind, change.refs)
            assert change.cursor == cursor

    @invariant()
    def what_is_published_is_there_whole_and_nothing_else_is(self) -> None:
        if not self.history:
            return

        async def ask(side: Side) -> Any:
            reading = side.market.open.reading
            refs, versions = await reading.api(side.ana.user, "ana", "one")
            trees = [(await reading.tree(side.ana.user, version.tree, None, None))[0] for version in versions]
            for tree in trees:
                for entry in tree.entries.values():
                    assert side.market.blobs.verify(entry.sha256)
            return refs, [(version.semver, version.id, tree) for version, tree in zip(versions, trees, strict=True)]

        refs, versions = self.each(ask)
        assert versions[::-1] == [(semver, version, tree_of(files)) for semver, version, files in self.history]
        assert (refs.head.semver, refs.head_rev) == (self.history[-1][0], len(self.history))
        assert (refs.visibility, refs.visibility_rev) == (self.visibility, self.revisions["visibility"])
        assert dict(refs.yanked) == self.yanked

    @invariant()
    def a_stranger_sees_what_is_meant_for_strangers(self) -> None:
        async def ask(side: Side) -> Any:
            reading = side.market.open.reading
            listed = [refs.slug for refs in (await reading.snapshot(side.bob.user))[0]]
            with contextlib.suppress(ApimarketError):
                return listed, (await reading.api(side.bob.user, "ana", "one"))[0].head_rev
            return listed, None

        listed, revision = self.each(ask)
        assert listed == (["one"] if self.history and self.visibility == "public" else [])
        assert revision == (len(self.history) if self.history and self.visibility != "private" else None)

    def teardown(self) -> None:
        runs["versions"] += len(self.history)
        for which in range(3):  # what waits is sent again, and then all machines come to the same
            if self.laptops[which].pending is not None:
                self._send(self.laptops[which], inline=False, lost=False)
            assert self.laptops[which].pending is None
        for which in range(3 if self.history else 0):
            self.pull(which)
        assert len({repr(sorted(laptop.files.items())) for laptop in self.laptops}) == 1 or not self.history
        for side in self.sides:
            self.runner.run(side.stop())
        self.runner.close()
        self.root.cleanup()

    # -- Small parts -------------------------------------------------------------------------------------------

    def _begin(self, laptop: Laptop, visibility: str) -> None:
        """A request for what the machine has now, unless it still waits for the answer to another."""
        if laptop.pending is not None:
            return
        if laptop.base == laptop.files:
            laptop.files = {**laptop.files, "main.py": b"print(%d)\n" % self.ops}
        laptop.pending = self._request(laptop, visibility), dict(laptop.files)

    def _request(self, laptop: Laptop, visibility: str) -> dict[str, Any]:
        """Signed by each side for itself; the rest is the same."""
        self.ops += 1
        patch = int(laptop.head[2].rpartition(".")[2]) + 1 if laptop.head else 0
        return {
            "semver": f"1.0.{patch}",
            "op": f"op-{self.ops:05}",
            "if_head_rev": laptop.head[0] if laptop.head else 0,
            "parents": [laptop.head[1]] if laptop.head else [],
            "base": tree_of(laptop.base) if laptop.base is not None else None,
            "visibility": visibility,
        }

    def _send(self, laptop: Laptop, *, inline: bool, lost: bool, share: float | None = None) -> None:
        assert laptop.pending is not None
        request, files = laptop.pending
        before = len(self.history)
        done = self.each(lambda side: attempt(side, request, files, inline, share))
        if done == "broken":
            return
        if isinstance(done, Outcome):
            self._published(request, files, done)
        else:
            assert done in ("head_moved", "version_exists"), done
            assert before > request["if_head_rev"], "refused, although nobody was faster"
        if not lost:
            laptop.pending = None
            if isinstance(done, Outcome):
                laptop.base = files
                laptop.head = (done.published.head_rev, done.published.version, done.published.semver)

    def _published(self, request: dict[str, Any], files: Files, done: Outcome) -> None:
        known = self.answered.get(request["op"])
        assert done.replayed is (known is not None)
        if known is not None:
            assert done.published == known.published
            return
        assert request["if_head_rev"] == len(self.history), "two on one revision"
        said = self.history_visibility if self.history else None
        if said != request["visibility"] and (not self.history or self.visibility != request["visibility"]):
            self.visibility = request["visibility"]
            self.revisions["visibility"] += 1
        self.history_visibility = request["visibility"]
        self.changes += 1
        assert (done.published.change, done.published.head_rev) == (self.changes, len(self.history) + 1)
        self.history.append((request["semver"], done.published.version, files))
        self.answered[request["op"]] = done


async def attempt(side: Side, request: dict[str, Any], files: Files, inline: bool, share: float | None) -> Outcome:
    """As a client does: ask, send what is missing, commit."""
    ana, intake = side.ana, side.market.open.intake
    state = await intake.operation(ana.user, request["op"])
    if state.outcome is not None:
        return state.outcome
    if state.upload is not None:
        return await supply(ana, state.upload.id, list(state.missing), files, share)
    for base in (request["base"], None):
        head = ana.head("one", files, **{**request, "base": base})
        known = {entry.sha256 for entry in base.entries.values()} if base else set()
        contents = [one for one in dict.fromkeys(files.values()) if TreeEntry.of(one).sha256 not in known]
        pack = a_pack(head, frames_of(contents if inline else []))
        pieces = in_pieces(pack, 700) if share is None else breaking(pack, int(len(pack) * share))
        done = await intake.publish(ana.user, "ana", "one", pieces)
        if isinstance(done, Outcome):
            return done
        if done.base_known:
            return await supply(ana, done.upload_id, list(done.missing), files, share)
    raise AssertionError("without a base there is none that could be unknown")


async def supply(ana: Account, upload_id: str, missing: list[str], files: Files, share: float | None) -> Outcome:
    intake = ana.market.open.intake
    by_hash = {TreeEntry.of(content).sha256: content for content in files.values()}
    for place, sha256 in enumerate(missing):
        content = by_hash[sha256]
        if place % 2:
            offset = await intake.offset(ana.user, upload_id, sha256)
            rest = content[offset:]
            pieces = in_pieces(rest, 300) if share is None else breaking(rest, int(len(rest) * share))
            await intake.append(ana.user, upload_id, sha256, offset, pieces)
        else:
            pack = a_pack({}, frames_of([content]))
            pieces = in_pieces(pack, 300) if share is None else breaking(pack, int(len(pack) * share))
            await intake.receive(ana.user, upload_id, pieces)
    done = await intake.commit(ana.user, upload_id)
    assert not isinstance(done, Missing), done
    return done


def needed(tx: ReadTx) -> set[str]:
    trees = (tx.deployments.tree(digest) for digest in tx.deployments.live_trees())
    return {entry.sha256 for tree in trees if tree for entry in tree.entries.values()} | leased_blobs(tx)


def run_machine(machine: type[Marketplace], count: Count) -> None:
    for name in runs:
        runs[name] = 0
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    for name, times in runs.items():
        count(f"{name} of the state machine of publishing, {machine.stores}", times)
    assert runs["versions"] > EXAMPLES / 2


@pytest.mark.slow
def test_whatever_comes_to_mind(count: Count) -> None:
    run_machine(Marketplace, count)


@pytest.mark.slow
@pytest.mark.postgres
def test_the_same_on_sqlite_and_postgres(postgres15: Cluster, postgres18: Cluster, count: Count) -> None:
    urls: dict[Path, str] = {}

    def on(cluster: Cluster, home: Path) -> Coroutine[Any, Any, Storage]:
        if home not in urls:
            urls[home] = cluster.database()
        return PostgresStorage.open(urls[home], lambda event: None)

    class OnAll(Marketplace):
        stores = "on SQLite, PostgreSQL 15 and PostgreSQL 18 alike"
        openers = (*Marketplace.openers, partial(on, postgres15), partial(on, postgres18))

    run_machine(OnAll, count)
