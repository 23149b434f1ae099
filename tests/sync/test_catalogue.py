"""Following the catalogue of a marketplace: from wherever it broke off, and whatever the other side tells."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_server.client.errors import ServerUnreachableError
from local_server.domain.catalogue_search import NO_FILTERS
from local_server.domain.publish_errors import MarketplaceUnreachable
from local_server.storage.base import Storage
from local_server.storage.sqlite import SqliteStorage
from local_server.sync import catalogue
from local_server.sync.catalogue import CatalogueFollower
from local_server.sync.copied import changes_of
from local_server.system import RealSystem
from local_server.wire.market import CatalogueFeed, SearchView
from tests.storage.factories import an_id

HUB = "https://hub.example"
CARD: dict[str, Any] = {
    "name": "ana/weather", "owner": "ana", "slug": "weather", "summary": "Forecasts", "tags": ["geo", "maps"],
    "category": "data", "runtime": "python", "version": "1.2.0", "visibility": "public", "free": False,
    "price_from": "4.50 EUR", "rating": 4.5, "reviews": 2, "subscribers": 7, "requests": 8, "success_rate": 0.875,
    "p95_ms": 12.5, "quality": 0.61, "published_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05Z",
}  # fmt: skip


def a_change(number: int, changed: int = 0, **more: Any) -> dict[str, Any]:
    card = CARD | {"id": an_id(number), "slug": f"api-{number}"} | more
    return {"id": card["id"], "changed": changed or number, "api": card, "paths": ["/forecast/{city}"]}


def a_removal(number: int, changed: int) -> dict[str, Any]:
    return {"id": an_id(number), "changed": changed, "api": None}


@dataclass
class Hub:
    """A marketplace that tells what it is told to. Stands for its client too."""

    changes: list[dict[str, Any]] = field(default_factory=list)
    origin: str = "hub"
    page: int = 3
    asked: list[int] = field(default_factory=list)
    breaks: int = 0
    """So many questions more, then the line breaks; 0: never."""

    async def __aenter__(self) -> "Hub":
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    def change(self, change: dict[str, Any]) -> None:
        """Of each API there is one change: the last."""
        self.changes = [one for one in self.changes if one["id"] != change["id"]] + [change]

    async def catalogue(self, since: int) -> CatalogueFeed:
        self.asked.append(since)
        if self.breaks:
            self.breaks -= 1
            if not self.breaks:
                raise ServerUnreachableError(HUB, "the line broke")
        later = [one for one in self.changes if one["changed"] > since]
        newest = max((one["changed"] for one in self.changes), default=0)
        told, complete = later[: self.page], len(later) <= self.page
        document = {
            "changes": told, "next": newest if complete else told[-1]["changed"], "complete": complete,
            "origin": self.origin,
        }  # fmt: skip
        return CatalogueFeed.model_validate(json.loads(json.dumps(document)))

    async def search(self, query: str, timeout_s: float) -> SearchView:
        raise ServerUnreachableError(HUB, "it is away")


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    opened = await SqliteStorage.open(tmp_path / "registry.db", lambda event: None)
    yield opened
    await opened.close()


def following(storage: Storage, hub: Any) -> CatalogueFollower:
    return CatalogueFollower(storage, RealSystem(), lambda: [HUB], lambda url: hub)


async def names(storage: Storage) -> set[str]:
    return {one.slug for one in await storage.read(lambda tx: tx.copies.search(HUB).candidates("", NO_FILTERS, 1000))}


class TestFollowing:
    async def test_all_of_it_then_what_changed(self, storage: Storage) -> None:
        hub = Hub([a_change(number) for number in range(1, 9)])
        follower = following(storage, hub)
        await follower.refresh(HUB)
        assert (hub.asked, len(await names(storage))) == ([0, 3, 6], 8)
        hub.change(a_removal(2, 9))
        hub.change(a_change(5, 10, slug="renamed"))
        await follower.refresh(HUB)
        assert hub.asked[3:] == [8]
        assert await names(storage) == {"api-1", "api-3", "api-4", "renamed", "api-6", "api-7", "api-8"}
        copy = await storage.read(lambda tx: tx.copies.get(HUB))
        assert copy is not None
        assert (copy.cursor, copy.listings, copy.is_whole, follower.troubles) == (10, 7, True, {})

    async def test_it_goes_on_where_it_broke_off(self, storage: Storage) -> None:
        hub = Hub([a_change(number) for number in range(1, 9)], breaks=3)
        await following(storage, hub).refresh(HUB)
        copy = await storage.read(lambda tx: tx.copies.get(HUB))
        assert copy is not None
        assert (copy.cursor, copy.is_whole, len(await names(storage))) == (6, False, 6)
        await following(storage, hub).refresh(HUB)  # another server, on the same data
        assert hub.asked == [0, 3, 6, 6]
        assert len(await names(storage)) == 8

    async def test_whoever_asks_meanwhile_waits_for_the_same(self, storage: Storage) -> None:
        hub = Hub([a_change(1)])
        follower = following(storage, hub)
        await asyncio.gather(*(follower.refresh(HUB) for _ in range(64)))
        assert (hub.asked, follower.refreshing(HUB)) == ([0], False)

    async def test_one_that_gives_up_waiting_stops_nobody(self, storage: Storage) -> None:
        hub = Hub([a_change(1)])
        follower = following(storage, hub)
        impatient = asyncio.create_task(follower.refresh(HUB))
        patient = asyncio.create_task(follower.refresh(HUB))
        await asyncio.sleep(0)
        impatient.cancel()
        await patient
        assert await names(storage) == {"api-1"}

    @pytest.mark.parametrize("how", ["another catalogue", "an older one"])
    async def test_another_catalogue_at_the_address_replaces_it(self, storage: Storage, how: str) -> None:
        follower = following(storage, Hub([a_change(number) for number in range(1, 9)]))
        await follower.refresh(HUB)
        other = Hub([a_change(20, 1), a_change(3, 2)], origin="other" if how == "another catalogue" else "hub")
        await following(storage, other).refresh(HUB)
        assert await names(storage) == {"api-20", "api-3"}
        copy = await storage.read(lambda tx: tx.copies.get(HUB))
        assert copy is not None
        assert (copy.origin, copy.cursor, copy.listings) == (other.origin, 2, 2)

    async def test_an_outage_is_told_and_the_copy_stays(self, storage: Storage) -> None:
        hub = Hub([a_change(1)])
        follower = following(storage, hub)
        await follower.refresh(HUB)
        hub.breaks = 1
        await follower.refresh(HUB)
        assert "the line broke" in follower.troubles[HUB]
        assert await names(storage) == {"api-1"}
        with pytest.raises(MarketplaceUnreachable):
            await follower.ask(HUB, "q=x")
        await follower.refresh(HUB)
        assert follower.troubles == {}

    async def test_a_forgotten_one_is_gone(self, storage: Storage) -> None:
        follower = following(storage, Hub([a_change(number) for number in range(1, 9)]))
        await follower.refresh(HUB)
        await follower.forget(HUB)
        assert await storage.read(lambda tx: tx.copies.all()) == []
        assert await names(storage) == set()

    @settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    async def test_it_ends_as_the_original_whatever_breaks(self, storage: Storage, data: st.DataObject) -> None:
        await storage.write(lambda tx: tx.copies.forget(HUB))
        hub = Hub()
        for changed in range(1, data.draw(st.integers(1, 30)) + 1):
            number = data.draw(st.integers(1, 8))
            gone = data.draw(st.booleans())
            hub.change(a_removal(number, changed) if gone else a_change(number, changed, slug=f"v{changed}"))
            if data.draw(st.integers(0, 3)) == 0:
                hub.page, hub.breaks = data.draw(st.integers(1, 4)), data.draw(st.integers(0, 3))
                await following(storage, hub).refresh(HUB)
        hub.breaks = 0
        await following(storage, hub).refresh(HUB)
        assert await names(storage) == {one["api"]["slug"] for one in hub.changes if one["api"]}


class Liar(Hub):
    """Tells the same document whatever it is asked."""

    def __init__(self, document: dict[str, Any]) -> None:
        super().__init__()
        self._document = {"origin": "hub", "complete": False} | document

    async def catalogue(self, since: int) -> CatalogueFeed:
        self.asked.append(since)
        if len(self.asked) > 50:
            raise AssertionError("asked for ever")
        return CatalogueFeed.model_validate(self._document)


class TestBadFeeds:
    @pytest.mark.parametrize(
        "document",
        [
            {"changes": [], "next": 0},
            {"changes": [], "next": -5, "complete": True},
            {"changes": [a_change(1, 5), a_change(2, 4)], "next": 9},
            {"changes": [a_change(1, 5)], "next": 4},
            {"changes": [a_change(1, 5)], "next": 9},
            {"changes": [a_change(1, 2**70)], "next": 2**70},
            {"changes": [a_change(1, 0)], "next": 0, "complete": True},
        ],
        ids=["no step", "backwards", "no order", "beyond its end", "the same again", "huge", "below zero"],
    )
    async def test_it_is_left_with_a_word(self, storage: Storage, document: dict[str, Any]) -> None:
        if document["changes"]:
            document = document | {"changes": [one | {"changed": one["changed"] or -1} for one in document["changes"]]}
        follower = following(storage, Liar(document))
        await follower.refresh(HUB)
        assert "catalogue" in follower.troubles[HUB]
        assert len(await names(storage)) <= 1

    async def test_one_that_is_another_at_every_question(self, storage: Storage) -> None:
        class Chameleon(Hub):
            async def catalogue(self, since: int) -> CatalogueFeed:
                self.origin = f"origin {len(self.asked)}"
                return await super().catalogue(since)

        follower = following(storage, Chameleon([a_change(number) for number in range(1, 9)]))
        await follower.refresh(HUB)
        assert "another catalogue" in follower.troubles[HUB]

    async def test_one_without_an_end(self, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
        class Endless(Hub):
            async def catalogue(self, since: int) -> CatalogueFeed:
                feed = {"changes": [], "next": since + 1, "complete": False, "origin": "hub"}
                return CatalogueFeed.model_validate(feed)

        monkeypatch.setattr(catalogue, "MOST_PAGES", 30)
        follower = following(storage, Endless())
        await follower.refresh(HUB)
        assert "without an end" in follower.troubles[HUB]


def taken(*changes: dict[str, Any]) -> Sequence[Any]:
    feed = CatalogueFeed.model_validate({"changes": changes, "next": 1000, "complete": True})
    found = changes_of(feed, 0)
    assert found is not None
    return found


class TestStrangersWords:
    def test_a_proper_one_is_what_it_says(self) -> None:
        (one,) = taken(a_change(1))
        assert (one.listing.price_from_minor, one.listing.currency, one.listing.full_name) == (450, "EUR", "ana/api-1")
        assert (one.standing.rating_sum, one.standing.requests, one.standing.faults) == (9, 8, 1)
        assert (one.standing.p95_us, one.quality, one.paths) == (12_500, 0.61, ("/forecast/{city}",))

    @pytest.mark.parametrize(
        "more",
        [
            {"owner": "../etc"}, {"slug": "a/b"}, {"slug": "x" * 64}, {"runtime": "python\x1b[2J"},
            {"published_at": "0001-01-01T00:00:00Z"}, {"published_at": "2026-01-01T00:00:00"},
            {"updated_at": "9999-12-31T23:59:59-10:00"},
        ],
        ids=str,
    )  # fmt: skip
    def test_what_cannot_be_is_not_there(self, more: dict[str, Any]) -> None:
        (one,) = taken(a_change(1, **more))
        assert one.api_id == an_id(1)

    def test_an_id_that_is_none_is_passed_over(self) -> None:
        assert taken(a_change(1) | {"id": "x" * 65}, a_removal(2, 3) | {"id": "\0"}) == []

    async def test_the_rest_is_cut_off_or_left_out_and_can_be_stored(self, storage: Storage) -> None:
        wild = a_change(
            1, summary="\x1b[31m" + "s" * 10_000, tags=["ok", "NOT", "a b", *(f"t{n}" for n in range(99))],
            category="<b>", version="v" * 999, price_from="1e9 EUR", rating=float("nan"), reviews=-3,
            subscribers=10**30, requests=2**80, success_rate=float("-inf"), p95_ms=float("inf"),
            quality=float("nan"),
        )  # fmt: skip
        wild["paths"] = ["/" + "p" * 999] * 99
        (one,) = taken(wild)
        assert (len(one.listing.summary), len(one.listing.tags), one.listing.category) == (300, 20, "")
        assert one.listing.tags[:2] == ("ok", "t0")
        assert (one.listing.price_from_minor, one.standing.rating_sum, one.standing.rating_count) == (None, 0, 0)
        assert (one.standing.p95_us, one.quality, sum(map(len, one.paths)) <= 4000) == (None, 0.0, True)

        class Wild(Hub):
            async def catalogue(self, since: int) -> CatalogueFeed:
                return CatalogueFeed.model_validate({"changes": [wild], "next": 1, "complete": True, "origin": "x"})

        await following(storage, Wild()).refresh(HUB)
        assert await names(storage) == {"api-1"}
