"""Taking in: what is published becomes visible whole, once, to those who may read it; all else is refused and leaves
nothing."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from local_server.domain.errors import ApimarketError
from local_server.domain.manifest import Visibility
from local_server.domain.packs import PackedBlob, PackReader, make_frame, read_frame
from local_server.domain.publishing import Limits, Missing, Outcome
from local_server.domain.registry_errors import NameTaken
from local_server.domain.signatures import SIGNATURE_BYTES, encoded
from local_server.domain.sync_errors import (
    ApiRemovedForGood,
    BadSignature,
    HeadMoved,
    NotYours,
    ObjectNotFound,
    OpReused,
    PackDamaged,
    PublishRefused,
    StaleRef,
    TooMuchStaged,
    TreeMismatch,
    TreeTooLarge,
    VersionExists,
)
from local_server.domain.trees import Tree, TreeEntry
from tests.publishing.conftest import Account, Market, OpenMarket, a_pack, in_pieces, tree_of
from tests.storage.factories import an_api

FILES = {"main.py": b"print(1)\n", "README.md": b"# One\n", "apimarket.toml": b"x"}


async def counts(market: Market) -> tuple[int, int, int]:
    """Published APIs, versions, changes: all that anybody could see."""

    def question(tx: Any) -> tuple[int, int, int]:
        connection = tx.published._connection
        names = ("published_refs", "api_versions", "feed")
        one, two, three = (connection.execute(f"select count(*) as n from {name}", {})[0]["n"] for name in names)
        return one, two, three

    return await market.storage.read(question)


class TestPublish:
    async def test_a_version_is_there_whole(self, ana: Account) -> None:
        done = await ana.publish("one", FILES)
        reading = ana.market.open.reading
        refs, versions = await reading.api(ana.user, "ana", "one")
        assert refs.head is not None
        assert (refs.head.tree, refs.head_rev, [one.semver for one in versions]) == (
            tree_of(FILES).digest, 1, ["1.0.0"],
        )  # fmt: skip
        assert (done.published.change, done.replayed) == (1, False)
        tree, _ = await reading.tree(ana.user, refs.head.tree, None, None)
        assert tree == tree_of(FILES)

    async def test_the_same_operation_again_is_answered_the_same_and_does_nothing(self, ana: Account) -> None:
        head = ana.head("one", FILES, "1.0.0")
        first = await ana.send("one", head, list(FILES.values()))
        assert isinstance(first, Outcome)
        for _ in range(3):
            assert await ana.send("one", head, list(FILES.values())) == replace(first, replayed=True)
        assert await counts(ana.market) == (1, 1, 1)
        with pytest.raises(OpReused):
            await ana.send("one", ana.head("one", {"main.py": b"2"}, "1.0.0", op=head["op"]), [b"2"])

    async def test_of_two_on_one_revision_one_wins(self, ana: Account) -> None:
        first = await ana.publish("one", FILES)
        upon = {"if_head_rev": 1, "parents": [first.published.version]}
        each = [
            ana.send("one", ana.head("one", {"main.py": content}, f"1.{at}.0", **upon), [content])
            for at, content in enumerate((b"a", b"b", b"c", b"d"), start=1)
        ]
        done = await asyncio.gather(*each, return_exceptions=True)
        assert sorted(type(one).__name__ for one in done) == ["HeadMoved"] * 3 + ["Outcome"]
        assert await counts(ana.market) == (1, 2, 2)

    async def test_a_number_is_taken_once(self, ana: Account) -> None:
        first = await ana.publish("one", FILES)
        upon = {"if_head_rev": 1, "parents": [first.published.version]}
        with pytest.raises(VersionExists) as refused:
            await ana.send("one", ana.head("one", {"main.py": b"2"}, "1.0.0", **upon), [b"2"])
        assert refused.value.extra["tree"] == tree_of(FILES).digest
        assert "1.0.1" in refused.value.hint

    async def test_a_difference_is_told_from_a_tree_that_one_may_read(self, ana: Account, bob: Account) -> None:
        await ana.publish("one", FILES)
        newer = {**FILES, "main.py": b"print(2)\n"}
        await ana.publish("one", newer, "1.1.0", base=tree_of(FILES))
        head = bob.head("two", newer, "1.0.0", base=tree_of(FILES))
        unknown = await bob.send("two", head, list(newer.values()))
        assert isinstance(unknown, Missing)
        assert not unknown.base_known

    async def test_the_listing_is_what_the_version_says(self, ana: Account) -> None:
        openapi = {"openapi": "3.1.0", "paths": {"/rain": {"get": {"summary": "Rain"}}}}
        await ana.publish("one", FILES, visibility="public", openapi=openapi)
        api = await ana.market.storage.read(lambda tx: tx.registry.by_name("ana", "one"))
        assert api is not None
        card = await ana.market.storage.read(lambda tx: tx.catalogue.card(api.id))
        texts = await ana.market.storage.read(lambda tx: tx.catalogue.texts(api.id))
        assert card is not None
        assert texts is not None
        assert (card.listing.full_name, card.listing.version, texts.readme) == ("ana/one", "1.0.0", "# One\n")
        assert [one.path for one in texts.endpoints] == ["/rain"]
        assert len(await ana.market.storage.read(lambda tx: tx.plans.offered(api.id))) == 1

    async def test_the_feed_of_64_publishers_at_once_has_no_gap(self, market: Market) -> None:
        accounts = [await market.account(100 + number, f"dev-{number}") for number in range(64)]
        done = await asyncio.gather(*(one.publish("one", {"main.py": one.user.handle.encode()}) for one in accounts))
        assert sorted(one.published.change for one in done) == list(range(1, 65))
        told = await market.storage.read(lambda tx: tx.published._connection.execute("select number from feed", {}))
        assert sorted(row["number"] for row in told) == list(range(1, 65))


HOSTILE_PATHS = [
    "../x", "/etc/passwd", "a/../b", "a//b", "./a", "a\\b", "a\0b", "a\nb", "", "e\u0301.py", "x" * 1025, "\ud800",
    "C:\\x", "a/./b", "..", ".", "a/",
]  # fmt: skip


def meaning(pack: bytes) -> tuple[bytes | None, bytes] | None:
    """The head and the blob of a pack with one frame, if it can be read."""
    reader = PackReader()
    try:
        reader.feed(pack)
        blob = json.loads(reader.head or b"")["blobs"][0]
        reader.expect([PackedBlob(blob["sha256"], blob["size_bytes"], blob["packed_bytes"])])
        (frame,) = reader.frames()
        return reader.head, read_frame(frame)
    except (ApimarketError, ValueError):
        return None


class TestRefused:
    """Nothing of it is there afterwards."""

    async def refused(self, account: Account, error: type[ApimarketError], slug: str = "one", **more: Any) -> str:
        files = more.pop("files", FILES)
        owner = more.pop("owner", "")
        before = await counts(account.market)
        with pytest.raises(error) as refusal:
            await account.send(slug, account.head(slug, files, more.pop("semver", "1.0.0"), **more), list(
                files.values()), owner)  # fmt: skip
        assert await counts(account.market) == before
        return refusal.value.detail

    async def test_a_forged_signature(self, ana: Account, bob: Account) -> None:
        await self.refused(ana, BadSignature, forged={"signature": encoded(bytes(SIGNATURE_BYTES))})
        await self.refused(ana, BadSignature, forged={"signature": "not base64"})
        theirs = bob.head("one", FILES, "1.0.0")
        await self.refused(ana, BadSignature, forged={key: theirs[key] for key in ("signer", "signature")})

    @pytest.mark.parametrize("database", ["sqlite"], indirect=True)
    async def test_what_was_signed_for_another_version_api_or_marketplace(
        self, ana: Account, open_market: OpenMarket
    ) -> None:
        other = ana.head("one", FILES, "2.0.0")["signature"]
        await self.refused(ana, BadSignature, forged={"signature": other})
        other = ana.head("two", FILES, "1.0.0")["signature"]
        await self.refused(ana, BadSignature, forged={"signature": other})
        elsewhere = await (await open_market("elsewhere")).account(1, "ana")
        assert elsewhere.private_key == ana.private_key
        other = elsewhere.head("one", FILES, "1.0.0")["signature"]
        await self.refused(ana, BadSignature, forged={"signature": other})

    async def test_a_key_that_was_revoked(self, ana: Account) -> None:
        await ana.publish("one", FILES)
        signer = ana.head("one", FILES, "1.0.0")["signer"]
        await ana.market.open.keys.revoke(ana.user, signer)
        await self.refused(ana, BadSignature, slug="two")
        assert len((await ana.market.open.reading.api(ana.user, "ana", "one"))[1]) == 1

    async def test_every_flipped_bit_is_noticed(self, ana: Account) -> None:
        """Of a request, one at a time: head, sizes, frame. A few pad the last byte of a stream, and mean nothing."""
        whole = a_pack(ana.head("one", {"x": b"print(1)"}, "1.0.0"), [make_frame(b"print(1)")])
        places = [(byte, 1 << bit) for byte in range(len(whole)) for bit in (range(8) if byte % 7 == 0 else [byte % 8])]
        meaningless = 0
        for byte, bit in places:
            damaged = bytearray(whole)
            damaged[byte] ^= bit
            if meaning(bytes(damaged)) == meaning(whole):
                meaningless += 1
                continue
            with pytest.raises(ApimarketError) as refused:
                await ana.market.open.intake.publish(ana.user, "ana", "one", in_pieces(bytes(damaged)))
            assert refused.value.status in (413, 422), (byte, bit)
        assert meaningless < 12
        assert await counts(ana.market) == (0, 0, 0)

    @pytest.mark.parametrize("path", HOSTILE_PATHS, ids=range(len(HOSTILE_PATHS)))
    async def test_a_hostile_path(self, ana: Account, path: str) -> None:
        tree = Tree({path: TreeEntry.of(b"x")}) if path != "\ud800" else tree_of({"x": b"x"})
        more = {"tree": tree} if path != "\ud800" else {"put": [{"path": path, "sha256": "0" * 64, "size_bytes": 1}]}
        await self.refused(ana, PublishRefused, files={"x": b"x"}, **more)

    @pytest.mark.parametrize(
        "paths", [("a.py", "A.py"), ("lib", "lib/x"), ("LIB", "lib/x"), ("stra\u00dfe", "strasse")], ids=range(4)
    )
    async def test_two_paths_of_which_a_disk_may_hold_one(self, ana: Account, paths: tuple[str, str]) -> None:
        files = {path: path.encode() for path in paths}
        await self.refused(ana, PublishRefused, files=files)

    async def test_what_contradicts_itself(self, ana: Account) -> None:
        await self.refused(ana, TreeMismatch, put=[])
        await self.refused(ana, PublishRefused, delete=["gone.py"])
        await self.refused(ana, PublishRefused, op="short")
        await self.refused(ana, PublishRefused, semver="1.0")
        await self.refused(ana, PublishRefused, forged={"if_head_rev": -1})
        await self.refused(ana, PublishRefused, forged={"unheard": 1})
        await self.refused(ana, HeadMoved, if_head_rev=3)

    @pytest.mark.parametrize(
        "changed",
        [{"name": "other"}, {"memory_mb": 1}, {"runtime": "cobol"}, {"tags": "X Y"}, {"plans": [1]},
         {"summary": 5}, {"summary": "a\nb"}, {"gateway": None}, {"visibility": "secret"}],
        ids=range(9),
    )  # fmt: skip
    async def test_a_manifest_that_no_file_could_say(self, ana: Account, changed: dict[str, Any]) -> None:
        manifest = ana.head("one", FILES, "1.0.0")["manifest"] | changed
        await self.refused(ana, PublishRefused, manifest=manifest)

    async def test_numbers_and_texts_that_json_has_no_canonical_form_for(self, ana: Account) -> None:
        for openapi in ({"x": float("nan")}, {"x": "\ud800"}, {"x": "y" * 3_000_000}):
            await self.refused(ana, PublishRefused, openapi=openapi)

    async def test_somebody_elses_api(self, ana: Account, bob: Account) -> None:
        await ana.publish("one", FILES, visibility="public")
        await self.refused(bob, NotYours, owner="ana")

    async def test_an_api_that_lives_in_a_directory_here(self, ana: Account) -> None:
        api = an_api(50, "one", user=ana.user, directory="/home/ana/one")
        await ana.market.storage.write(lambda tx: tx.registry.add(api))
        await self.refused(ana, NameTaken)

    async def test_history_that_would_be_rewritten(self, ana: Account) -> None:
        await ana.publish("one", FILES)
        await self.refused(ana, PublishRefused, semver="1.1.0", if_head_rev=1, parents=[])
        await self.refused(ana, PublishRefused, semver="1.1.0", if_head_rev=1, parents=["0" * 64])

    async def test_a_tree_of_100_000_files(self, ana: Account) -> None:
        entry = TreeEntry.of(b"x")
        tree = Tree({f"{number}": entry for number in range(100_000)})
        detail = await self.refused(ana, TreeTooLarge, files={"x": b"x"}, tree=tree)
        assert "20,000 are allowed" in detail

    async def test_more_than_an_account_may_have_waiting(self, open_market: OpenMarket) -> None:
        market = await open_market(limits=Limits(staged_bytes=1000, uploads=2))
        ana = await market.account(1, "ana")
        await self.refused(ana, TooMuchStaged, files={"x": b"x" * 1001})
        for number in (1, 2):
            assert isinstance(await ana.send("one", ana.head("one", {"x": b"%d" % number}, "1.0.0")), Missing)
        with pytest.raises(TooMuchStaged):
            await ana.send("one", ana.head("one", {"x": b"3"}, "1.0.0"))

    async def test_a_frame_that_is_not_asked_for(self, ana: Account) -> None:
        with pytest.raises(ApimarketError) as refused:
            await ana.send("one", ana.head("one", FILES, "1.0.0"), [b"something else"])
        assert refused.value.code == "blob_unwanted"

    async def test_a_body_that_is_no_pack(self, ana: Account) -> None:
        for body in (b"", b"AMP1", b"PK\3\4" + bytes(40), b"AMP1" + (99).to_bytes(4, "big") + b"x"):
            with pytest.raises(PackDamaged):
                await ana.market.open.intake.publish(ana.user, "ana", "one", in_pieces(body))


class TestReading:
    async def test_what_is_private_and_what_is_not_there_are_one_answer(self, ana: Account, bob: Account) -> None:
        done = await ana.publish("one", FILES)
        reading = ana.market.open.reading
        tree, missing = done.published.tree, "f" * 64
        blob = TreeEntry.of(FILES["main.py"]).sha256
        asked = [
            (lambda name: reading.api(bob.user, "ana", name), "one", "two"),
            (lambda name: reading.version(bob.user, "ana", name, "1.0.0"), "one", "two"),
            (lambda digest: reading.tree(bob.user, digest, None, None), tree, missing),
            (lambda digest: reading.tree(bob.user, digest, None, "ana/one"), tree, missing),
            (lambda digest: reading.pack(bob.user, digest, None, [blob], None), tree, missing),
            (lambda digest: reading.blob_size(bob.user, digest, blob, None), tree, missing),
        ]
        for ask, there, not_there in asked:
            answers = []
            for name in (there, not_there):
                with pytest.raises(ObjectNotFound) as refused:
                    await ask(name)
                answers.append(refused.value.detail.replace(name, "*"))
            assert answers[0] == answers[1]
        # A base that is somebody else's is as one that nobody has.
        mine = await bob.publish("mine", {"x": b"x"})
        assert (await reading.tree(bob.user, mine.published.tree, tree, None))[1] is None

    async def test_that_somebody_else_has_a_blob_is_not_told(self, ana: Account, bob: Account) -> None:
        await ana.publish("one", FILES)
        lacking = await bob.send("one", bob.head("one", FILES, "1.0.0"))
        assert isinstance(lacking, Missing)
        assert set(lacking.missing) == {TreeEntry.of(content).sha256 for content in FILES.values()}

    async def test_an_unlisted_api_is_read_by_its_name(self, ana: Account, bob: Account) -> None:
        done = await ana.publish("one", FILES, visibility="unlisted")
        reading = ana.market.open.reading
        assert (await reading.api(bob.user, "ana", "one"))[0].head_rev == 1
        assert (await reading.tree(bob.user, done.published.tree, None, "ana/one"))[0] == tree_of(FILES)
        with pytest.raises(ObjectNotFound):
            await reading.tree(bob.user, done.published.tree, None, None)
        assert (await reading.snapshot(bob.user))[0] == []
        assert (await reading.changes(bob.user, "")).told == []


class TestRefs:
    async def test_visibility_is_changed_by_whoever_saw_the_newest(self, ana: Account, bob: Account) -> None:
        await ana.publish("one", FILES)
        refs, reading = ana.market.open.refs, ana.market.open.reading
        changed = await refs.show_to(ana.user, "ana", "one", Visibility.PUBLIC, 1)
        assert (changed.visibility, changed.visibility_rev) == (Visibility.PUBLIC, 2)
        with pytest.raises(StaleRef):
            await refs.show_to(ana.user, "ana", "one", Visibility.PRIVATE, 1)
        with pytest.raises(NotYours):
            await refs.show_to(bob.user, "ana", "one", Visibility.PRIVATE, 2)
        assert (await reading.api(bob.user, "ana", "one"))[0] == changed
        # A version whose manifest says the same as before leaves what was set meanwhile.
        await ana.publish("one", {"x": b"2"}, "1.1.0")
        assert (await reading.api(bob.user, "ana", "one"))[0].visibility is Visibility.PUBLIC
        await refs.show_to(ana.user, "ana", "one", Visibility.PRIVATE, 2)
        with pytest.raises(ObjectNotFound):
            await reading.api(bob.user, "ana", "one")
        assert [told.withdrawn for told in (await reading.changes(bob.user, "")).told] == [True]

    async def test_a_manifest_that_says_another_visibility_changes_it(self, ana: Account) -> None:
        await ana.publish("one", FILES)
        await ana.publish("one", {"x": b"2"}, "1.1.0", visibility="public")
        refs, _ = await ana.market.open.reading.api(ana.user, "ana", "one")
        assert (refs.visibility, refs.visibility_rev) == (Visibility.PUBLIC, 2)

    async def test_a_version_is_yanked_and_put_back(self, ana: Account) -> None:
        await ana.publish("one", FILES)
        refs, reading = ana.market.open.refs, ana.market.open.reading
        yanked = await refs.yank(ana.user, "ana", "one", "1.0.0", "leaks", 0)
        assert (yanked.yanked, yanked.yanked_rev) == ({"1.0.0": "leaks"}, 1)
        version, _ = await reading.version(ana.user, "ana", "one", "1.0.0")
        assert (version.is_yanked, version.yanked_reason) == (True, "leaks")
        assert (await refs.yank(ana.user, "ana", "one", "1.0.0", None, 1)).yanked == {}
        with pytest.raises(ObjectNotFound):
            await refs.yank(ana.user, "ana", "one", "9.0.0", "", 2)

    async def test_a_removed_api_keeps_its_name(self, ana: Account, bob: Account) -> None:
        await ana.publish("one", FILES, visibility="public")
        refs, reading = ana.market.open.refs, ana.market.open.reading
        with pytest.raises(StaleRef):
            await refs.remove(ana.user, "ana", "one", 7)
        removed = await refs.remove(ana.user, "ana", "one", 1)
        assert removed.removed
        assert [api.slug for api in ana.market.stopped] == ["one"]
        with pytest.raises(ApiRemovedForGood):
            await ana.publish("one", {"x": b"2"}, "2.0.0")
        with pytest.raises(ObjectNotFound):
            await reading.api(bob.user, "ana", "one")
        assert await ana.market.storage.read(lambda tx: tx.catalogue.card(removed.api_id)) is None
        assert (await reading.changes(bob.user, "")).told[-1].change.refs.removed

    async def test_who_waits_is_told_at_once(self, ana: Account) -> None:
        await ana.publish("one", FILES)
        reading = ana.market.open.reading
        cursor = str(await reading.feed_end())
        waiting = asyncio.create_task(reading.changes(ana.user, cursor, 60))
        await asyncio.sleep(0)
        await ana.publish("one", {"x": b"2"}, "1.1.0")
        async with asyncio.timeout(10):
            told = (await waiting).told
        assert [one.change.number for one in told] == [2]
