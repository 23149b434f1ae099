"""Copies of other servers' catalogues in SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from local_server.domain.catalogue import place_of
from local_server.domain.catalogue_copy import MOST_COPIED, CatalogueCopy, CopiedChange, CopiedListing, CopiedRemoval
from local_server.storage.sql.catalogue_rows import QUALITY, listing_row, standing_row
from local_server.storage.sql.catalogue_search import Shelf, SqlShelf
from local_server.storage.sql.connection import Connection, Row
from local_server.storage.sql.rows import storable

_COPIES = "catalogue copies"
"""Who changes copies does it alone: the next number, and how many are held, are read before they are written."""
_PLACES_IN_A_COPY = 1 << 44
"""Of all tiers: see `place_of`."""
_IDS_AT_ONCE = 500

_COLUMNS = ("place", "copy", "pass", "seq", "api_id", "owner", "slug", "summary", "tags", "category", "runtime",
            "visibility", "version", "free", "price_from_minor", "currency", "published_at", "updated_at", "rating_sum",
            "rating_count", "rating", "subscribers", "requests", "faults", "p95_us", "quality", "changed",
            "paths")  # fmt: skip
_PUT = (
    f"insert into copied_listings ({', '.join(_COLUMNS)}) values ({', '.join(f':{name}' for name in _COLUMNS)}) "  # noqa: S608
    f"on conflict (copy, api_id) do update set {', '.join(f'{name} = excluded.{name}' for name in _COLUMNS)}"
)
_USELESS = """
    select copied_listings.place from copied_listings
    left join catalogue_copies on catalogue_copies.number = copied_listings.copy
    where catalogue_copies.number is null
        or (copied_listings.pass < catalogue_copies.pass and not catalogue_copies.filling)
    limit :limit
