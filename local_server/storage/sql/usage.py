"""The request log in SQL."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime

from local_server.domain.executions import CallOutcome, Execution
from local_server.domain.ids import ApiId, KeyId, RequestId, SubscriptionId, UserId
from local_server.domain.metering import GATEWAY, UsageEvent
from local_server.domain.quotas import costs
from local_server.domain.usage import (
    HistoryFilter,
    HistoryPage,
    PathCount,
    Popularity,
    Rollup,
    Step,
    TroubleCount,
)
from local_server.storage.sql.connection import Connection
from local_server.storage.sql.metering import SqlMeteringStore
from local_server.storage.sql.rollups import SqlRollups
from local_server.storage.sql.rows import EXECUTION_COLUMNS, execution_from, execution_row, storable

SCANNED = 10_000
"""One page of filtered history looks through at most so many rows, or a filter that nothing passes would read all."""

_IDS_AT_ONCE = 500

_COLUMNS = ", ".join(EXECUTION_COLUMNS)

_HISTORY = f"select {_COLUMNS} from executions where api_id = :api_id"  # noqa: S608 -- a constant

# A page goes on behind a row, not behind a time: two requests may have begun in the same microsecond. A row that was
# pruned meanwhile has nothing older behind it, and comparing with its missing time rightly finds nothing.
_BEHIND = " and (started_at, id) < ((select started_at from executions where id = :before), :before)"
_NOT_BEHIND = " and (started_at, id) >= ((select started_at from executions where id = :last), :last)"

_NEWEST_FIRST = " order by started_at desc, id desc limit :limit"

# In these words the index of what was not ok has it, and a database recognises it by them.
_NOT_OK = " and outcome <> 'ok'"

_PATHS = """
    select path, count(*) as requests, sum(total_us) as total_us
    from (select path, total_us from executions where api_id = :api_id and started_at >= :since
          order by started_at desc, id desc limit :newest) as newest
    group by path order by requests desc, path
"""

_TROUBLES = f"""
    select outcome, status, method, path, count(*) as requests, max(started_at) as last_at, max(id) as last_id
    from (select outcome, status, method, path, started_at, id from executions
          where api_id = :api_id and started_at >= :since{_NOT_OK}
          order by started_at desc, id desc limit :newest) as newest
    group by outcome, status, method, path order by requests desc, last_at desc
"""  # noqa: S608 -- put together from constants only

# Naming the APIs lets the index on (api_id, started_at) find old rows; without, the whole log would be read.
_PRUNE = """
    delete from executions where id in (
        select id from executions where api_id in (select id from apis) and started_at < :before limit :limit)
"""


# A key that was rotated goes on counting for what it was made for.
_SUBSCRIPTION_OF = """
    select subscriptions.id from api_keys join subscriptions on subscriptions.id = api_keys.quota_subject
    where api_keys.id = :key_id
