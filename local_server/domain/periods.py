"""Periods of a subscription: months and years that begin on the day it began.

Each is counted from the first day, never from the period before, so that a subscription of 31 January renews on
28 February and then on 31 March. They begin at midnight UTC.
"""

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Period:
    number: int
    """0 for the first."""
    starts_at: datetime
    ends_at: datetime
    """No longer part of it."""


def anchor_of(at: datetime) -> datetime:
    """When a subscription made at `at` (aware) begins to be counted."""
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def months_after(anchor: datetime, months: int) -> datetime:
    """The same day that many months on, or the last of the month where it has no such day."""
    year, month = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    return anchor.replace(year=year, month=month + 1, day=min(anchor.day, monthrange(year, month + 1)[1]))


def period(anchor: datetime, months: int, number: int) -> Period:
    """The period of that number, `months` long."""
    return Period(number, months_after(anchor, number * months), months_after(anchor, (number + 1) * months))


def period_at(anchor: datetime, months: int, at: datetime) -> Period:
    """The one that `at` falls into; the first for times before it."""
    at = at.astimezone(UTC)
    number = max(((at.year - anchor.year) * 12 + at.month - anchor.month) // months, 0)
    found = period(anchor, months, number)
    if at < found.starts_at and number > 0:
        return period(anchor, months, number - 1)
    return found
