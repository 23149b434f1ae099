"""What storage/base.py promises of outgoing versions and remotes, of every store."""

from dataclasses import replace
from datetime import timedelta

import pytest

from local_server.domain.ids import Digest
from local_server.domain.outbox import (
    FINISHED,
    UNFINISHED,
    Head,
    OutboxState,
    PublishedVersion,
    Remote,
    RemoteRef,
    Trouble,
)
from local_server.storage.base import Storage, Tx
from tests.storage.factories import NOON, a_generation, a_tree, add_apis, an_api, an_outgoing

HUB = Remote("https://hub.example", "m1", "ana", "7")


class TestOutbox:
    async def test_an_entry_comes_back_as_it_was(self, storage: Storage) -> None:
        entry = an_outgoing(
            1,
            parents=(Digest("1" * 64), Digest("2" * 64)),
            document='{"semver":"1.0.0","ü":1}'.encode(),
            signature=bytes(range(64)),
            openapi=b"{}",
            state=OutboxState.UPLOADING,
            attempts=3,
            next_at=NOON + timedelta(seconds=4),
            upload_id="u1",
            trouble=Trouble("server_unreachable", "No server answers 🔥", "Try again"),
            sent_bytes=2**40,
            total_bytes=2**41,
            sent_blobs=1,
            total_blobs=2,
        )
        await storage.write(lambda tx: tx.outbox.add(entry))
        assert await storage.read(lambda tx: tx.outbox.get(entry.op)) == entry
        assert await storage.read(lambda tx: tx.outbox.get(an_outgoing(2).op)) is None

    async def test_trouble_of_any_text_can_be_kept(self, storage: Storage) -> None:
        entry = an_outgoing(1, trouble=Trouble("broken", "\udcff\0"))
        await storage.write(lambda tx: tx.outbox.add(entry))
        kept = await storage.read(lambda tx: tx.outbox.get(entry.op))
        assert kept is not None
        assert kept.trouble == Trouble("broken", "\ufffd\ufffd")

    async def test_saving_moves_the_state_and_nothing_else(self, storage: Storage) -> None:
        entry = an_outgoing(1)
        await storage.write(lambda tx: tx.outbox.add(entry))
        later = NOON + timedelta(minutes=1)
        moved = entry.moved(OutboxState.SENDING, later, sent_bytes=10, total_bytes=20)
        await storage.write(lambda tx: tx.outbox.save(replace(moved, document=b"other", semver="9.9.9")))
        assert await storage.read(lambda tx: tx.outbox.get(entry.op)) == moved

    async def test_unfinished_are_those_a_worker_goes_on_with_oldest_first(self, storage: Storage) -> None:
        entries = [an_outgoing(number, state=state) for number, state in enumerate(OutboxState)]

        def fill(tx: Tx) -> None:
            for entry in reversed(entries):
                tx.outbox.add(entry)

        await storage.write(fill)
        found = await storage.read(lambda tx: tx.outbox.unfinished())
        assert [entry.state for entry in found] == [state for state in OutboxState if state in UNFINISHED]
        pending = await storage.read(lambda tx: tx.outbox.pending(entries[0].api_id, entries[0].remote))
        assert [entry.state for entry in pending] == [state for state in OutboxState if state not in FINISHED]
        assert await storage.read(lambda tx: tx.outbox.pending(entries[0].api_id, "https://other.example")) == []
        latest = await storage.read(lambda tx: tx.outbox.latest(2))
        assert [entry.op for entry in latest] == [entries[-1].op, entries[-2].op]

    async def test_pruning_takes_the_oldest_of_what_is_finished(self, storage: Storage) -> None:
        def fill(tx: Tx) -> None:
            for number in range(6):
                state = OutboxState.QUEUED if number == 0 else OutboxState.APPLIED
                tx.outbox.add(an_outgoing(number, state=state))

        await storage.write(fill)
        await storage.write(lambda tx: tx.outbox.prune(keep=2))
        left = await storage.read(lambda tx: tx.outbox.latest())
        assert [entry.op for entry in left] == [an_outgoing(number).op for number in (5, 4, 0)]


