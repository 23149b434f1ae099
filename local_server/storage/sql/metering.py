"""What was used of subscriptions, in SQL: every event once, and the totals of its day moved with it."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime

from local_server.domain.ids import SubscriptionId
from local_server.domain.metering import UsageEvent, by_day
from local_server.storage.sql.connection import Connection
from local_server.storage.sql.rows import storable

# An event that is told of twice at the same time waits here for the first to commit, and then counts nothing.
_EVENT = """
    insert into usage_events (subscription_id, source, event_id, at, units)
    select id, :source, :event_id, :at, :units from subscriptions where id = :subscription_id
    on conflict (subscription_id, source, event_id) do nothing
"""

_TOTAL = """
    insert into usage_totals (subscription_id, day, units) values (:subscription_id, :day, :units)
    on conflict (subscription_id, day) do update set units = usage_totals.units + excluded.units
"""

_PRUNE = """
    delete from usage_events where (subscription_id, source, event_id) in (
        select subscription_id, source, event_id from usage_events where at < :before limit :limit)
"""


class SqlMeteringReader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect

    def daily(self, subscription_id: SubscriptionId, since: date) -> Mapping[date, int]:
        rows = self._connection.execute(
            "select day, units from usage_totals where subscription_id = :id and day >= :since order by day",
            {"id": subscription_id, "since": since.isoformat()},
        )
        return {date.fromisoformat(row["day"]): row["units"] for row in rows}


class SqlMeteringStore(SqlMeteringReader):
    def count(self, events: Iterable[UsageEvent]) -> int:
        # In one order everywhere, so that two servers that count at once never wait for each other in a ring.
        fresh = [event for event in sorted(events, key=_identity) if self._is_new(event)]
        for (subscription_id, day), units in sorted(by_day(fresh).items()):
            params = {"subscription_id": subscription_id, "day": day.isoformat(), "units": units}
            self._connection.change(_TOTAL, params)
        return len(fresh)

    def prune(self, before: datetime, limit: int) -> int:
        return self._connection.change(_PRUNE, {"before": self._dialect.time(before), "limit": max(limit, 0)})

    def _is_new(self, event: UsageEvent) -> bool:
        params = {
            "subscription_id": storable(event.subscription_id),
            "source": event.source,
            "event_id": storable(event.event_id),
            "at": self._dialect.time(event.at),
            "units": event.units,
        }
        return self._connection.change(_EVENT, params) == 1


def _identity(event: UsageEvent) -> tuple[str, str, str]:
    return event.subscription_id, event.source, event.event_id
