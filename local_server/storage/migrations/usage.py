"""Rollups of the request log by minute, hour and day, made from the log as it is.

Histograms and other counts by key are JSON; nobody searches in them. There is no index by time alone: every
question is about one API, and pruning goes from API to API.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from sqlite_utils import Database

from local_server.domain.executions import CallOutcome, Execution
from local_server.domain.ids import ApiId, RequestId
from local_server.domain.usage import Step
from local_server.storage.dialect import SqliteDialect
from local_server.storage.sql.rollups import rollup_row, tallied

_TABLE = """
create table {name} (
    api_id text not null references apis (id) on delete cascade,
    starts_at text not null,
    requests integer not null,
    errors integer not null,
    total_us integer not null,
    bytes_in integer not null,
    bytes_out integer not null,
    outcomes text not null,
    statuses text not null,
    generations text not null,
    latencies text not null,
    primary key (api_id, starts_at)
) strict, without rowid;
"""

# What was not ok is looked for most, and is mostly rare. Outcome and status spare the way to the row.
_INDEX = """
create index idx_executions_not_ok on executions (api_id, started_at desc, id desc, outcome, status)
where outcome <> 'ok';
"""


_PUT = """
    insert into {name} (api_id, starts_at, requests, errors, total_us, bytes_in, bytes_out, outcomes, statuses,
                        generations, latencies)
    values (:api_id, :starts_at, :requests, :errors, :total_us, :bytes_in, :bytes_out, :outcomes, :statuses,
            :generations, :latencies)
"""
_TABLES = {Step.MINUTE: "usage_minutes", Step.HOUR: "usage_hours", Step.DAY: "usage"}


def usage_rollups(db: Database) -> None:
    for name in _TABLES.values():
        db.executescript(_TABLE.format(name=name))
    db.executescript(_INDEX)
    dialect = SqliteDialect()
    for day in _days(db, dialect):
        for step, rollups in tallied(day).items():
            put = _PUT.format(name=_TABLES[step])
            for rollup in rollups:
                db.execute(put, dict(rollup_row(dialect, rollup)))


def _days(db: Database, dialect: SqliteDialect) -> Iterator[list[Execution]]:
    """All that one API answered on one day, again and again: no more has to be in memory."""
    rows: Iterable[dict[str, Any]] = db.query("select * from executions order by api_id, started_at")
    for _, group in groupby(rows, lambda row: (row["api_id"], row["started_at"][:10])):
        yield [_execution(dialect, row) for row in group]


def _execution(dialect: SqliteDialect, row: dict[str, Any]) -> Execution:
    """Of the columns there were then."""
    return Execution(
        id=RequestId(row["id"]),
        api_id=ApiId(row["api_id"]),
        generation=row["generation"],
        method=row["method"],
        path=row["path"],
        status=row["status"],
        outcome=CallOutcome(row["outcome"]),
        started_at=dialect.moment(row["started_at"]),
        total_us=row["total_us"],
        upstream_us=row["upstream_us"],
        bytes_in=row["bytes_in"],
        bytes_out=row["bytes_out"],
        held=bool(row["held"]),
    )
