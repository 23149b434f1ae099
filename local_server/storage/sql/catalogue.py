"""The catalogue in SQL: what is listed, and what changed of it. How it is searched: catalogue_search.py."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from local_server.domain.catalogue import Card, Listing, ListingTexts, Standing, place_of, quality
from local_server.domain.ids import ApiId
from local_server.domain.manifest import Visibility
from local_server.storage.market import Change, Removal
from local_server.storage.sql.catalogue_rows import (
    QUALITY,
    card_from,
    listing_row,
    standing_row,
    texts_from,
    texts_row,
)
from local_server.storage.sql.catalogue_search import CARD, PUBLIC, Shelf, SqlShelf
from local_server.storage.sql.connection import Connection, Row
from local_server.storage.sql.rows import storable

_CHANGES = "catalogue"
"""Who changes the catalogue does it alone: each change has a number, and the numbers are those of the commits."""
_MOST_COUNTED = 1_000

_LISTED = ("owner", "slug", "summary", "tags", "category", "runtime", "visibility", "version", "free",
           "price_from_minor", "currency", "published_at", "updated_at")  # fmt: skip
_STOOD = ("rating_sum", "rating_count", "rating", "subscribers", "requests", "faults", "p95_us")
_ALL = ("api_id", "seq", "place", "quality", "changed", *_LISTED, *_STOOD)
_TEXTS = ("slug", "owner", "summary", "tags", "readme", "paths", "endpoints")


def _insert(table: str, columns: Sequence[str]) -> str:
    return f"insert into {table} ({', '.join(columns)}) values ({', '.join(f':{name}' for name in columns)})"  # noqa: S608


def _assigned(columns: Sequence[str]) -> str:
    return ", ".join(f"{name} = :{name}" for name in columns)


_ADD = _insert("listings", _ALL)
_REPLACE = f"update listings set {_assigned((*_LISTED, 'place', 'quality', 'changed'))} where api_id = :api_id"  # noqa: S608
_STAND = f"update listings set {_assigned((*_STOOD, 'place', 'quality', 'changed'))} where api_id = :api_id"  # noqa: S608
_PUT_TEXTS = (
    f"{_insert('listing_texts', ('place', *_TEXTS))} "
    f"on conflict (place) do update set {', '.join(f'{name} = excluded.{name}' for name in _TEXTS)}"
)


class SqlCatalogueReader(SqlShelf):
    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, Shelf())

    def card(self, api_id: ApiId) -> Card | None:
        return self._one("listings.api_id = :api_id", {"api_id": storable(api_id)})

    def card_by_name(self, owner: str, slug: str) -> Card | None:
        return self._one(
            "listings.owner = :owner and listings.slug = :slug", {"owner": storable(owner), "slug": storable(slug)}
        )

    def texts(self, api_id: ApiId) -> ListingTexts | None:
        rows = self._connection.execute(
            "select readme, endpoints from listing_texts join listings on listings.place = listing_texts.place "
            "where listings.api_id = :api_id",
            {"api_id": storable(api_id)},
        )
        return texts_from(self._dialect, rows[0]) if rows else None

    def categories(self) -> Mapping[str, int]:
        return self._counted("category")

    def tags(self) -> Mapping[str, int]:
        return self._counted("tag")

    def changes(self, since: int, limit: int) -> Sequence[Change | Removal]:
        params = {"since": since, "limit": max(limit, 0)}
        listed = self._connection.execute(
            f"select {CARD}, listing_texts.paths from listings "  # noqa: S608
            "join listing_texts on listing_texts.place = listings.place "
            f"where listings.changed > :since and {PUBLIC} order by listings.changed limit :limit",
            params,
        )
        removed = self._connection.execute(
            "select api_id, changed from listing_removals where changed > :since order by changed limit :limit", params
        )
        found: list[Change | Removal] = [
            Change(card_from(self._dialect, row), tuple(row["paths"].split())) for row in listed
        ]
        found += [Removal(ApiId(row["api_id"]), row["changed"]) for row in removed]
        return sorted(found, key=changed_of)[:limit]

    def latest_change(self) -> int:
        return self._last("change")

    def all(self, behind_id: str, limit: int) -> Sequence[Card]:
        return self._many(
            "where listings.api_id > :id order by listings.api_id limit :limit", {"id": behind_id, "limit": limit}
        )

    def _last(self, name: str) -> int:
        rows = self._connection.execute("select last from marketplace_numbers where name = :name", {"name": name})
        return int(rows[0]["last"]) if rows else 0

    def _counted(self, kind: str) -> Mapping[str, int]:
        rows = self._connection.execute(
            "select value, listings from listing_counts where kind = :kind order by listings desc, value limit :most",
            {"kind": kind, "most": _MOST_COUNTED},
        )
        return {row["value"]: row["listings"] for row in rows}

    def _one(self, condition: str, params: Row) -> Card | None:
        found = self._many(f"where {condition}{self._connection.locking('listings')}", params)
        return found[0] if found else None

    def _many(self, rest: str, params: Row) -> Sequence[Card]:
        rows = self._connection.execute(f"select {CARD} from listings {rest}", params)  # noqa: S608
        return [card_from(self._dialect, row) for row in rows]


class SqlCatalogueStore(SqlCatalogueReader):
    def put(self, listing: Listing, texts: ListingTexts, now: datetime) -> None:
        self._connection.alone(_CHANGES)
        known = self.card(listing.api_id)
        standing = known.standing if known else Standing()
        if known is not None:
            listing = replace(listing, published_at=known.listing.published_at)
        row = listing_row(self._dialect, listing) | self._ranked(listing, standing, now)
        if known is None:
            self._connection.change(_ADD, row | standing_row(standing))
        else:
            self._connection.change(_REPLACE, row)
        self._connection.change(_PUT_TEXTS, row | texts_row(self._dialect, texts))
        if (tags := _tags_of(listing)) != (_tags_of(known.listing) if known else ()):
            self._tag(row["place"], tags)
        if _is_public(listing):
            self._tell(listing.api_id, gone=False)
        elif known is not None and _is_public(known.listing):
            self._tell(listing.api_id, gone=True)

    def _tag(self, place: int, tags: Sequence[str]) -> None:
        self._connection.change("delete from listing_tags where place = :place", {"place": place})
        self._connection.change_many(
            _insert("listing_tags", ("tag", "place")), [{"tag": tag, "place": place} for tag in tags]
        )

    def remove(self, api_id: ApiId) -> None:
        self._connection.alone(_CHANGES)
        known = self.card(api_id)
        self._connection.change("delete from listings where api_id = :api_id", {"api_id": api_id})
        if known is None or _is_public(known.listing):  # it may have gone with its API a moment ago
            self._tell(api_id, gone=True)

    def stand(self, api_id: ApiId, standing: Standing, now: datetime) -> None:
        self._connection.alone(_CHANGES)
        card = self.card(api_id)
        if card is not None:
            row = self._ranked(card.listing, standing, now) | standing_row(standing)
            self._connection.change(_STAND, row | {"api_id": api_id})

    def _ranked(self, listing: Listing, standing: Standing, now: datetime) -> dict[str, Any]:
        good = quality(standing, listing.updated_at, now)
        rows = self._connection.execute("select seq from listings where api_id = :id", {"id": listing.api_id})
        seq = int(rows[0]["seq"]) if rows else self._next("listing")
        return {
            "seq": seq,
            "place": place_of(good, seq),
            "quality": round(good * QUALITY),
            "changed": self._next("change"),
        }

    def _tell(self, api_id: ApiId, *, gone: bool) -> None:
        """Those who follow the changes learn that it left the public catalogue, or that it is back. Of one that
        is there and was never public they learn nothing, not even its id."""
        self._connection.change("delete from listing_removals where api_id = :api_id", {"api_id": api_id})
        if gone:
            self._connection.change(
                _insert("listing_removals", ("api_id", "changed")),
                {"api_id": api_id, "changed": self._next("change")},
            )

    def _next(self, name: str) -> int:
        # The row stays locked until the commit: whoever sees a number sees every smaller one.
        (row,) = self._connection.execute(
            "insert into marketplace_numbers (name, last) values (:name, 1) "
            "on conflict (name) do update set last = marketplace_numbers.last + 1 returning last",
            {"name": name},
        )
        return int(row["last"])


def _is_public(listing: Listing) -> bool:
    return listing.visibility is Visibility.PUBLIC


def _tags_of(listing: Listing) -> Sequence[str]:
    """By which it is found and counted: an unlisted one by none."""
    return tuple(dict.fromkeys(map(storable, listing.tags))) if _is_public(listing) else ()


def changed_of(change: Change | Removal) -> int:
    return change.changed if isinstance(change, Removal) else change.card.changed
