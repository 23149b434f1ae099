"""What storage/publishing.py promises of refs, the feed, operations, uploads, keys and tokens, of every store."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from local_server.domain.access_tokens import AccessToken, PublishScope, TokenId
from local_server.domain.ids import Digest
from local_server.domain.manifest import Visibility
from local_server.domain.publishing import Published, PublishRequest, TreeDelta, Upload
from local_server.domain.refs import START, ChangeKind, Cursor, Head, Refs, chained
from local_server.domain.registry import ApiStage
from local_server.domain.signatures import SignerId, SigningKey
from local_server.domain.trees import TreeEntry
from local_server.storage.base import Storage, Tx
from local_server.storage.publishing import Done
from tests.storage.factories import ALICE, NOON, a_tree, a_user, a_version, add_apis, an_api, an_id

BOB = a_user(7, "bob")
API = an_api(1, "one", directory="")
OTHER = an_api(2, "two", directory="")
TREE = a_tree("one")
LATER = NOON + timedelta(days=1)
HASHES = [f"{number:064x}" for number in range(3)]


def refs_of(api: object = API, **more: object) -> Refs:
    assert isinstance(api, type(API))
    head = Head(Digest("a" * 64), "1.0.0", TREE.digest)
    given = {"head": head, "head_rev": 1, "visibility_rev": 1, **more}
    return Refs(api.id, api.user_id, api.owner, api.slug, **given)  # type: ignore[arg-type]


async def published(storage: Storage, *all_refs: Refs) -> None:
    def act(tx: Tx) -> None:
        tx.deployments.add_tree(TREE)
        for refs in all_refs:
            tx.published.put_refs(refs)

    await storage.write(act)


@pytest.fixture
async def market(storage: Storage) -> Storage:
    """Two users, and two APIs of alice's without directories."""
    await storage.write(lambda tx: tx.accounts.add(BOB))
    await add_apis(storage, API, OTHER)
    return storage


class TestRefs:
    async def test_come_back_as_they_were_and_are_replaced(self, market: Storage) -> None:
        refs = refs_of(yanked={"1.0.0": "leaks"}, yanked_rev=2, visibility=Visibility.UNLISTED)
        await published(market, refs)
        assert await market.read(lambda tx: tx.published.refs("alice", "one")) == refs
        removed = replace(refs, removed=True, head=None, head_rev=3)
        await published(market, removed)
        assert await market.read(lambda tx: tx.published.refs_of(API.id)) == removed
        assert await market.read(lambda tx: tx.published.refs("alice", "two")) is None
        assert await market.read(lambda tx: tx.published.refs("bob\0", "one\ud800")) is None

    async def test_a_snapshot_shows_ones_own_and_what_is_public(self, market: Storage) -> None:
        one, two = refs_of(), refs_of(OTHER, visibility=Visibility.PUBLIC)
        await published(market, one, two)
        assert await market.read(lambda tx: tx.published.readable(ALICE.id, "", 10)) == [one, two]
        assert await market.read(lambda tx: tx.published.readable(ALICE.id, one.api_id, 10)) == [two]
        assert await market.read(lambda tx: tx.published.readable(ALICE.id, "", 1)) == [one]
        assert await market.read(lambda tx: tx.published.readable(BOB.id, "", 10)) == [two]
        await published(market, replace(two, removed=True))
        assert await market.read(lambda tx: tx.published.readable(BOB.id, "", 10)) == []

    async def test_a_tree_is_read_through_an_api_that_one_may_read(self, market: Storage) -> None:
        await published(market, refs_of())
        await market.write(lambda tx: tx.versions.add(a_version(API, tree=TREE)))

        async def may(reader: object, api: tuple[str, str] | None = None) -> bool:
            return await market.read(lambda tx: tx.published.may_read_tree(reader.id, TREE.digest, api))  # type: ignore[attr-defined]

        assert (await may(ALICE), await may(BOB), await may(BOB, ("alice", "one"))) == (True, False, False)
        await published(market, refs_of(visibility=Visibility.UNLISTED))
        assert (await may(BOB), await may(BOB, ("alice", "one")), await may(BOB, ("alice", "two"))) == (
            False, True, False,
        )  # fmt: skip
        await published(market, refs_of(visibility=Visibility.PUBLIC))
        assert await may(BOB)
        await published(market, refs_of(visibility=Visibility.PUBLIC, removed=True))
        assert (await may(ALICE), await may(BOB)) == (True, False)


