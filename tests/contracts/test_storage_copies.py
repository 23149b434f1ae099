"""What a store promises of copies of other servers' catalogues: they are found as the originals are."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_server.domain import catalogue_copy
from local_server.domain.catalogue import Standing
from local_server.domain.catalogue_copy import CopiedChange, CopiedListing, CopiedRemoval
from local_server.domain.catalogue_search import NO_FILTERS, Filters, Sort
from local_server.domain.ids import ApiId
from local_server.storage.base import ReadTx, Storage, Tx
from local_server.storage.market import CatalogueSearch, Change
from local_server.storage.sql import copies
from tests.contracts.test_storage_market import a_listing, listed
from tests.storage.factories import NOON, an_id

HUB, OTHER = "https://hub.example", "https://other.example"


def a_copied(number: int, changed: int = 0, quality: float = 0.5, **more: Any) -> CopiedListing:
    standing = Standing(number % 40, 10, number % 7, 100, number % 3, 50_000)
    return CopiedListing(a_listing(number, **more), standing, quality, ("/forecast/{city}",), changed or number)


def gone(number: int, changed: int) -> CopiedRemoval:
    return CopiedRemoval(ApiId(an_id(number)), changed)


async def copied(storage: Storage, *changes: CopiedChange, remote: str = HUB) -> None:
    def act(tx: Tx) -> None:
        if tx.copies.get(remote) is None:
            tx.copies.begin(remote, "origin")
        tx.copies.take(remote, changes, changes[-1].changed)

    await storage.write(act)


async def names(storage: Storage, text: str = "", filters: Filters = NO_FILTERS, remote: str = HUB) -> list[str]:
    found = await storage.read(lambda tx: tx.copies.search(remote).candidates(text, filters, 100))
    return sorted(one.slug for one in found)


class TestCopying:
    async def test_one_comes_back_as_it_was(self, storage: Storage) -> None:
        one = a_copied(1, free=False, price_from_minor=450)
        await copied(storage, one)
        (card,) = await storage.read(lambda tx: tx.copies.search(HUB).cards([one.listing.api_id, ApiId("gone")]))
        assert (card.listing, card.standing, card.quality, card.changed) == (one.listing, one.standing, 0.5, 1)
        copy = await storage.read(lambda tx: tx.copies.get(HUB))
        assert copy is not None
        assert (copy.cursor, copy.listings, copy.is_whole) == (1, 1, False)
        await storage.write(lambda tx: tx.copies.settle(HUB, NOON))
        assert await storage.read(lambda tx: tx.copies.all()) == [replace(copy, checked_at=NOON)]

    async def test_changes_replace_and_remove_and_are_taken_once(self, storage: Storage) -> None:
        await copied(storage, a_copied(1), a_copied(2), a_copied(3))
        await copied(storage, a_copied(2, 4, quality=0.9, slug="renamed", tags=("new",)), gone(3, 5), gone(9, 6))
        assert await names(storage) == ["api-1", "renamed"]
        assert await names(storage, "renamed") == ["renamed"]
        assert await names(storage, "", Filters(tags=("geo",))) == ["api-1"]
        assert await names(storage, "", Filters(tags=("new",))) == ["renamed"]
        await copied(storage, gone(1, 6))  # up to there it is known already
        assert await names(storage) == ["api-1", "renamed"]
        copy = await storage.read(lambda tx: tx.copies.get(HUB))
        assert copy is not None
        assert (copy.cursor, copy.listings) == (6, 2)

    async def test_copies_are_apart(self, storage: Storage) -> None:
        await copied(storage, a_copied(1), a_copied(2))
        await copied(storage, a_copied(1, slug="elsewhere"), remote=OTHER)
        for text, filters in (("", NO_FILTERS), ("forec", NO_FILTERS), ("", Filters(tags=("geo",)))):
            assert await names(storage, text, filters) == ["api-1", "api-2"]
            assert await names(storage, text, filters, OTHER) == ["elsewhere"]
            assert await names(storage, text, filters, "https://unknown.example") == []
        assert await names(storage, "elsewhere") == []
        assert await storage.read(lambda tx: tx.catalogue.candidates("", NO_FILTERS, 10)) == []

    async def test_begun_anew_the_old_is_found_until_the_new_is_whole(self, storage: Storage) -> None:
        await copied(storage, *(a_copied(number) for number in range(1, 8)))
        await storage.write(lambda tx: tx.copies.settle(HUB, NOON))
        await storage.write(lambda tx: tx.copies.begin(HUB, "another"))
        await copied(storage, a_copied(5, 1), a_copied(20, 2))
        assert await storage.write(lambda tx: tx.copies.sweep(100)) == 0
        assert len(await names(storage)) == 8
        await storage.write(lambda tx: tx.copies.settle(HUB, NOON + timedelta(hours=1)))
        assert [await storage.write(lambda tx: tx.copies.sweep(4)) for _ in range(3)] == [4, 2, 0]
        assert await names(storage) == ["api-20", "api-5"]
        copy = await storage.read(lambda tx: tx.copies.get(HUB))
        assert copy is not None
        assert (copy.origin, copy.cursor, copy.listings) == ("another", 2, 2)

    async def test_a_forgotten_one_goes_whole(self, storage: Storage) -> None:
        await copied(storage, a_copied(1), a_copied(2))
        await copied(storage, a_copied(3), remote=OTHER)
        await storage.write(lambda tx: tx.copies.forget(HUB))
        assert await names(storage) == []
        assert [await storage.write(lambda tx: tx.copies.sweep(100)) for _ in range(2)] == [2, 0]
        assert await names(storage, remote=OTHER) == ["api-3"]
        await copied(storage, a_copied(7))
        assert await names(storage) == ["api-7"]

    async def test_there_is_room_for_so_many(self, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(copies, "MOST_COPIED", 2)
        assert catalogue_copy.MOST_COPIED == 250_000

        def act(tx: Tx) -> int:
            tx.copies.begin(HUB, "o")
            changes = [a_copied(1), a_copied(2), a_copied(3), a_copied(1, 4, slug="again"), gone(2, 5), a_copied(6)]
            return tx.copies.take(HUB, changes, 6)

        assert await storage.write(act) == 1
        assert await names(storage) == ["again", "api-6"]


WORDS = ["forecast", "any", "geo", "api", "alice", "city", "nothing"]


class TestSearching:
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        text=st.lists(st.sampled_from(WORDS), max_size=2).map(" ".join),
        tags=st.sets(st.sampled_from(["geo", "t1", "t2"])).map(tuple),
        category=st.sampled_from([None, "c1", "c2"]),
        free=st.sampled_from([None, True, False]),
        sort=st.sampled_from(list(Sort)),
    )
    async def test_a_copy_is_found_browsed_and_ordered_as_its_original(
        self,
        storage: Storage,
        text: str,
        tags: tuple[str, ...],
        category: str | None,
        free: bool | None,
        sort: Sort,
    ) -> None:
        await self._fill(storage)
        filters = Filters(category=category, tags=tags, free=free)

        def both(tx: ReadTx) -> list[Any]:
            return [self._answers(shelf, text, filters, sort) for shelf in (tx.catalogue, tx.copies.search(HUB))]

        original, copy = await storage.read(both)
        assert original == copy

    def _answers(self, shelf: CatalogueSearch, text: str, filters: Filters, sort: Sort) -> Any:
        first = shelf.browse(sort, filters, 7, None)
        rest = shelf.browse(sort, filters, 100, first[-1][0]) if first else []
        browsed = [(card.listing, card.standing, card.quality) for _, card in (*first, *rest)]
        if sort is Sort.BEST:  # of equal steps of quality each store keeps its own order
            browsed.sort(key=str)
        return {one.api_id: one for one in shelf.candidates(text, filters, 500)}, browsed

    async def _fill(self, storage: Storage) -> None:
        if await storage.read(lambda tx: tx.copies.get(HUB)) is not None:
            return
        many = [
            a_listing(
                number,
                tags=("geo", f"t{number % 3}"),
                category=f"c{number % 4}",
                free=number % 2 > 0,
                published_at=NOON + timedelta(seconds=number // 3),
            )
            for number in range(1, 41)
        ]
        await listed(storage, *many)

        def act(tx: Tx) -> None:
            tx.copies.begin(HUB, "o")
            for number, listing in enumerate(many, start=1):
                tx.catalogue.stand(listing.api_id, Standing(number, 10, number % 5, 100, 1, 9), NOON)
            changes = tx.catalogue.changes(0, 1000)
            taken = [
                CopiedListing(one.card.listing, one.card.standing, one.card.quality, one.paths, one.card.changed)
                for one in changes
                if isinstance(one, Change)
            ]
            tx.copies.take(HUB, taken, taken[-1].changed)

        await storage.write(act)