"""


class SqlUsageReader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect
        self._rollups = SqlRollups(connection)

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

    def page(self, api_id: ApiId, wanted: HistoryFilter, limit: int = 100, before: str | None = None) -> HistoryPage:
        among, filters, params = self._conditions(wanted)
        params |= {"api_id": api_id, "limit": max(limit, 0)}
        if before is not None:
            among += _BEHIND
            params["before"] = storable(before)
        last = self._last_to_scan(among, params) if filters else None
        if last is not None:
            filters += _NOT_BEHIND
            params["last"] = last
        found = self._connection.execute(_HISTORY + among + filters + _NEWEST_FIRST, params)
        rows = [execution_from(self._dialect, row) for row in found]
        if rows and len(rows) == limit:
            return HistoryPage(rows, rows[-1].id)
        return HistoryPage(rows, last)

    def rollups(self, api_id: ApiId, step: Step, since: datetime) -> Sequence[Rollup]:
        return self._rollups.since(api_id, step, since)

    def popularity(self, user_id: UserId, step: Step, since: datetime) -> Popularity:
        return self._rollups.popularity(user_id, step, since)

    def paths(self, api_id: ApiId, since: datetime, newest: int) -> Sequence[PathCount]:
        params = {"api_id": api_id, "since": self._dialect.time(since), "newest": newest}
        rows = self._connection.execute(_PATHS, params)
        return [PathCount(row["path"], row["requests"], row["total_us"]) for row in rows]

    def troubles(self, api_id: ApiId, since: datetime, newest: int) -> Sequence[TroubleCount]:
        params = {"api_id": api_id, "since": self._dialect.time(since), "newest": newest}
        return [
            TroubleCount(
                outcome=CallOutcome(row["outcome"]),
                status=row["status"],
                method=row["method"],
                path=row["path"],
                requests=row["requests"],
                last_at=self._dialect.moment(row["last_at"]),
                last_id=row["last_id"],
            )
            for row in self._connection.execute(_TROUBLES, params)
        ]

    def _conditions(self, wanted: HistoryFilter) -> tuple[str, str, dict[str, str | int]]:
        """(what the indices narrow down, what is looked at row by row, the values of both)."""
        among, filters = "", ""
        params: dict[str, str | int] = {}
        if wanted.since is not None:
            among += " and started_at >= :since"
            params["since"] = self._dialect.time(wanted.since)
        if wanted.until is not None:
            among += " and started_at < :until"
            params["until"] = self._dialect.time(wanted.until)
        if wanted.not_ok or wanted.outcome not in (None, CallOutcome.OK):
            among += _NOT_OK
        if wanted.outcome is not None:
            filters += " and outcome = :outcome"
            params["outcome"] = wanted.outcome
        if wanted.status_class is not None:
            filters += " and status between :lowest and :highest"
            params |= {"lowest": wanted.status_class * 100, "highest": wanted.status_class * 100 + 99}
        if wanted.method is not None:
            filters += " and method = :method"
            params["method"] = storable(wanted.method)
        if wanted.path_prefix is not None:
            filters += " and substr(path, 1, :prefix_chars) = :prefix"
            prefix = storable(wanted.path_prefix)
            params |= {"prefix": prefix, "prefix_chars": len(prefix)}
        if wanted.generation is not None:
            filters += " and generation = :generation"
            filters += " and version = ''" if wanted.version is None else ""  # each version counts its own
            params["generation"] = wanted.generation
        if wanted.key_id is not None:
            filters += " and key_id = :key_id"
            params["key_id"] = storable(wanted.key_id)
        if wanted.version is not None:
            filters += " and version = :version"
            params["version"] = storable(wanted.version)
        return among, filters, params

    def _last_to_scan(self, among: str, params: Mapping[str, str | int]) -> str | None:
        """The row behind which this page does not look; None when it may look at all there are."""
        sql = (
            f"select id from executions where api_id = :api_id{among} "  # noqa: S608 -- put together from constants only
            "order by started_at desc, id desc limit 1 offset :offset"
        )
        rows = self._connection.execute(sql, {**params, "offset": SCANNED - 1})
        return rows[0]["id"] if rows else None


class SqlUsageStore(SqlUsageReader):
    def add(self, rows: Sequence[Execution]) -> int:
        known = {api_id for api_id in {row.api_id for row in rows} if self._is_known(api_id)}
        wanted = {row.id: row for row in reversed(rows) if row.api_id in known}
        for known_id in self._stored_among(list(wanted)):
            del wanted[RequestId(known_id)]
        fresh = sorted(wanted.values(), key=_by_id)  # at the end of the table, one behind the other
        written = [execution_row(self._dialect, row) for row in fresh]
        self._connection.insert_many("executions", EXECUTION_COLUMNS, written)
        self._rollups.count(fresh)
        SqlMeteringStore(self._connection).count(self._billable(fresh))
        return len(fresh)

    def _billable(self, rows: Sequence[Execution]) -> Iterator[UsageEvent]:
        """What of the rows counts for a subscription: those of its keys that cost something."""
        subscriptions = self._subscriptions_of({row.key_id for row in rows if row.key_id is not None})
        if not subscriptions:
            return
        for row in rows:
            if row.key_id is not None and row.key_id in subscriptions and costs(row.outcome, row.generation):
                yield UsageEvent(subscriptions[row.key_id], GATEWAY, row.id, row.started_at)

    def _subscriptions_of(self, keys: Collection[KeyId]) -> Mapping[KeyId, SubscriptionId]:
        found = {}
        for key_id in keys:
            for row in self._connection.execute(_SUBSCRIPTION_OF, {"key_id": key_id}):
                found[key_id] = SubscriptionId(row["id"])
        return found

    def prune(self, before: datetime, limit: int = 10_000) -> int:
        dropped = self._connection.drop_days("executions", before)
        params = {"before": self._dialect.time(before), "limit": max(limit, 0)}
        return dropped + self._connection.change(_PRUNE, params)

    def prune_rollups(self, step: Step, before: datetime, limit: int = 10_000) -> int:
        return self._rollups.prune(step, before, limit)

    def _is_known(self, api_id: ApiId) -> bool:
        return bool(self._connection.execute("select 1 as one from apis where id = :id", {"id": api_id}))

    def _stored_among(self, ids: Sequence[str]) -> Iterator[str]:
        """Ids grow with time, so that most of a batch is newer than all that is stored and need not be looked for."""
        (row,) = self._connection.execute("select max(id) as newest from executions", {})
        newest = row["newest"] or ""
        doubtful = [id for id in ids if id <= newest]
        for start in range(0, len(doubtful), _IDS_AT_ONCE):
            params = {f"id{place}": id for place, id in enumerate(doubtful[start : start + _IDS_AT_ONCE])}
            places = ", ".join(f":{name}" for name in params)
            sql = f"select id from executions where id in ({places})"  # noqa: S608 -- names of parameters
            for found in self._connection.execute(sql, params):
                yield found["id"]


def _by_id(row: Execution) -> str:
    return row.id