class TestFeed:
    async def test_numbers_follow_each_other_and_digests_cover_what_was_before(self, market: Storage) -> None:
        await published(market, refs_of())
        assert await market.read(lambda tx: tx.published.feed_end()) == START
        cursor = START
        for revision in (1, 2, 3):
            refs = refs_of(head_rev=revision)
            change = await market.write(
                lambda tx, refs=refs: tx.published.append(ChangeKind.PUBLISHED, None, refs, NOON)
            )
            cursor = chained(cursor, ChangeKind.PUBLISHED, refs)
            assert (change.number, change.cursor) == (revision, cursor)
        assert await market.read(lambda tx: tx.published.feed_end()) == cursor
        assert await market.read(lambda tx: tx.published.change_digest(3)) == cursor.digest
        assert await market.read(lambda tx: tx.published.change_digest(4)) is None
        told = await market.read(lambda tx: tx.published.changes(ALICE.id, 1, 10))
        assert [(one.change.number, one.change.refs.head_rev, one.withdrawn) for one in told] == [
            (2, 2, False), (3, 3, False),
        ]  # fmt: skip

    async def test_what_fails_leaves_no_gap(self, market: Storage) -> None:
        await published(market, refs_of())

        def fails(tx: Tx) -> None:
            tx.published.append(ChangeKind.PUBLISHED, None, refs_of(), NOON)
            raise RuntimeError("on purpose")

        with pytest.raises(RuntimeError, match="on purpose"):
            await market.write(fails)
        change = await market.write(lambda tx: tx.published.append(ChangeKind.PUBLISHED, None, refs_of(), NOON))
        assert change.number == 1

    async def test_many_at_once_leave_no_gap_either(self, market: Storage) -> None:
        await published(market, refs_of())

        def act(tx: Tx) -> Cursor:
            return tx.published.append(ChangeKind.PUBLISHED, None, refs_of(), NOON).cursor

        cursors = await asyncio.gather(*(market.write(act) for _ in range(64)))
        assert sorted(cursor.number for cursor in cursors) == list(range(1, 65))
        expected = [START]
        for _ in range(64):
            expected.append(chained(expected[-1], ChangeKind.PUBLISHED, refs_of()))
        assert sorted(cursors, key=lambda cursor: cursor.number) == expected[1:]

    async def test_others_are_told_what_is_public_and_that_it_ends(self, market: Storage) -> None:
        private, public = refs_of(), refs_of(visibility=Visibility.PUBLIC)
        steps = [(None, private), (private, public), (public, public), (public, private), (private, private)]

        async def told(upto: int) -> list[tuple[int, bool]]:
            found = await market.read(lambda tx: tx.published.changes(BOB.id, 0, 10))
            return [(one.change.number, one.withdrawn) for one in found]

        seen = []
        for number, (before, after) in enumerate(steps):

            def act(tx: Tx, before: Refs | None = before, after: Refs = after) -> None:
                tx.published.put_refs(after)
                tx.published.append(ChangeKind.VISIBILITY, before, after, NOON)

            await market.write(act)
            seen.append(await told(number))
        assert seen == [[], [(2, False)], [(2, False), (3, False)], [(4, True)], [(4, True)]]
        mine = await market.read(lambda tx: tx.published.changes(ALICE.id, 0, 10))
        assert [(one.change.number, one.withdrawn) for one in mine] == [(number, False) for number in range(1, 6)]


