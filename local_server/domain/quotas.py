"""Quotas: how many calls a key may make in a day or a month of the calendar (UTC), and what a call costs of one.

A quota is money, not rate. It is moved in storage by one conditional update, and spent from leases: a server takes a
few calls ahead and counts them in memory. What no server holds a lease on nobody can spend, so that several of them
never overrun a quota together.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from local_server.domain.account_errors import KeyFieldRefused
from local_server.domain.executions import CallOutcome
from local_server.domain.manifest import PlanSpec
from local_server.domain.manifest_values import Wrong
from local_server.domain.manifest_values import quota as written_quota

Interval = Literal["day", "month"]

LARGEST_LEASE = 256
LEASED_SHARE = 16
"""A lease is at most this part of what is left: the nearer the end, the less one server holds that another could use,
and the less a crash loses."""


@dataclass(frozen=True, slots=True)
class Quota:
    """`1000/month`. `block`: what is beyond it is refused; `bill`: it is counted."""

    requests: int
    interval: Interval
    overage: Literal["block", "bill"] = "block"

    def __str__(self) -> str:
        return f"{self.requests}/{self.interval}"

    @property
    def cap(self) -> int | None:
        """What the counter may never exceed; None: anything."""
        return self.requests if self.overage == "block" else None


@dataclass(frozen=True, slots=True)
class Period:
    """One day or month. `name` tells it from every other one, days from months too: `2026-03-14`, `2026-03`."""

    name: str
    starts_at: datetime
    ends_at: datetime

    @property
    def length_s(self) -> int:
        return int((self.ends_at - self.starts_at).total_seconds())


@dataclass(frozen=True, slots=True)
class Lease:
    """`granted` calls that may be made, fewer than were wanted near the cap; `used` by everybody, leases and this one
    included."""

    granted: int
    used: int


def period_of(interval: Interval, at: datetime) -> Period:
    """The day or month of UTC that `at` (aware) falls into."""
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if interval == "day":
        return Period(day.strftime("%Y-%m-%d"), day, day + timedelta(days=1))
    first = day.replace(day=1)
    return Period(first.strftime("%Y-%m"), first, (first + timedelta(days=31)).replace(day=1))


def lease_size(left: int) -> int:
    """How many calls to lease at once while `left` are left; beyond a quota that is billed, few."""
    return max(1, min(LARGEST_LEASE, left // LEASED_SHARE))


def costs(outcome: CallOutcome, generation: int) -> bool:
    """Whether a call counts: the API answered it, and not with 5xx. Who hangs up on an API at work has been served."""
    if outcome is CallOutcome.ABORTED:
        return generation > 0
    return outcome in (CallOutcome.OK, CallOutcome.CLIENT_ERROR)


def check_quota(text: str) -> Quota:
    """Raises KeyFieldRefused."""
    try:
        requests, interval = written_quota(text)
    except Wrong as wrong:
        raise KeyFieldRefused("quota", str(wrong)) from None
    return Quota(requests, "day" if interval == "day" else "month")


def plan_of(plans: tuple[PlanSpec, ...], code: str) -> PlanSpec:
    """Raises KeyFieldRefused."""
    for plan in plans:
        if plan.code == code:
            return plan
    known = " or ".join(repr(plan.code) for plan in plans)
    allowed = f"allowed: {known}" if known else "the API has no plans; they stand in apimarket.toml as [[plan]]"
    raise KeyFieldRefused("plan", f"found {code[:40]!r}; {allowed}")


def quota_of(plan: PlanSpec) -> Quota | None:
    """What a key of the plan may call; None: as much as it likes."""
    if plan.quota is None or plan.quota_interval is None:
        return None
    return Quota(plan.quota, plan.quota_interval, plan.overage)
