"""Uploads that wait for their commit, and which blobs an account has shown that it has, in SQL."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice

from local_server.domain.ids import UserId
from local_server.domain.publishing import Upload
from local_server.storage.sql.connection import Connection, Params
from local_server.storage.sql.publishing_rows import upload_from, upload_row
from local_server.storage.sql.rows import storable

AT_ONCE = 500
"""Hashes asked for in one statement."""

_SELECT = "select id, user_id, op, request, created_at, expires_at from uploads"

_PUT = """
    insert into uploads (id, user_id, op, request, created_at, expires_at)
    values (:id, :user_id, :op, :request, :created_at, :expires_at)
    on conflict (user_id, op) do update
    set id = excluded.id, request = excluded.request, created_at = excluded.created_at,
        expires_at = excluded.expires_at
"""

_GRANT = """
    insert into blob_grants (user_id, sha256, size_bytes, expires_at)
    values (:user_id, :sha256, :size_bytes, :expires_at)
    on conflict (user_id, sha256) do update
    set expires_at = case
        when blob_grants.expires_at is null or excluded.expires_at is null then null
        when excluded.expires_at > blob_grants.expires_at then excluded.expires_at
        else blob_grants.expires_at
    end
"""

_GRANTED = """
    select sha256 from blob_grants where user_id = :user_id and (expires_at is null or expires_at > :now)
"""

_STAGED = """
    select coalesce(sum(size_bytes), 0) as total
    from blob_grants
    where user_id = :user_id and expires_at is not null and expires_at > :now
"""


class SqlUploadsReader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect

    def get(self, upload_id: str, user_id: UserId) -> Upload | None:
        return self._one("where id = :id and user_id = :user_id", {"id": storable(upload_id), "user_id": user_id})

    def of_op(self, user_id: UserId, op: str) -> Upload | None:
        return self._one("where user_id = :user_id and op = :op", {"user_id": user_id, "op": storable(op)})

    def count(self, user_id: UserId) -> int:
        rows = self._connection.execute(
            "select count(*) as total from uploads where user_id = :user_id", {"user_id": user_id}
        )
        return int(rows[0]["total"])

    def granted(self, user_id: UserId, wanted: Iterable[str], now: datetime) -> frozenset[str]:
        found: set[str] = set()
        for piece in _pieces(wanted):
            params = {f"sha256_{place}": sha256 for place, sha256 in enumerate(piece)}
            rows = self._connection.execute(
                f"{_GRANTED} and sha256 in ({', '.join(f':{name}' for name in params)})",
                {**params, "user_id": user_id, "now": self._dialect.time(now)},
            )
            found.update(row["sha256"] for row in rows)
        return frozenset(found)

    def staged_bytes(self, user_id: UserId, now: datetime) -> int:
        rows = self._connection.execute(_STAGED, {"user_id": user_id, "now": self._dialect.time(now)})
        return int(rows[0]["total"])

    def leased(self) -> frozenset[str]:
        rows = self._connection.execute("select distinct sha256 from blob_grants where expires_at is not null", {})
        return frozenset(row["sha256"] for row in rows)

    def _one(self, rest: str, params: Params) -> Upload | None:
        rows = self._connection.execute(f"{_SELECT} {rest}", params)
        return upload_from(self._dialect, rows[0]) if rows else None


class SqlUploadsStore(SqlUploadsReader):
    def put(self, upload: Upload) -> None:
        self._connection.change(_PUT, upload_row(self._dialect, upload))

    def remove(self, user_id: UserId, op: str) -> None:
        self._connection.change(
            "delete from uploads where user_id = :user_id and op = :op", {"user_id": user_id, "op": op}
        )

    def grant(self, user_id: UserId, sizes: Mapping[str, int], until: datetime | None) -> None:
        expires_at = None if until is None else self._dialect.time(until)
        # In one order, so that two who grant the same blobs wait for each other and never both.
        self._connection.change_many(
            _GRANT,
            [
                {"user_id": user_id, "sha256": sha256, "size_bytes": sizes[sha256], "expires_at": expires_at}
                for sha256 in sorted(sizes)
            ],
        )

    def expire(self, before: datetime) -> int:
        params = {"before": self._dialect.time(before)}
        uploads = self._connection.change("delete from uploads where expires_at < :before", params)
        return uploads + self._connection.change(
            "delete from blob_grants where expires_at is not null and expires_at < :before", params
        )


def _pieces(wanted: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(wanted)
    while piece := list(islice(rest, AT_ONCE)):
        yield piece
