"""The few places where databases differ: times, JSON, full-text search.

Everything else in `storage/sql/` is the common subset: RETURNING, ON CONFLICT, CTEs, and `:named` parameters (a driver
with another notation translates them).
"""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from local_server.storage import pg_words

MAX_SEARCH_CHARS = 300
MAX_SEARCH_WORDS = 32
# What a C string or UTF-8 cannot hold; a search term with one of these in it would be an error, not a word.
_UNSPEAKABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class WordsSql(NamedTuple):
    """Pieces of a SELECT that looks words up in a table with a `place`: where from, on which condition (it holds
    `:query`), and the place itself, in whose order it is fastest."""

    source: str
    matches: str
    place: str


class Dialect(Protocol):
    search_sql: str
    """A SELECT of `id` and `rank` (smaller is better) of the APIs that match `:query`."""

    def words_sql(self, table: str, *, narrowed: bool) -> WordsSql:
        """For a table that has an index of its words (migrations/marketplace.py). `narrowed`: more is asked than the
        words, so that many of those that match are passed over."""

    def time(self, at: datetime) -> Any:
        """A column value; values sort as the times do. Raises ValueError for a naive time."""

    def moment(self, value: Any) -> datetime:
        """What `time` stored, aware, in UTC."""

    def json(self, value: Any) -> Any:
        """A column value for anything made of dicts, lists, strings, numbers, booleans and None."""

    def parsed(self, value: Any) -> Any:
        """What `json` stored."""

    def search_query(self, text: str, tags: Sequence[str] = ()) -> str | None:
        """`:query` for words that people typed: every word must be found, each by its beginning, and in a table that
        has tags the words of these, as far as they are spoken: so few are looked at. None: no words in the text."""


class SqliteDialect:
    # The slug weighs most: who types a name wants that API first.
    search_sql = """
        select apis.id as id, bm25(apis_fts, 10.0, 4.0, 6.0, 2.0) as rank
        from apis_fts join apis on apis.seq = apis_fts.rowid
        where apis_fts match :query
    """

    def words_sql(self, table: str, *, narrowed: bool) -> WordsSql:
        # A cross join keeps its order: the index of words first, by rowid, and of the other table what it finds.
        return WordsSql(f"{table}_fts cross", f"{table}_fts match :query", f"{table}_fts.rowid")

    def time(self, at: datetime) -> str:
        """ISO 8601 of fixed width, always UTC and always with microseconds, so that text sorts as time does."""
        if at.tzinfo is not UTC:
            if at.tzinfo is None:
                raise ValueError(f"{at!r} is naive; storage takes aware times")
            at = at.astimezone(UTC)
        # Without the argument a third less, of what is the dearest part of a row of the request log.
        return at.isoformat() if at.microsecond else at.isoformat(timespec="microseconds")

    def moment(self, value: str) -> datetime:
        return datetime.fromisoformat(value)

    def json(self, value: Any) -> str:
        # ASCII only: a lone surrogate (from a file name that is not UTF-8) then survives; as UTF-8 it could not.
        return json.dumps(value, separators=(",", ":"), ensure_ascii=True)

    def parsed(self, value: str) -> Any:
        return json.loads(value)

    def search_query(self, text: str, tags: Sequence[str] = ()) -> str | None:
        """Each word becomes a quoted FTS5 string, in which nothing is an operator, with `*` behind it; each tag one
        that is looked for in its column."""
        words = [f"{_quoted(word)}*" for word in _spoken(text[:MAX_SEARCH_CHARS])]
        if not words:
            return None
        return " ".join(words + [f"tags : {_quoted(tag)}" for tag in tags if _spoken(tag)])


class PostgresDialect:
    # Weights as close to SQLite's as four letters allow: the slug is A, tags are B, the summary is C, the category D.
    search_sql = """
        select apis.id as id, -ts_rank('{0.2, 0.4, 0.6, 1.0}', apis.words, cast(:query as tsquery)) as rank
        from apis where apis.words @@ cast(:query as tsquery)
    """

    def words_sql(self, table: str, *, narrowed: bool) -> WordsSql:
        # `offset 0` keeps the planner from walking through all places until there is enough: it takes unpacking the
        # words of each, to look whether they match, for nothing. Where what is found must come in order it may: of a
        # common word there is soon enough, of a rare one it sorts what the index finds.
        order = "" if narrowed else f" order by {table}.place"
        matches = f"{table}.words @@ cast(:query as tsquery)"
        found = f"select {table}.place from {table} where {matches}{order} offset 0"  # noqa: S608
        return WordsSql(f"({found}) as found", "true", "found.place")

    def time(self, at: datetime) -> datetime:
        if at.tzinfo is None:
            raise ValueError(f"{at!r} is naive; storage takes aware times")
        return at.astimezone(UTC)

    def moment(self, value: datetime) -> datetime:
        return value.astimezone(UTC)

    def json(self, value: Any) -> str:
        # ASCII only, into a column of type `json`, which keeps the text as it is: `jsonb` refuses \u0000 and halves of
        # surrogate pairs, and file names have both.
        return json.dumps(value, separators=(",", ":"), ensure_ascii=True)

    def parsed(self, value: Any) -> Any:
        return value  # by the driver

    def search_query(self, text: str, tags: Sequence[str] = ()) -> str | None:
        words = _spoken(text[:MAX_SEARCH_CHARS])
        return pg_words.tsquery(words, [tag for tag in tags if _spoken(tag)]) if words else None


def _spoken(text: str) -> Sequence[str]:
    """Its words that an index can know."""
    words = _UNSPEAKABLE.sub(" ", text).split()
    return [word for word in words if any(char.isalnum() for char in word)][:MAX_SEARCH_WORDS]


def _quoted(word: str) -> str:
    escaped = _UNSPEAKABLE.sub(" ", word).replace('"', '""')
    return f'"{escaped}"'
