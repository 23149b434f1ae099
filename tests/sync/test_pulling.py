"""Pulling: nothing is believed, nothing local is lost; and two machines come to the same again, whichever way."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from local_server.domain.events import PullMoved
from local_server.domain.manifest_toml import parse
from local_server.domain.merge import Choices
from local_server.domain.merge_choices import Side
from local_server.domain.outbox import OutboxState
from local_server.domain.publish_errors import (
    AnswerDamaged,
    ConflictUnsettled,
    DirectoryNotClean,
    HistoryRewritten,
    NoConflict,
    NotPublished,
)
from local_server.domain.trees import TreeEntry
from tests.sync.conftest import MANIFEST, Machine
from tests.sync.fake_marketplace import FakeMarketplace

Open = Callable[..., Awaitable[Machine]]


async def two_with_one_version(open_machine: Open) -> tuple[Machine, Machine]:
    """Both made upon 0.1.0, published by the first."""
    one, two = await open_machine("one"), await open_machine("two")
    one.write({"main.py": "a\nb\nc\n"})
    two.write({"main.py": "a\nb\nc\n"})
    await one.publish()
    pulled = await two.pulling.pull(two.api)
    assert pulled.moved
    return one, two


class TestPull:
    async def test_brings_the_newest_to_a_clean_directory_when_asked(self, open_machine: Open) -> None:
        one, two = await two_with_one_version(open_machine)
        one.write({"main.py": "A\nb\nc\n", "new.py": "x"})
        await one.publish()

        looked = await two.pulling.pull(two.api)
        assert (looked.moved, looked.written, looked.conflict, looked.new_versions) == (False, False, False, ["0.1.1"])
        assert "new.py" not in two.held()

        pulled = await two.pulling.pull(two.api, write=True)
        assert (pulled.moved, pulled.written) == (True, True)
        assert two.held() == one.held()

    async def test_unpublished_edits_are_never_written_over(self, open_machine: Open) -> None:
        one, two = await two_with_one_version(open_machine)
        one.write({"main.py": "A\nb\nc\n"})
        await one.publish()
        two.write({"mine.py": "mine"})
        before = two.held()
        with pytest.raises(DirectoryNotClean):
            await two.pulling.pull(two.api, write=True)
        assert two.held() == before
        assert (await two.pulling.pull(two.api)).conflict

    async def test_a_waiting_version_is_never_touched(self, open_machine: Open, market: FakeMarketplace) -> None:
        one, two = await two_with_one_version(open_machine)
        two.write({"main.py": "mine"})
        entry = await two.queue()
        one.write({"main.py": "A\nb\nc\n"})
        await one.publish()
        pulled = await two.pulling.pull(two.api, write=True)
        assert (pulled.moved, pulled.written, pulled.conflict) == (False, False, True)
        assert await two.storage.read(lambda tx: tx.outbox.get(entry.op)) == entry

    async def test_only_what_is_missing_is_fetched(self, open_machine: Open, market: FakeMarketplace) -> None:
        one, two = await two_with_one_version(open_machine)
        big = os.urandom(300_000)
        for machine in (one, two):
            machine.write({"big.bin": big})
        await one.publish()
        two.blobs.put(big)
        pulled = await two.pulling.pull(two.api)
        assert pulled.fetched_bytes == 0

    @pytest.mark.parametrize("damage", ["version", "signature", "tree", "blob"])
    @pytest.mark.parametrize("market", ["fake"], indirect=True)
    async def test_a_false_answer_is_noticed_and_nothing_of_it_stored(
        self, open_machine: Open, market: FakeMarketplace, damage: str
    ) -> None:
        one, two = await two_with_one_version(open_machine)
        one.write({"main.py": "other\n"})
        done = await one.publish()
        market.market.damage = damage
        with pytest.raises(AnswerDamaged):
            await two.pulling.pull(two.api, write=True)
        assert await two.storage.read(lambda tx: tx.deployments.tree(done.tree)) is None
        assert await two.storage.read(lambda tx: tx.remotes.version(two.url, done.version)) is None
        assert not two.blobs.has(TreeEntry.of(b"other\n").sha256)
        market.market.damage = ""
        assert (await two.pulling.pull(two.api, write=True)).moved

    async def test_what_was_never_published_is_not_there(self, open_machine: Open) -> None:
        machine = await open_machine()
        with pytest.raises(NotPublished):
            await machine.pulling.pull(machine.api)

    async def test_a_version_becomes_an_api_of_this_machine(self, open_machine: Open) -> None:
        one = await open_machine("one")
        public = MANIFEST + 'visibility = "public"\n'
        one.write({"apimarket.toml": public})
        await one.publish()
        one.write({"main.py": "later"})
        await one.publish()
        bob = await open_machine("bob", token="bob-token")
        await bob.storage.write(lambda tx: tx.registry.remove(bob.api.id))
        pulled = await bob.pulling.pull_new("ana/one@0.1.0")
        assert pulled.api is not None
        assert (bob.home / "projects" / "one" / "main.py").read_text() == "print(1)\n"
        assert pulled.api.manifest == parse(public)

    async def test_how_much_came_is_told_to_the_end(self, open_machine: Open) -> None:
        one = await open_machine("one")
        one.write({"apimarket.toml": MANIFEST + 'visibility = "public"\n', "big.bin": os.urandom(300_000)})
        await one.publish()
        bob = await open_machine("bob", token="bob-token")
        await bob.storage.write(lambda tx: tx.registry.remove(bob.api.id))
        await bob.pulling.pull_new("ana/one")
        told = [event for event in bob.events if isinstance(event, PullMoved)]
        assert [(event.remote, event.name) for event in told[:1]] == [(bob.url, "ana/one")]
        steps = [event.done_bytes for event in told]
        assert steps == sorted(steps)
        assert steps[-1] == told[-1].total_bytes > 300_000
        assert len(steps) <= 102

    async def test_given_up_while_it_comes_nothing_shows(self, open_machine: Open) -> None:
        one = await open_machine("one")
        one.write({"apimarket.toml": MANIFEST + 'visibility = "public"\n'})
        await one.publish()
        bob = await open_machine("bob", token="bob-token")
        await bob.storage.write(lambda tx: tx.registry.remove(bob.api.id))
        fetching = asyncio.create_task(bob.pulling.fetch_new("ana/one"))
        await asyncio.sleep(0)
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        assert not (bob.home / "projects" / "one").exists()
        pulled = await bob.pulling.pull_new("ana/one")
        assert pulled.api is not None


class TestFeed:
    async def test_news_of_ones_own_apis_arrive(self, open_machine: Open) -> None:
        one, two = await two_with_one_version(open_machine)
        one.write({"main.py": "2"})
        await one.publish()
        assert await two.pulling.refresh(two.url) == 1
        (ref,) = await two.storage.read(lambda tx: tx.remotes.refs_of(two.api.id))
        assert ref.head is not None
        assert (ref.head.semver, ref.is_ahead) == ("0.1.1", True)
        assert await two.pulling.refresh(two.url) == 0

    async def test_other_peoples_are_passed_over(self, open_machine: Open) -> None:
        one = await open_machine("one")
        await one.publish()
        bob = await open_machine("bob", token="bob-token")
        assert await bob.pulling.refresh(bob.url) == 0

    @pytest.mark.parametrize("market", ["fake"], indirect=True)
    async def test_a_cursor_that_is_no_more_starts_over(self, open_machine: Open, market: FakeMarketplace) -> None:
        one, two = await two_with_one_version(open_machine)
        remote = await two.markets.remote(two.url)
        await two.storage.write(lambda tx: tx.remotes.put(replace(remote, cursor="999")))
        one.write({"main.py": "2"})
        await one.publish()
        assert await two.pulling.refresh(two.url) == 1
        assert (await two.markets.remote(two.url)).cursor == "2"

    @pytest.mark.parametrize("market", ["fake"], indirect=True)
    async def test_a_marketplace_that_went_back_in_time_is_noticed(
        self, open_machine: Open, market: FakeMarketplace
    ) -> None:
        one, two = await two_with_one_version(open_machine)
        one.write({"main.py": "2"})
        await one.publish()
        await two.pulling.refresh(two.url)
        market.market.heads["ana/one"]["rev"] = 1
        market.market.changes = [market.market.refs("ana/one")]
        with pytest.raises(HistoryRewritten):
            await two.pulling.refresh(two.url)


class TestConflicts:
    @pytest.fixture
    async def apart(self, open_machine: Open) -> tuple[Machine, Machine]:
        """Both published upon 0.1.0; the second came too late."""
        one, two = await two_with_one_version(open_machine)
        one.write({"main.py": "A\nb\nc\n", "one.py": "1"})
        await one.publish()
        two.write({"main.py": "a\nb\nC\n", "two.py": "2"})
        assert (await two.publish()).state is OutboxState.CONFLICT
        return one, two

    async def test_is_shown_with_both_sides(self, apart: tuple[Machine, Machine]) -> None:
        _, two = apart
        conflict = await two.conflicts.read(two.api)
        assert {"one.py", "two.py"} == (conflict.theirs.entries.keys() ^ conflict.mine.entries.keys())
        assert conflict.next_version == "0.1.2"

    async def test_merge_makes_one_version_of_both(self, apart: tuple[Machine, Machine]) -> None:
        one, two = apart
        resolved = await two.conflicts.resolve(two.api, "merge")
        assert resolved.written
        assert two.held() == {"apimarket.toml": MANIFEST, "main.py": "A\nb\nC\n", "one.py": "1", "two.py": "2"}
        done = await two.drain()
        assert [entry.state for entry in done] == [OutboxState.APPLIED, OutboxState.CANCELED]
        await one.pulling.pull(one.api, write=True)
        assert one.held() == two.held()

    async def test_mine_follows_theirs_and_never_rewrites_it(
        self, apart: tuple[Machine, Machine], market: FakeMarketplace
    ) -> None:
        _, two = apart
        before = two.held()
        await two.conflicts.resolve(two.api, "mine")
        await two.drain()
        assert two.held() == before
        versions = market.market.versions["ana/one"]
        assert [one["semver"] for one in versions] == ["0.1.0", "0.1.1", "0.1.2"]
        assert versions[2]["parents"][0] == versions[1]["id"]

    async def test_theirs_gives_mine_up(self, apart: tuple[Machine, Machine]) -> None:
        one, two = apart
        resolved = await two.conflicts.resolve(two.api, "theirs")
        assert resolved.entry is None
        assert two.held() == one.held()
        with pytest.raises(NoConflict):
            await two.conflicts.read(two.api)
        two.write({"main.py": "more"})
        assert (await two.publish()).state is OutboxState.APPLIED

    async def test_a_fork_goes_on_under_another_name(
        self, apart: tuple[Machine, Machine], market: FakeMarketplace
    ) -> None:
        one, two = apart
        mine = two.held()
        _, forked = await two.conflicts.fork(two.api, "one-fork")
        await two.drain()
        assert two.held() == one.held()
        assert forked.slug == "one-fork"
        tree = market.market.trees[market.market.heads["ana/one-fork"]["tree"]]
        assert tree.entries.keys() == mine.keys()

    async def test_the_same_line_must_be_chosen(self, open_machine: Open) -> None:
        one, two = await two_with_one_version(open_machine)
        one.write({"main.py": "theirs\nb\nc\n"})
        await one.publish()
        two.write({"main.py": "mine\nb\nc\n"})
        await two.publish()
        with pytest.raises(ConflictUnsettled, match=r"main\.py"):
            await two.conflicts.resolve(two.api, "merge")
        await two.conflicts.resolve(two.api, "merge", Choices({"main.py": Side.THEIRS}))
        assert two.held()["main.py"] == "theirs\nb\nc\n"

    async def test_later_edits_stand_in_the_way_of_writing(self, apart: tuple[Machine, Machine]) -> None:
        _, two = apart
        two.write({"later.py": "unpublished"})
        before = two.held()
        with pytest.raises(DirectoryNotClean):
            await two.conflicts.resolve(two.api, "merge")
        assert two.held() == before
        assert (await two.conflicts.read(two.api)).newest is not None

    async def test_where_there_is_none_there_is_nothing_to_settle(self, open_machine: Open) -> None:
        _, two = await two_with_one_version(open_machine)
        with pytest.raises(NoConflict):
            await two.conflicts.resolve(two.api, "merge")
