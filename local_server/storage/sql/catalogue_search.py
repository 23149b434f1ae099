"""Searching and browsing listings in SQL: those of the catalogue, and those of a copy of another server's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from local_server.domain.catalogue import Card
from local_server.domain.catalogue_search import Candidate, Filters, Mark, Sort, words_of
from local_server.domain.ids import ApiId
from local_server.storage.sql.catalogue_rows import RATING, candidate_from, card_from
from local_server.storage.sql.connection import Connection
from local_server.storage.sql.rows import storable

_IDS_AT_ONCE = 500
_MOST_NAMED = 50
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_US = 2e17  # some thousand years on

CARD = """listings.api_id, listings.owner, listings.slug, listings.summary, listings.tags, listings.category,
          listings.runtime, listings.visibility, listings.version, listings.free, listings.price_from_minor,
          listings.currency, listings.published_at, listings.updated_at, listings.rating_sum, listings.rating_count,
          listings.subscribers, listings.requests, listings.faults, listings.p95_us, listings.quality,
          listings.changed"""
_CANDIDATE = """listings.api_id, listings.owner, listings.slug, listings.summary, listings.tags, listings.category,
                listings.runtime, listings.free, listings.rating, listings.rating_sum, listings.rating_count,
                listings.subscribers, listings.quality, listings.published_at"""
PUBLIC = "listings.visibility = 'public'"  # in the words of the indices

# What each order is kept by, and which way it goes.
_ORDERS = {
    Sort.BEST: ("place", "asc"),
    Sort.RATING: ("rating", "desc"),
    Sort.SUBSCRIBERS: ("subscribers", "desc"),
    Sort.NEWEST: ("published_at", "desc"),
    Sort.NAME: ("slug", "asc"),
}


@dataclass(frozen=True, slots=True)
class Shelf:
    """Which tables the listings stand in, and which of them are meant. In the SQL all shelves go by the same names."""

    listings: str = "listings"
    tags: str = "listing_tags"
    words: str = "listing_texts"
    """The table that has an index of its words."""
    among: str = PUBLIC
    placed: str = PUBLIC
    """The same as `among`, where they are walked through by `{place}`: of what an index can tell by itself."""
    params: Mapping[str, Any] = field(default_factory=dict)


class SqlShelf:
    """Satisfies `CatalogueSearch` of storage/market.py."""

    def __init__(self, connection: Connection, shelf: Shelf) -> None:
        self._connection = connection
        self._dialect = connection.dialect
        self._shelf = shelf

    def cards(self, ids: Sequence[ApiId]) -> Sequence[Card]:
        found: dict[ApiId, Card] = {}
        for start in range(0, len(ids), _IDS_AT_ONCE):
            params = {f"id{place}": id for place, id in enumerate(ids[start : start + _IDS_AT_ONCE])}
            places = ", ".join(f":{name}" for name in params)
            sql = f"select {CARD} from {self._shelf.listings} where {self._shelf.among} and api_id in ({places})"  # noqa: S608
            for row in self._connection.execute(sql, {**self._shelf.params, **params}):
                card = card_from(self._dialect, row)
                found[card.listing.api_id] = card
        return [found[id] for id in ids if id in found]

    def candidates(self, text: str, filters: Filters, limit: int) -> Sequence[Candidate]:
        conditions, params = self._conditions(filters)
        params["limit"] = max(limit, 0)
        query = self._dialect.search_query(text, filters.tags)
        if query is None:
            source, place = self._looked_through(filters)
            sql = (
                f"select {_CANDIDATE} from {source} where {self._placed(place)}{conditions} "  # noqa: S608
                f"order by {place} limit :limit"
            )
            return [candidate_from(self._dialect, row) for row in self._connection.execute(sql, params)]
        self._connection.go_by_indices()
        words = self._dialect.words_sql(self._shelf.words, narrowed=bool(conditions or self._shelf.params))
        sql = (
            f"select {_CANDIDATE} from {words.source} join {self._shelf.listings} on listings.place = {words.place} "  # noqa: S608
            f"where {words.matches} and {self._placed(words.place)}{conditions} order by {words.place} limit :limit"
        )
        rows = self._connection.execute(sql, {**params, "query": query})
        found = [candidate_from(self._dialect, row) for row in rows]
        known = {candidate.api_id for candidate in found}
        return found + [named for named in self._named(text, conditions, params) if named.api_id not in known]

    def browse(self, sort: Sort, filters: Filters, limit: int, behind: Mark | None) -> Sequence[tuple[Mark, Card]]:
        column, way = _ORDERS[sort]
        conditions, params = self._conditions(filters)
        params["limit"] = max(limit, 0)
        if behind is not None:
            conditions += f" and (listings.{column}, listings.api_id) {'>' if way == 'asc' else '<'} (:mark, :mark_id)"
            params |= {"mark": self._stored(sort, behind[0]), "mark_id": storable(behind[1])}
        source, place = self._looked_through(filters)
        among = self._placed(place) if sort is Sort.BEST or filters.tags else self._shelf.among
        sql = (
            f"select {CARD}, listings.{column} as mark from {source} where {among}{conditions} "  # noqa: S608
            f"order by listings.{column} {way}, listings.api_id {way} limit :limit"
        )
        rows = self._connection.execute(sql, params)
        return [((self._told(sort, row["mark"]), row["api_id"]), card_from(self._dialect, row)) for row in rows]

    def _named(self, text: str, conditions: str, params: Mapping[str, Any]) -> Sequence[Candidate]:
        """Those whose name is what was asked for, however many better ones hold the words."""
        owner, slash, slug = text.strip().partition("/")
        asked = [("listings.slug = :slug", {"slug": "-".join(words_of(text))})]
        if slash:
            named = {"owner_asked": storable(owner), "slug": storable(slug)}
            asked.append(("listings.owner = :owner_asked and listings.slug = :slug", named))
        found: dict[ApiId, Candidate] = {}
        for condition, values in asked:
            # In the order of the index of names: in any other, all there is might be walked through for a few.
            meant = f"{self._shelf.among} and {condition}{conditions}"
            sql = (
                f"select {_CANDIDATE} from {self._shelf.listings} where {meant} "  # noqa: S608
                "order by listings.slug, listings.api_id limit :named"
            )
            for row in self._connection.execute(sql, {**params, **values, "named": _MOST_NAMED}):
                candidate = candidate_from(self._dialect, row)
                found[candidate.api_id] = candidate
        return list(found.values())

    def _placed(self, place: str) -> str:
        return self._shelf.placed.format(place=place)

    def _looked_through(self, filters: Filters) -> tuple[str, str]:
        """(where those without words are looked for, the place in it): in a tag are few, and they are in order."""
        if not filters.tags:
            return self._shelf.listings, "listings.place"
        tagged = "on listings.place = listing_tags.place and listing_tags.tag = :tag0"
        return f"{self._shelf.tags} join {self._shelf.listings} {tagged}", "listing_tags.place"

    def _conditions(self, filters: Filters) -> tuple[str, dict[str, Any]]:
        """(what is asked beside the words, all values)"""
        sql, params = "", dict(self._shelf.params)
        for column, value in _wanted(filters):
            sql += f" and listings.{column} = :{column}"
            params[column] = value
        if filters.min_rating is not None:
            # In the words of the indices of what was rated.
            sql += " and listings.rating_count > 0"
            sql += f" and listings.rating_sum * {RATING} >= :min_rating * listings.rating_count"
            params["min_rating"] = round(filters.min_rating * RATING)
        for number, tag in enumerate(filters.tags):
            of_it = f"tag = :tag{number} and listing_tags.place = listings.place"
            sql += f" and exists (select 1 from {self._shelf.tags} where {of_it})"  # noqa: S608
            params[f"tag{number}"] = storable(tag)
        return sql, params

    def _stored(self, sort: Sort, value: float | str) -> Any:
        """A mark as the column that it is of has it."""
        if sort is Sort.NEWEST:
            return self._dialect.time(_EPOCH + timedelta(microseconds=int(min(max(float(value), 0), _LATEST_US))))
        return storable(value) if isinstance(value, str) else round(value)

    def _told(self, sort: Sort, value: Any) -> float | str:
        if sort is Sort.NEWEST:
            return (self._dialect.moment(value) - _EPOCH) // timedelta(microseconds=1)
        return str(value) if sort is Sort.NAME else int(value)


def _wanted(filters: Filters) -> Sequence[tuple[str, Any]]:
    """What a column is to be."""
    texts = {"category": filters.category, "runtime": filters.runtime, "owner": filters.owner}
    wanted: list[tuple[str, Any]] = [(column, storable(text)) for column, text in texts.items() if text is not None]
    return [*wanted, ("free", filters.free)] if filters.free is not None else wanted
