"""The request log in SQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from local_server.domain.executions import Execution
from local_server.domain.ids import ApiId
from local_server.storage.sql.connection import Connection, Row
from local_server.storage.sql.rows import execution_from, execution_row, storable

_COLUMNS = """id, api_id, generation, method, path, status, outcome, started_at, total_us, upstream_us, bytes_in,
              bytes_out, held"""

_ADD = f"""
    insert into executions ({_COLUMNS})
    values (:id, :api_id, :generation, :method, :path, :status, :outcome, :started_at, :total_us, :upstream_us,
            :bytes_in, :bytes_out, :held)
    on conflict (id) do nothing
"""  # noqa: S608 -- put together from constants only

_HISTORY = f"select {_COLUMNS} from executions where api_id = :api_id"  # noqa: S608 -- a constant

# A page goes on behind a row, not behind a time: two requests may have begun in the same microsecond. A row that was
# pruned meanwhile has nothing older behind it, and comparing with its missing time rightly finds nothing.
_BEHIND = " and (started_at, id) < ((select started_at from executions where id = :before), :before)"

_NEWEST_FIRST = " order by started_at desc, id desc limit :limit"


class SqlUsageReader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect

    def history(self, api_id: ApiId, limit: int = 100, before: str | None = None) -> Sequence[Execution]:
        params: dict[str, str | int] = {"api_id": api_id, "limit": max(limit, 0)}
        sql = _HISTORY
        if before is not None:
            sql += _BEHIND
            params["before"] = storable(before)
        rows = self._connection.execute(sql + _NEWEST_FIRST, params)
        return [execution_from(self._dialect, row) for row in rows]

    def count(self, api_id: ApiId, since: datetime) -> Mapping[str, int]:
        rows = self._connection.execute(
            "select outcome, count(*) as requests from executions "
            "where api_id = :api_id and started_at >= :since group by outcome",
            {"api_id": api_id, "since": self._dialect.time(since)},
        )
        return {row["outcome"]: row["requests"] for row in rows}


class SqlUsageStore(SqlUsageReader):
    def add(self, rows: Sequence[Execution]) -> None:
        known = {api_id for api_id in {row.api_id for row in rows} if self._is_known(api_id)}
        self._connection.change_many(_ADD, self._rows_of(rows, known))

    def prune(self, before: datetime) -> int:
        # Naming the APIs lets the index on (api_id, started_at) find old rows; without, the whole log would be read.
        return self._connection.change(
            "delete from executions where api_id in (select id from apis) and started_at < :before",
            {"before": self._dialect.time(before)},
        )

    def _is_known(self, api_id: ApiId) -> bool:
        return bool(self._connection.execute("select 1 as one from apis where id = :id", {"id": api_id}))

    def _rows_of(self, rows: Sequence[Execution], known: set[ApiId]) -> Sequence[Row]:
        return [execution_row(self._dialect, row) for row in rows if row.api_id in known]
