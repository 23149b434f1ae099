"""What of a subscription was used, and what that costs.

A call is counted once, on the day (UTC) it began. Quotas are of days and months of the calendar, and what is beyond one
is charged with the period of the subscription in which that day or month ends: every monthly period has exactly one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Literal

from local_server.domain.ids import SubscriptionId
from local_server.domain.manifest import PlanSpec
from local_server.domain.market_errors import SpendCapRefused
from local_server.domain.money import exact_amount, rounded_minor

GATEWAY = "gateway"
"""The source of events that come from the request log; an event's id is the request's."""

Daily = Mapping[date, int]
"""Units by day (UTC)."""


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """Something that counts. `source` and `event_id` name it: however often it is told, it counts once."""

    subscription_id: SubscriptionId
    source: str
    event_id: str
    at: datetime
    units: int = 1

    @property
    def day(self) -> date:
        return self.at.astimezone(UTC).date()


@dataclass(frozen=True, slots=True)
class Charges:
    """One period, so far or in the end."""

    used: int
    """In the period."""
    quota_used: int
    """In the day or month of the quota that is now."""
    quota_left: int | None
    """None: there is no quota. 0 where what is beyond it is billed, and it is used up."""
    quota_resets_at: datetime | None
    beyond: int
    """Requests beyond the quota that the period is charged for."""
    base_minor: int
    overage: Decimal
    """Exact, in whole units of the currency."""
    total_minor: int
    """Rounded once, half a unit up."""


def window_of(interval: Literal["day", "month"], day: date) -> tuple[date, date]:
    """The day or month of the calendar that `day` is in: (first day, the day after the last)."""
    if interval == "day":
        return day, day + timedelta(days=1)
    first = day.replace(day=1)
    return first, (first + timedelta(days=31)).replace(day=1)


def charges(terms: PlanSpec, daily: Daily, period_start: datetime, period_end: datetime, now: datetime) -> Charges:
    """What the period costs by what is known `now`. `daily` reaches back to the first day of the month in which the
    period begins. The window of the quota that is going on counts if it ends in this period."""
    first, end, today = (at.astimezone(UTC).date() for at in (period_start, period_end, now))
    used = sum(units for day, units in daily.items() if first <= day < end)
    quota_used, quota_left, resets_at, beyond = 0, None, None, 0
    if terms.quota is not None and terms.quota_interval is not None:
        windows = _windows(terms.quota_interval, daily)
        opened, closes = window_of(terms.quota_interval, today)
        quota_used = windows.get((opened, closes), 0)
        quota_left = max(terms.quota - quota_used, 0)
        resets_at = datetime(closes.year, closes.month, closes.day, tzinfo=UTC)
        beyond = sum(max(units - terms.quota, 0) for (_, over), units in windows.items() if first < over <= end)
    price = terms.overage_price if terms.overage == "bill" else None
    overage = (price or Decimal(0)) * beyond
    total = rounded_minor(exact_amount(terms.price_minor, terms.currency) + overage, terms.currency)
    return Charges(used, quota_used, quota_left, resets_at, beyond, terms.price_minor, overage, total)


def needed_since(period_start: datetime) -> date:
    """From which day on `charges` has to know what was used."""
    return period_start.astimezone(UTC).date().replace(day=1)


def capped_requests(terms: PlanSpec, spend_cap_minor: int | None) -> int | None:
    """How many requests of a month a cap on spending leaves; None: the plan has no end, or no cap was given.

    Raises SpendCapRefused for a cap below the plan's own price, or where the plan has nothing that could exceed it in
    a way that a month's count can stop."""
    if spend_cap_minor is None:
        return None
    if spend_cap_minor < terms.price_minor:
        raise SpendCapRefused("is less than the plan itself costs")
    if terms.overage != "bill" or not terms.overage_price or terms.quota is None:
        raise SpendCapRefused("has no effect: the plan costs nothing beyond its price")
    if terms.quota_interval != "month" or terms.interval != "month":
        raise SpendCapRefused("cannot be kept: the plan is not counted and paid by the month")
    room = exact_amount(spend_cap_minor - terms.price_minor, terms.currency)
    return terms.quota + int(room / terms.overage_price)


def _windows(interval: Literal["day", "month"], daily: Daily) -> Mapping[tuple[date, date], int]:
    sums: dict[tuple[date, date], int] = {}
    for day, units in daily.items():
        window = window_of(interval, day)
        sums[window] = sums.get(window, 0) + units
    return sums


def by_day(events: Iterable[UsageEvent]) -> Mapping[tuple[SubscriptionId, date], int]:
    sums: dict[tuple[SubscriptionId, date], int] = {}
    for event in events:
        key = (event.subscription_id, event.day)
        sums[key] = sums.get(key, 0) + event.units
    return sums