class TestOperations:
    async def test_are_known_by_account_and_name(self, market: Storage) -> None:
        outcome = Published("alice/one", Digest("a" * 64), "1.0.0", TREE.digest, 1, 1)
        done = Done("hash", outcome)
        await market.write(lambda tx: tx.published.add_op(ALICE.id, "op-00001", done, NOON))
        assert await market.read(lambda tx: tx.published.op(ALICE.id, "op-00001")) == done
        assert await market.read(lambda tx: tx.published.op(BOB.id, "op-00001")) is None
        assert await market.read(lambda tx: tx.published.op(ALICE.id, "\0\ud800")) is None


def an_upload(number: int = 1, **more: object) -> Upload:
    put = {"main.py": TreeEntry(HASHES[0], 3, 0o644), "run.sh": TreeEntry(HASHES[1], 5, 0o755)}
    request = PublishRequest(
        f"op-{number:05}", ALICE.id, "alice", "one", "1.0.0", TreeDelta(TREE.digest, put, frozenset({"old.py"})),
        Digest("b" * 64), 3, (Digest("c" * 64),), {"name": "one", "text": "\0\ud800"}, {"openapi": "3.1.0"},
        SignerId("d" * 32), bytes(range(64)),
    )  # fmt: skip
    given = {"id": an_id(number), "request": request, "created_at": NOON, "expires_at": LATER, **more}
    return Upload(**given)  # type: ignore[arg-type]


class TestUploads:
    async def test_one_comes_back_as_it_was_to_its_owner_alone(self, market: Storage) -> None:
        upload = an_upload()
        await market.write(lambda tx: tx.uploads.put(upload))
        assert await market.read(lambda tx: tx.uploads.get(upload.id, ALICE.id)) == upload
        assert await market.read(lambda tx: tx.uploads.of_op(ALICE.id, "op-00001")) == upload
        assert await market.read(lambda tx: tx.uploads.get(upload.id, BOB.id)) is None
        again = an_upload(id=an_id(9), expires_at=LATER + timedelta(days=1))
        await market.write(lambda tx: tx.uploads.put(again))
        assert await market.read(lambda tx: tx.uploads.of_op(ALICE.id, "op-00001")) == again
        assert await market.read(lambda tx: tx.uploads.count(ALICE.id)) == 1
        await market.write(lambda tx: tx.uploads.remove(ALICE.id, "op-00001"))
        assert await market.read(lambda tx: tx.uploads.count(ALICE.id)) == 0

    async def test_blobs_are_granted_to_one_account_until_then_or_for_good(self, market: Storage) -> None:
        def act(tx: Tx) -> None:
            tx.uploads.grant(ALICE.id, {HASHES[0]: 3, HASHES[1]: 5}, LATER)
            tx.uploads.grant(ALICE.id, {HASHES[2]: 7}, None)

        await market.write(act)

        async def granted(user: object, now: object) -> list[str]:
            return sorted(await market.read(lambda tx: tx.uploads.granted(user.id, HASHES, now)))  # type: ignore[attr-defined, arg-type]

        assert await granted(ALICE, NOON) == HASHES
        assert await granted(BOB, NOON) == []
        assert await granted(ALICE, LATER) == [HASHES[2]]
        assert await market.read(lambda tx: tx.uploads.staged_bytes(ALICE.id, NOON)) == 8
        assert await market.read(lambda tx: tx.uploads.leased()) == {HASHES[0], HASHES[1]}

    async def test_a_grant_is_never_shortened(self, market: Storage) -> None:
        for until in (LATER, NOON, None, NOON):
            await market.write(lambda tx, until=until: tx.uploads.grant(ALICE.id, {HASHES[0]: 3}, until))
            if until == NOON:
                assert await market.read(lambda tx: tx.uploads.granted(ALICE.id, HASHES, NOON)) == {HASHES[0]}
        far = NOON + timedelta(days=900)
        assert await market.read(lambda tx: tx.uploads.granted(ALICE.id, HASHES, far)) == {HASHES[0]}

    async def test_more_than_one_statement_takes_are_asked_for(self, market: Storage) -> None:
        many = {f"{number:064x}": 1 for number in range(1203)}
        await market.write(lambda tx: tx.uploads.grant(ALICE.id, many, LATER))
        assert await market.read(lambda tx: tx.uploads.granted(ALICE.id, many, NOON)) == many.keys()

    async def test_what_is_over_is_forgotten(self, market: Storage) -> None:
        def act(tx: Tx) -> int:
            tx.uploads.put(an_upload(1))
            tx.uploads.put(an_upload(2, expires_at=LATER + timedelta(days=1)))
            tx.uploads.grant(ALICE.id, {HASHES[0]: 3}, LATER)
            tx.uploads.grant(ALICE.id, {HASHES[1]: 3}, None)
            return tx.uploads.expire(LATER + timedelta(seconds=1))

        assert await market.write(act) == 2
        assert await market.read(lambda tx: tx.uploads.count(ALICE.id)) == 1
        assert await market.read(lambda tx: tx.uploads.granted(ALICE.id, HASHES, NOON)) == {HASHES[1]}


