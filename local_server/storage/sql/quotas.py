"""Counters of quotas in SQL: each moved by one conditional update, never by a read and then a write."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from local_server.domain.quotas import Lease, Period
from local_server.storage.sql.connection import Connection, Row
from local_server.storage.sql.rows import storable

_OPEN = """
    insert into quota_counters (subject, period, ends_at, used) values (:subject, :period, :ends_at, 0)
    on conflict (subject, period) do nothing
"""
_LEASE_ANY = """
    update quota_counters set used = used + :wanted where subject = :subject and period = :period returning used
"""
_LEASE = """
    update quota_counters set used = used + :wanted
    where subject = :subject and period = :period and used + :wanted <= :cap returning used
"""
# Never below nothing, whatever is given back.
_GIVE_BACK = """
    update quota_counters set used = case when used > :unspent then used - :unspent else 0 end
    where subject = :subject and period = :period
"""
_USED = "select used from quota_counters where subject = :subject and period = :period"
_PRUNE = """
    delete from quota_counters where (subject, period) in (
        select subject, period from quota_counters where ends_at < :before limit :limit)
"""


class SqlQuotasReader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect

    def used(self, wanted: Sequence[tuple[str, Period]]) -> Mapping[tuple[str, str], int]:
        return {(subject, period.name): self._used(_names(subject, period)) for subject, period in wanted}

    def _used(self, names: Row) -> int:
        rows = self._connection.execute(_USED, names)
        return rows[0]["used"] if rows else 0


class SqlQuotasStore(SqlQuotasReader):
    def lease(self, subject: str, period: Period, cap: int | None, wanted: int) -> Lease:
        names = _names(subject, period)
        self._connection.change(_OPEN, {**names, "ends_at": self._dialect.time(period.ends_at)})
        if cap is None:
            (row,) = self._connection.execute(_LEASE_ANY, {**names, "wanted": wanted})
            return Lease(wanted, row["used"])
        while True:
            # Others may move the counter between two statements: what was read only says what to try next.
            rows = self._connection.execute(_LEASE, {**names, "wanted": wanted, "cap": cap})
            if rows:
                return Lease(wanted, rows[0]["used"])
            used = self._used(names)
            wanted = min(wanted, cap - used)
            if wanted <= 0:
                return Lease(0, used)

    def give_back(self, subject: str, period: Period, unspent: int) -> None:
        self._connection.change(_GIVE_BACK, {**_names(subject, period), "unspent": unspent})

    def prune(self, before: datetime, limit: int = 10_000) -> int:
        return self._connection.change(_PRUNE, {"before": self._dialect.time(before), "limit": max(limit, 0)})


def _names(subject: str, period: Period) -> Row:
    return {"subject": storable(subject), "period": period.name}
