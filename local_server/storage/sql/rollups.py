"""Rollups of the request log in SQL: what a minute, an hour, a day saw of an API, histograms included."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from local_server.domain.executions import Execution, by_api
from local_server.domain.ids import ApiId, UserId
from local_server.domain.usage import GenerationTally, Popularity, Rollup, Step, Tally
from local_server.storage.dialect import Dialect
from local_server.storage.sql.connection import Connection, Row

_TABLES = {Step.MINUTE: "usage_minutes", Step.HOUR: "usage_hours", Step.DAY: "usage"}
_COUNTS = (
    "requests",
    "errors",
    "total_us",
    "bytes_in",
    "bytes_out",
    "outcomes",
    "statuses",
    "generations",
    "latencies",
)
_COLUMNS = ", ".join(("api_id", "starts_at", *_COUNTS))

_VALUES = ", ".join(f":{name}" for name in ("api_id", "starts_at", *_COUNTS))
_UPDATES = ", ".join(f"{name} = :{name}" for name in _COUNTS)


def _sql_of_each_step(sql: str) -> Mapping[Step, str]:
    return {step: sql.format(table=_TABLES[step], columns=_COLUMNS, values=_VALUES, updates=_UPDATES) for step in Step}


_ADD = _sql_of_each_step("insert into {table} ({columns}) values ({values}) on conflict (api_id, starts_at) do nothing")
_REPLACE = _sql_of_each_step("update {table} set {updates} where api_id = :api_id and starts_at = :starts_at")
_ONE = _sql_of_each_step("select {columns} from {table} where api_id = :api_id and starts_at = :starts_at")
_SINCE = _sql_of_each_step(
    "select {columns} from {table} where api_id = :api_id and starts_at >= :since order by starts_at"
)
# Naming the APIs lets the primary key find the rows; these tables have no index by time alone.
_POPULARITY = _sql_of_each_step(
    "select apis.id as api_id, coalesce(sum(counted.requests), 0) as requests "
    "from apis left join {table} as counted on counted.api_id = apis.id and counted.starts_at >= :since "
    "where apis.user_id = :user_id and apis.status <> 'removed' group by apis.id"
)
_PRUNE = _sql_of_each_step(
    "delete from {table} where (api_id, starts_at) in (select api_id, starts_at from {table} "
    "where api_id in (select id from apis) and starts_at < :before limit :limit)"
)


class SqlRollups:
    """Reads and writes on one connection. Part of the usage store."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect

    def since(self, api_id: ApiId, step: Step, since: datetime) -> Sequence[Rollup]:
        params = {"api_id": api_id, "since": self._dialect.time(since)}
        return [rollup_from(self._dialect, row) for row in self._connection.execute(_SINCE[step], params)]

    def popularity(self, user_id: UserId, step: Step, since: datetime) -> Popularity:
        params = {"user_id": user_id, "since": self._dialect.time(since)}
        rows = self._connection.execute(_POPULARITY[step], params)
        return {ApiId(row["api_id"]): row["requests"] for row in rows}

    def count(self, rows: Sequence[Execution]) -> None:
        """Add rows that were never counted before."""
        for step, rollups in tallied(rows).items():
            # In one order everywhere, so that two servers that count at once never wait for each other in a ring.
            for rollup in sorted(rollups, key=_place):
                self._merge(step, rollup)

    def prune(self, step: Step, before: datetime, limit: int) -> int:
        return self._connection.change(_PRUNE[step], {"before": self._dialect.time(before), "limit": max(limit, 0)})

    def _merge(self, step: Step, rollup: Rollup) -> None:
        tally = self._stored(step, rollup)
        if tally is None:
            if self._connection.change(_ADD[step], rollup_row(self._dialect, rollup)) == 1:
                return
            tally = self._stored(step, rollup)  # somebody else's, who was there between our two statements
            assert tally is not None
        tally.add(rollup.tally)
        merged = Rollup(rollup.api_id, rollup.starts_at, tally)
        self._connection.change(_REPLACE[step], rollup_row(self._dialect, merged))

    def _stored(self, step: Step, rollup: Rollup) -> Tally | None:
        key = {"api_id": rollup.api_id, "starts_at": self._dialect.time(rollup.starts_at)}
        rows = self._connection.execute(_ONE[step] + self._connection.locking(_TABLES[step]), key)
        return rollup_from(self._dialect, rows[0]).tally if rows else None