class TestKeysAndTokens:
    async def test_a_signing_key_is_added_once_and_revoked_once(self, market: Storage) -> None:
        key = SigningKey(SignerId("k" * 32), ALICE.id, "laptop", bytes(32), NOON)
        await market.write(lambda tx: tx.signing_keys.add(key))
        await market.write(lambda tx: tx.signing_keys.add(replace(key, name="other")))
        await market.write(lambda tx: tx.signing_keys.add(replace(key, user_id=BOB.id)))
        assert await market.read(lambda tx: tx.signing_keys.of_user(ALICE.id)) == [key]
        for at in (LATER, NOON):
            await market.write(lambda tx, at=at: tx.signing_keys.revoke(ALICE.id, key.id, at))
        assert await market.read(lambda tx: tx.signing_keys.get(ALICE.id, key.id)) == replace(key, revoked_at=LATER)
        assert await market.read(lambda tx: tx.signing_keys.get(BOB.id, key.id)) == replace(key, user_id=BOB.id)

    async def test_a_token_is_found_by_its_digest_and_its_keys_by_it(self, market: Storage) -> None:
        token = AccessToken(
            TokenId(an_id(5)), ALICE.id, "ci", "am_token_abc", b"\1" * 32, PublishScope("alice", "one"), NOON, LATER
        )
        key = SigningKey(SignerId("k" * 32), ALICE.id, "", bytes(32), NOON, token_id=token.id)
        await market.write(lambda tx: tx.access_tokens.add(token))
        await market.write(lambda tx: tx.signing_keys.add(key))
        assert await market.read(lambda tx: tx.access_tokens.by_digest(b"\1" * 32)) == token
        assert await market.read(lambda tx: tx.access_tokens.by_digest(b"\2" * 32)) is None
        assert await market.read(lambda tx: tx.signing_keys.of_user(ALICE.id, token.id)) == [key]
        assert await market.read(lambda tx: tx.signing_keys.of_user(ALICE.id)) == []
        for at in (NOON, LATER, NOON):
            await market.write(lambda tx, at=at: tx.access_tokens.used(token.id, at))
        await market.write(lambda tx: tx.access_tokens.revoke(token.id, LATER))
        changed = replace(token, last_used_at=LATER, revoked_at=LATER)
        assert await market.read(lambda tx: tx.access_tokens.get(token.id)) == changed
        assert await market.read(lambda tx: tx.access_tokens.of_user(ALICE.id)) == [changed]
        assert await market.read(lambda tx: tx.access_tokens.of_user(BOB.id)) == []


class TestApisWithoutADirectory:
    async def test_there_may_be_many_and_a_removed_one_keeps_its_name(self, market: Storage) -> None:
        removed = await market.write(lambda tx: tx.registry.save(replace(API, stage=ApiStage.REMOVED), 1))
        assert await market.read(lambda tx: tx.registry.by_name("alice", "one")) == removed
        assert [api.slug for api in await market.read(lambda tx: tx.registry.all())] == ["two"]