"""
_NOWHERE = 0
"""The number of no copy."""


def _shelf(number: int) -> Shelf:
    return Shelf(
        listings="copied_listings as listings",
        tags="copied_tags as listing_tags",
        words="copied_listings",
        among="listings.copy = :copy",
        placed="{place} between :first and :last",
        params={
            "copy": number,
            "first": number * _PLACES_IN_A_COPY,
            "last": (number + 1) * _PLACES_IN_A_COPY - 1,
        },
    )


class SqlCopiesReader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect

    def get(self, remote: str) -> CatalogueCopy | None:
        row = self._row(remote)
        return self._copy(row) if row else None

    def all(self) -> Sequence[CatalogueCopy]:
        return [
            self._copy(row) for row in self._connection.execute("select * from catalogue_copies order by remote", {})
        ]

    def search(self, remote: str) -> SqlShelf:
        row = self._row(remote)
        return SqlShelf(self._connection, _shelf(row["number"] if row else _NOWHERE))

    def _row(self, remote: str) -> Row | None:
        rows = self._connection.execute(
            "select * from catalogue_copies where remote = :remote", {"remote": storable(remote)}
        )
        return rows[0] if rows else None

    def _copy(self, row: Row) -> CatalogueCopy:
        at = row["checked_at"]
        return CatalogueCopy(
            row["remote"], row["origin"], row["cursor"], row["listings"], self._dialect.moment(at) if at else None
        )


class SqlCopiesStore(SqlCopiesReader):
    def begin(self, remote: str, origin: str) -> None:
        self._connection.alone(_COPIES)
        known = self._row(remote)
        params = {"remote": storable(remote), "origin": storable(origin), "filling": True, "number": 0}
        if known is not None:
            self._connection.change(
                "update catalogue_copies set origin = :origin, cursor = 0, pass = pass + 1, filling = :filling "
                "where remote = :remote",
                params,
            )
            return
        self._connection.change(
            "insert into catalogue_copies (number, remote, origin, cursor, listings, checked_at, pass, filling) "
            "values (:number, :remote, :origin, 0, 0, null, 1, :filling)",
            params | {"number": self._next("copy")},
        )

    def take(self, remote: str, changes: Sequence[CopiedChange], cursor: int) -> int:
        self._connection.alone(_COPIES)
        row = self._row(remote)
        if row is None or cursor <= row["cursor"]:
            return 0
        number = int(row["number"])
        known = self._known(number, [_id_of(change) for change in changes])
        held, passed_over = int(row["listings"]), 0
        for change in changes:
            api_id = _id_of(change)
            if isinstance(change, CopiedRemoval):
                held -= self._remove(number, api_id)
                known.pop(api_id, None)
            elif api_id not in known and held >= MOST_COPIED:
                passed_over += 1
            else:
                held += api_id not in known
                known[api_id] = self._put(number, row["pass"], change, known.get(api_id))
        self._connection.change(
            "update catalogue_copies set cursor = :cursor, listings = :listings where number = :number",
            {"cursor": cursor, "listings": held, "number": number},
        )
        return passed_over

    def settle(self, remote: str, at: datetime) -> None:
        self._connection.change(
            "update catalogue_copies set checked_at = :at, filling = :filling where remote = :remote",
            {"at": self._dialect.time(at), "filling": False, "remote": storable(remote)},
        )

    def forget(self, remote: str) -> None:
        self._connection.change("delete from catalogue_copies where remote = :remote", {"remote": storable(remote)})

    def sweep(self, limit: int) -> int:
        deleted = self._connection.execute(
            f"delete from copied_listings where place in ({_USELESS}) returning copy",  # noqa: S608
            {"limit": max(limit, 0)},
        )
        for number in {row["copy"] for row in deleted}:
            gone = sum(row["copy"] == number for row in deleted)
            self._connection.change(
                "update catalogue_copies set listings = listings - :gone where number = :number",
                {"gone": gone, "number": number},
            )
        return len(deleted)

    def _known(self, number: int, ids: Sequence[str]) -> dict[str, int]:
        """Which of them are there, and as which listing."""
        found: dict[str, int] = {}
        for start in range(0, len(ids), _IDS_AT_ONCE):
            params: dict[str, Any] = {f"id{at}": id for at, id in enumerate(ids[start : start + _IDS_AT_ONCE])}
            places = ", ".join(f":{name}" for name in params)
            sql = f"select api_id, seq from copied_listings where copy = :copy and api_id in ({places})"  # noqa: S608
            for row in self._connection.execute(sql, params | {"copy": number}):
                found[row["api_id"]] = row["seq"]
        return found

    def _put(self, number: int, filled: int, copied: CopiedListing, known: int | None) -> int:
        """Returns its seq."""
        seq = known if known is not None else self._next("copied listing")
        row = self._of_listing(copied) | {
            "place": number * _PLACES_IN_A_COPY + place_of(copied.quality, seq),
            "copy": number,
            "pass": filled,
            "seq": seq,
        }
        self._connection.change(_PUT, row)
        self._connection.change("delete from copied_tags where place = :place", {"place": row["place"]})
        self._connection.change_many(
            "insert into copied_tags (tag, place) values (:tag, :place)",
            [{"tag": storable(tag), "place": row["place"]} for tag in dict.fromkeys(copied.listing.tags)],
        )
        return seq

    def _of_listing(self, copied: CopiedListing) -> dict[str, Any]:
        return {
            **listing_row(self._dialect, copied.listing),
            **standing_row(copied.standing),
            "quality": round(copied.quality * QUALITY),
            "changed": copied.changed,
            "paths": storable(" ".join(copied.paths)),
        }

    def _remove(self, number: int, api_id: str) -> int:
        return self._connection.change(
            "delete from copied_listings where copy = :copy and api_id = :api_id",
            {"copy": number, "api_id": storable(api_id)},
        )

    def _next(self, name: str) -> int:
        (row,) = self._connection.execute(
            "insert into marketplace_numbers (name, last) values (:name, 1) "
            "on conflict (name) do update set last = marketplace_numbers.last + 1 returning last",
            {"name": name},
        )
        return int(row["last"])


def _id_of(change: CopiedChange) -> str:
    return change.api_id if isinstance(change, CopiedRemoval) else change.listing.api_id