def _place(rollup: Rollup) -> tuple[ApiId, datetime]:
    return rollup.api_id, rollup.starts_at


def tallied(rows: Sequence[Execution]) -> Mapping[Step, Sequence[Rollup]]:
    """`rows` counted by minute; hours are the sums of minutes, and days of hours."""
    by_minute = [
        Rollup(api_id, minute, Tally.of(part))
        for api_id, all_of_it in by_api(rows).items()
        for minute, part in _minutes(all_of_it).items()
    ]
    by_hour = _summed(Step.HOUR, by_minute)
    return {Step.MINUTE: by_minute, Step.HOUR: by_hour, Step.DAY: _summed(Step.DAY, by_hour)}


def _minutes(rows: Sequence[Execution]) -> Mapping[datetime, Sequence[Execution]]:
    """By when each minute began. Mostly there is only one, which the first and the last row tell."""
    starts = [row.started_at for row in rows]
    first = Step.MINUTE.start_of(min(starts))
    if first == Step.MINUTE.start_of(max(starts)):
        return {first: rows}
    minutes: dict[int, list[Execution]] = {}
    for row, started_at in zip(rows, starts, strict=True):
        minutes.setdefault(int(started_at.timestamp()) // 60, []).append(row)
    return {datetime.fromtimestamp(number * 60, UTC): part for number, part in minutes.items()}


def _summed(step: Step, parts: Iterable[Rollup]) -> list[Rollup]:
    sums: dict[tuple[ApiId, datetime], Rollup] = {}
    for part in parts:
        starts_at = step.start_of(part.starts_at)
        total = sums.setdefault((part.api_id, starts_at), Rollup(part.api_id, starts_at, Tally()))
        total.tally.add(part.tally)
    return list(sums.values())


def rollup_row(dialect: Dialect, rollup: Rollup) -> Row:
    tally = rollup.tally
    parts = [*tally.generations.items(), *tally.versions.items()]
    return {
        "api_id": rollup.api_id,
        "starts_at": dialect.time(rollup.starts_at),
        "requests": tally.requests,
        "errors": tally.errors,
        "total_us": tally.total_us,
        "bytes_in": tally.bytes_in,
        "bytes_out": tally.bytes_out,
        "outcomes": dialect.json(tally.outcomes),
        "statuses": dialect.json(_flat(tally.statuses)),
        "generations": dialect.json([[of, part.requests, part.errors, part.total_us] for of, part in parts]),
        "latencies": dialect.json(_flat(tally.latencies)),
    }


def rollup_from(dialect: Dialect, row: Row) -> Rollup:
    generations: dict[int, GenerationTally] = {}
    versions: dict[str, GenerationTally] = {}
    for of, *counts in dialect.parsed(row["generations"]):  # versions are text, generations numbers
        (versions if isinstance(of, str) else generations)[of] = GenerationTally(*counts)
    tally = Tally(
        requests=row["requests"],
        errors=row["errors"],
        total_us=row["total_us"],
        bytes_in=row["bytes_in"],
        bytes_out=row["bytes_out"],
        outcomes=dialect.parsed(row["outcomes"]),
        statuses=_paired(dialect.parsed(row["statuses"])),
        generations=generations,
        versions=versions,
        latencies=_paired(dialect.parsed(row["latencies"])),
    )
    return Rollup(ApiId(row["api_id"]), dialect.moment(row["starts_at"]), tally)


# Counts by number, as `[number, count, number, count ...]`: JSON's objects know text keys only, and a week has fifteen
# thousand buckets to turn back into numbers.


def _flat(counts: Mapping[int, int]) -> list[int]:
    return [part for pair in counts.items() for part in pair]


def _paired(flat: Sequence[int]) -> dict[int, int]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
