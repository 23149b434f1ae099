"""Tables that PostgreSQL keeps in days: `executions_20260314` holds what began on that day, and goes as a whole.

Days are made ahead of time. A row of any other (a clock that is wrong, a server that nobody tended for a week) goes
into `executions_rest` and is moved when its day is made.
"""

import logging
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from psycopg import Connection
from psycopg.errors import LockNotAvailable
from psycopg.sql import SQL, Identifier, Literal

logger = logging.getLogger(__name__)

DAYS: Mapping[str, str] = {"executions": "started_at"}
"""The tables, and the time that says to which day a row belongs."""

AHEAD = 7
"""Days; the server is back within a week, or the first of what it missed is moved later."""

_LOCK = 0x64617973
# For the lock that a change of the table itself needs everybody waits in line; better that we come again later.
_PATIENCE = "3s"

_PARTITIONS = """
    select child.relname as name from pg_inherits
    join pg_class as child on child.oid = pg_inherits.inhrelid
    where pg_inherits.inhparent = cast(%s as regclass)
"""

_MAKE = """
    create table {day} (like {table} including all);
    with moved as (delete from {rest} where {time} >= {begin} and {time} < {end} returning *)
    insert into {day} select * from moved;
    alter table {table} attach partition {day} for values from ({begin}) to ({end});
"""


def make_days(connection: Connection[Any], today: date) -> int:
    """In one transaction, those that are missing of yesterday, today and the next; returns how many. Where the tables
    are in use all the time it gives up, and nothing is worse than before."""
    made = 0
    try:
        with connection.transaction():
            connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
            connection.execute(SQL("set local lock_timeout = {}").format(Literal(_PATIENCE)))
            for table, column in DAYS.items():
                there = _days_of(connection, table)
                wanted = [today + timedelta(days) for days in range(-1, AHEAD + 1)]
                for day in (day for day in wanted if day not in there):
                    _make_day(connection, table, column, day)
                    made += 1
    except LockNotAvailable as error:
        logger.warning("No days could be made ahead, somebody holds on to the table; trying again later: %s", error)
        return 0
    return made


def drop_days(connection: Connection[Any], table: str, before: datetime) -> int:
    """Inside a transaction: drop the days that ended by then; how many rows went."""
    dropped = 0
    for day in sorted(_days_of(connection, table)):
        if _midnight(day + timedelta(1)) > before:
            break
        name = Identifier(_name(table, day))
        try:
            with connection.transaction():
                connection.execute(SQL("set local lock_timeout = {}").format(Literal(_PATIENCE)))
                counted = connection.execute(SQL("select count(*) as rows from {}").format(name)).fetchone()
                connection.execute(SQL("drop table {}").format(name))
        except LockNotAvailable:
            break  # next time; what is too old goes row by row meanwhile
        dropped += counted["rows"] if counted else 0
    return dropped


def _make_day(connection: Connection[Any], table: str, column: str, day: date) -> None:
    connection.execute(
        SQL(_MAKE).format(
            day=Identifier(_name(table, day)),
            table=Identifier(table),
            rest=Identifier(f"{table}_rest"),
            time=Identifier(column),
            begin=Literal(_midnight(day)),
            end=Literal(_midnight(day + timedelta(1))),
        )
    )


def _days_of(connection: Connection[Any], table: str) -> set[date]:
    found = set()
    for row in connection.execute(_PARTITIONS, [table]):
        written = row["name"].removeprefix(f"{table}_")
        if written.isascii() and written.isdecimal() and len(written) == 8:
            found.add(date(int(written[:4]), int(written[4:6]), int(written[6:])))
    return found


def _name(table: str, day: date) -> str:
    return f"{table}_{day:%Y%m%d}"


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
