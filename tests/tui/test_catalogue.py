"""The copy of a catalogue: what it finds, how it follows, and that nothing kept can break it."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from apimarket_tui.catalogue import Catalogue, Question
from apimarket_tui.marketplaces import Marketplaces, Place
from local_server.client import copies
from local_server.wire.market import CatalogueChange

from .fake_backend import FakeBackend
from .fake_market import MARKET_URL, NOW, FakeMarket, Remote, a_card, some_cards

PLACE = Place(MARKET_URL, "ana", "t0k3n")


def a_copy(*changes: CatalogueChange) -> Catalogue:
    copy = Catalogue()
    given = changes or tuple(CatalogueChange(id=card.id, changed=1, api=card) for card in some_cards())
    copy.take(given)
    return copy


def names(copy: Catalogue, **question: str) -> list[str]:
    return [card.slug for card in copy.search(Question(**question)).apis]  # type: ignore[arg-type]


class TestSearch:
    def test_every_word_by_its_beginning(self) -> None:
        assert names(a_copy(), text="TEXT lang") == ["translate", "ocr", "sentiment"]
        assert names(a_copy(), text="ranslate") == []

    def test_paths_are_found(self) -> None:
        copy = a_copy(CatalogueChange(id="x", changed=1, api=a_card("a/b", "nothing"), paths=["/moon/{phase}"]))
        assert names(copy, text="moon") == ["b"]

    def test_best_first_and_in_other_orders(self) -> None:
        assert names(a_copy())[:2] == ["weather-now", "fx-rates"]
        assert names(a_copy(), sort="rating")[:2] == ["fx-rates", "qr"]
        assert names(a_copy(), sort="name")[0] == "calendar"

    def test_what_narrows(self) -> None:
        assert names(a_copy(), category="media", price="free") == ["qr"]
        assert names(a_copy(), tag="geo", runtime="go") == ["timezones"]
        assert set(names(a_copy(), price="paid")) == {"fx-rates", "translate", "ocr", "thumbnails"}
        assert "thumbnails" not in names(a_copy(), rating="4")

    def test_facets_count_what_is_found(self) -> None:
        facets = a_copy().search(Question(text="geo")).facets
        assert {one.value: one.count for one in facets["category"]} == {"data": 4, "time": 1}


class TestFollowing:
    def test_a_change_takes_the_place_of_what_was(self) -> None:
        copy = a_copy()
        copy.take([CatalogueChange(id="api_qr", changed=9, api=None)])
        assert "qr" not in names(copy)
        copy.take([CatalogueChange(id="api_ocr", changed=10, api=a_card("lena/ocr", "Now reads music", id="api_ocr"))])
        assert names(copy, text="music") == ["ocr"]

    def test_it_does_not_grow_without_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("apimarket_tui.catalogue.MOST", 5)
        assert len(a_copy()) == 5


class TestKeeping:
    def test_what_was_written_is_read(self) -> None:
        copy = a_copy()
        copy.next, copy.read_at = 12, NOW
        again = Catalogue.read(copy.written())
        assert (again.next, again.read_at, names(again)) == (12, NOW, names(copy))

    @pytest.mark.parametrize(
        "kept",
        [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"format": 2}', b'{"format": 1}', b"[" * 100_000,
         b'{"format": 1, "next": 3, "read_at": "never", "changes": []}',
         b'{"format": 1, "next": 3, "read_at": null, "changes": [{"id": 5}]}'],
        ids=["empty", "cut", "list", "null", "bytes", "newer", "bare", "deep", "no date", "no change"],
    )  # fmt: skip
    def test_what_is_no_copy_is_an_empty_one(self, kept: bytes) -> None:
        read = Catalogue.read(kept)
        assert (len(read), read.next, read.read_at) == (0, 0, None)

    def test_a_directory_that_cannot_be_written_is_no_failure(self, tmp_path: Path) -> None:
        (tmp_path / "market").write_text("a file")
        copies.keep(tmp_path, MARKET_URL, b"copy")
        assert copies.read(tmp_path, MARKET_URL) is None


class Followed:
    """Copies of one marketplace, as the app holds them."""

    def __init__(self, home: Path | None) -> None:
        self.remote, self.now = Remote(), NOW
        backend = FakeBackend([])
        self.asked = 0
        self.all = Marketplaces(home, backend, None, self.connect, lambda: self.now)  # type: ignore[arg-type]

    def connect(self, url: str, token: str) -> FakeMarket:
        market = FakeMarket(self.remote)
        market.url = url
        return market


class TestRenewing:
    async def test_pages_are_read_to_the_end_and_kept(self, tmp_path: Path) -> None:
        followed = Followed(tmp_path)
        assert await followed.all.renew(PLACE) is None
        kept = json.loads(copies.read(tmp_path, MARKET_URL) or b"")
        assert (kept["next"], len(kept["changes"])) == (12, 12)
        copy = await Followed(tmp_path).all.copy(PLACE)
        assert (len(copy), copy.read_at) == (12, NOW)

    async def test_a_new_copy_is_not_asked_for_again(self) -> None:
        followed = Followed(None)
        await followed.all.renew(PLACE)
        followed.remote.down = True
        assert await followed.all.renew(PLACE) is None
        followed.now += timedelta(minutes=6)
        trouble = await followed.all.renew(PLACE)
        assert trouble is not None
        assert trouble.unreachable

    async def test_what_broke_off_goes_on_from_there(self) -> None:
        followed = Followed(None)
        copy = await followed.all.copy(PLACE)
        copy.take([CatalogueChange(id="api_x", changed=1, api=a_card("a/x", "first"))])
        copy.next = 10
        await followed.all.renew(PLACE)
        assert sorted(names(copy)) == ["qr", "timezones", "x"]

    async def test_a_feed_that_begins_anew_is_another_marketplaces(self) -> None:
        followed = Followed(None)
        copy = await followed.all.copy(PLACE)
        copy.take([CatalogueChange(id="api_old", changed=1, api=a_card("a/old", "of before"))])
        copy.next = 4000

        class Shorter(FakeMarket):
            async def catalogue(self, since: int = 0) -> object:  # type: ignore[override]
                page = await super().catalogue(min(since, 12))
                return page if since <= 12 else page.model_copy(update={"next": 12})

        server = Shorter(followed.remote)
        server.url = MARKET_URL
        followed.all._servers[PLACE] = server
        await followed.all.renew(PLACE)
        assert "old" not in names(copy)
        assert len(copy) == 12


def test_a_question_is_the_same_however_it_is_typed() -> None:
    assert Question(" Geo ").key == Question("geo").key
    assert replace(Question("geo"), price="free").key != Question("geo").key
