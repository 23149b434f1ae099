"""What was published here in SQL: refs, the feed, and operations that are over."""

from collections.abc import Sequence
from datetime import datetime

from local_server.domain.ids import ApiId, Digest, UserId
from local_server.domain.manifest import Visibility
from local_server.domain.refs import START, Change, ChangeKind, Cursor, Refs, chained
from local_server.storage.publishing import Done, Told
from local_server.storage.sql.connection import Connection, Params
from local_server.storage.sql.publishing_rows import (
    REFS_COLUMNS,
    change_from,
    change_row,
    done_from,
    outcome_of,
    refs_from_row,
    refs_row,
)
from local_server.storage.sql.rows import storable

_REFS = f"""
    select {", ".join(f"published_refs.{name}" for name in REFS_COLUMNS)},
           apis.user_id, users.handle as owner, apis.slug
    from published_refs join apis on apis.id = published_refs.api_id join users on users.id = apis.user_id
"""  # noqa: S608 -- put together from constants only

_PUT_REFS = f"""
    insert into published_refs ({", ".join(REFS_COLUMNS)})
    values ({", ".join(f":{name}" for name in REFS_COLUMNS)})
    on conflict (api_id) do update set {", ".join(f"{name} = excluded.{name}" for name in REFS_COLUMNS[1:])}
"""  # noqa: S608 -- put together from constants only

_LOCK = """
    insert into publishers (user_id) values (:user_id) on conflict (user_id) do update set user_id = excluded.user_id
"""

_MAY_READ_TREE = """
    select 1 as found
    from api_versions
    join published_refs on published_refs.api_id = api_versions.api_id
    join apis on apis.id = api_versions.api_id
    join users on users.id = apis.user_id
    where api_versions.tree = :tree
      and (apis.user_id = :reader
           or (not published_refs.removed
               and (published_refs.visibility = 'public'
                    or (published_refs.visibility = 'unlisted' and users.handle = :owner and apis.slug = :slug))))
    limit 1
"""

_HAS_TREE = """
    select 1 as found
    from api_versions join apis on apis.id = api_versions.api_id join users on users.id = apis.user_id
    where api_versions.tree = :tree and users.handle = :owner and apis.slug = :slug
    limit 1
"""

# Of what was told publicly once, only what is public still is told to others; that it is no more, they may know.
_CHANGES = """
    select feed.number, feed.digest, feed.at, feed.kind, feed.refs, feed.user_id, feed.audience
    from feed join published_refs on published_refs.api_id = feed.api_id
    where feed.number > :since
      and (feed.user_id = :reader
           or feed.audience = 'leaving'
           or (feed.audience = 'public' and published_refs.visibility = 'public'))
    order by feed.number
    limit :limit
"""

_NEXT = """
    insert into feed_end (name, number, digest) values ('feed', 1, :start)
    on conflict (name) do update set number = feed_end.number + 1
    returning number, digest
"""


class SqlPublishedReader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect

    def refs(self, owner: str, slug: str) -> Refs | None:
        params = {"owner": storable(owner), "slug": storable(slug)}
        found = self._many("where users.handle = :owner and apis.slug = :slug", params)
        return found[0] if found else None

    def refs_of(self, api_id: ApiId) -> Refs | None:
        found = self._many("where published_refs.api_id = :api_id", {"api_id": api_id})
        return found[0] if found else None

    def readable(self, reader: UserId, behind_id: str, limit: int) -> Sequence[Refs]:
        return self._many(
            "where published_refs.api_id > :behind_id and (apis.user_id = :reader "
            "or (published_refs.visibility = 'public' and not published_refs.removed)) "
            "order by published_refs.api_id limit :limit",
            {"reader": reader, "behind_id": storable(behind_id), "limit": limit},
        )

    def may_read_tree(self, reader: UserId, tree: Digest, api: tuple[str, str] | None = None) -> bool:
        owner, slug = api or ("", "")
        params = {"reader": reader, "tree": tree, "owner": storable(owner), "slug": storable(slug)}
        return bool(self._connection.execute(_MAY_READ_TREE, params))

    def has_tree(self, owner: str, slug: str, tree: Digest) -> bool:
        params = {"owner": storable(owner), "slug": storable(slug), "tree": tree}
        return bool(self._connection.execute(_HAS_TREE, params))

    def op(self, user_id: UserId, op: str) -> Done | None:
        rows = self._connection.execute(
            "select request_hash, outcome from ops where user_id = :user_id and op = :op",
            {"user_id": user_id, "op": storable(op)},
        )
        return done_from(self._dialect, rows[0]) if rows else None

    def feed_end(self) -> Cursor:
        rows = self._connection.execute("select number, digest from feed_end where name = 'feed'", {})
        return Cursor(int(rows[0]["number"]), rows[0]["digest"]) if rows else START

    def change_digest(self, number: int) -> str | None:
        rows = self._connection.execute("select digest from feed where number = :number", {"number": number})
        return rows[0]["digest"] if rows else None

    def changes(self, reader: UserId, since: int, limit: int) -> Sequence[Told]:
        rows = self._connection.execute(_CHANGES, {"reader": reader, "since": since, "limit": limit})
        return [
            Told(change_from(self._dialect, row), row["audience"] == "leaving" and row["user_id"] != reader)
            for row in rows
        ]

    def _many(self, rest: str, params: Params) -> Sequence[Refs]:
        return [refs_from_row(self._dialect, row) for row in self._connection.execute(_REFS + rest, params)]


class SqlPublishedStore(SqlPublishedReader):
    def lock(self, user_id: UserId) -> None:
        self._connection.change(_LOCK, {"user_id": user_id})

    def put_refs(self, refs: Refs) -> None:
        self._connection.change(_PUT_REFS, refs_row(self._dialect, refs))

    def add_op(self, user_id: UserId, op: str, done: Done, at: datetime) -> None:
        self._connection.change(
            "insert into ops (user_id, op, request_hash, outcome, at) "
            "values (:user_id, :op, :request_hash, :outcome, :at)",
            {
                "user_id": user_id,
                "op": op,
                "request_hash": done.request_hash,
                "outcome": self._dialect.json(outcome_of(done.published)),
                "at": self._dialect.time(at),
            },
        )

    def append(self, kind: ChangeKind, before: Refs | None, after: Refs, at: datetime) -> Change:
        # The row stays locked until the commit, so that numbers are given out in the order of the commits.
        (end,) = self._connection.execute(_NEXT, {"start": START.digest})
        cursor = chained(Cursor(int(end["number"]) - 1, end["digest"]), kind, after)
        change = Change(cursor.number, cursor.digest, at, kind, after)
        self._connection.change("update feed_end set digest = :digest where name = 'feed'", {"digest": change.digest})
        self._connection.change(
            "insert into feed (number, digest, at, kind, api_id, user_id, audience, refs) "
            "values (:number, :digest, :at, :kind, :api_id, :user_id, :audience, :refs)",
            change_row(self._dialect, change, _audience(before, after)),
        )
        return change


def _audience(before: Refs | None, after: Refs) -> str:
    """Who is told of a change: everybody while it is public, and of its end."""
    if after.visibility is Visibility.PUBLIC:
        return "public"
    return "leaving" if before is not None and before.visibility is Visibility.PUBLIC else "owner"