class TestRemotes:
    async def test_put_inserts_and_replaces(self, storage: Storage) -> None:
        await storage.write(lambda tx: tx.remotes.put(HUB))
        assert await storage.read(lambda tx: tx.remotes.get(HUB.url)) == HUB
        await storage.write(lambda tx: tx.remotes.put(replace(HUB, cursor="8")))
        assert await storage.read(lambda tx: tx.remotes.all()) == [replace(HUB, cursor="8")]

    async def test_refs_come_back_as_they_were(self, storage: Storage) -> None:
        api = an_api(1)
        head = Head(Digest("1" * 64), "1.1.0", Digest("2" * 64), 2)
        full = RemoteRef(HUB.url, "ana", "one", api.id, head, head, "public", False, {"1.0.0": "leaks \udcff"})
        empty = RemoteRef(HUB.url, "ana", "two", None, None, None, deleted=True)

        def fill(tx: Tx) -> None:
            tx.remotes.put(HUB)
            tx.remotes.put_ref(empty)
            tx.remotes.put_ref(replace(full, head=None))
            tx.remotes.put_ref(full)

        await storage.write(fill)
        kept = replace(full, yanked={"1.0.0": "leaks \ufffd"})
        assert await storage.read(lambda tx: tx.remotes.refs(HUB.url)) == [kept, empty]
        assert await storage.read(lambda tx: tx.remotes.ref(HUB.url, "ana", "one")) == kept
        assert await storage.read(lambda tx: tx.remotes.refs_of(api.id)) == [kept]

    async def test_a_forgotten_one_takes_its_refs_along(self, storage: Storage) -> None:
        def fill(tx: Tx) -> None:
            tx.remotes.put(HUB)
            tx.remotes.put_ref(RemoteRef(HUB.url, "ana", "one", None, None, None))

        await storage.write(fill)
        await storage.write(lambda tx: tx.remotes.forget(HUB.url))
        assert await storage.read(lambda tx: tx.remotes.get(HUB.url)) is None
        assert await storage.read(lambda tx: tx.remotes.refs(HUB.url)) == []


class TestRemoteVersions:
    async def test_come_back_as_they_were_and_never_change(self, storage: Storage) -> None:
        one = PublishedVersion(
            HUB.url, Digest("1" * 64), "ana", "one", "1.0.0", Digest("2" * 64), b"{}", "s", b"key", b"sig", b"{}"
        )

        def fill(tx: Tx) -> None:
            tx.remotes.put(HUB)
            tx.remotes.add_version(one)
            tx.remotes.add_version(replace(one, semver="6.6.6"))
            tx.remotes.add_version(replace(one, id=Digest("3" * 64), slug="two", openapi=None))

        await storage.write(fill)
        assert await storage.read(lambda tx: tx.remotes.version(HUB.url, one.id)) == one
        assert await storage.read(lambda tx: tx.remotes.versions(HUB.url, "ana", "one")) == [one]
        assert await storage.read(lambda tx: tx.remotes.version(HUB.url, Digest("4" * 64))) is None


class TestTrees:
    @pytest.mark.parametrize("state", OutboxState)
    async def test_an_entry_keeps_its_tree_until_it_is_finished(self, storage: Storage, state: OutboxState) -> None:
        api, tree = an_api(1), a_tree("outgoing")
        await add_apis(storage, api)

        def fill(tx: Tx) -> None:
            tx.deployments.add_tree(tree)
            tx.deployments.put_generation(a_generation(api, 1, tree))
            tx.outbox.add(an_outgoing(1, tree=tree.digest, state=state))
            for number in (2, 3):
                tx.deployments.add_tree(a_tree(str(number)))
                tx.deployments.put_generation(a_generation(api, number, a_tree(str(number))))
            tx.deployments.prune(api.id, keep=1)

        await storage.write(fill)
        kept = await storage.read(lambda tx: tx.deployments.tree(tree.digest))
        assert (kept is None) == (state in FINISHED)
        live = await storage.read(lambda tx: tx.deployments.live_trees())
        assert (tree.digest in live) == (state not in FINISHED)

    async def test_a_ref_keeps_the_trees_that_a_merge_needs(self, storage: Storage) -> None:
        api, head, base = an_api(1), a_tree("head"), a_tree("base")
        await add_apis(storage, api)

        def fill(tx: Tx) -> None:
            tx.remotes.put(HUB)
            of_head, of_base = (Head(Digest("1" * 64), "1.0.0", tree.digest, 1) for tree in (head, base))
            tx.remotes.put_ref(RemoteRef(HUB.url, "ana", "one", api.id, of_head, of_base))
            for tree in (head, base):
                tx.deployments.add_tree(tree)
            tx.deployments.prune(api.id, keep=1)

        await storage.write(fill)
        assert await storage.read(lambda tx: tx.deployments.live_trees()) == {head.digest, base.digest}
