"""Plans as consumers subscribe to them. A plan, once offered, never changes: other terms are its next version."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from local_server.domain.ids import ApiId, PlanId
from local_server.domain.manifest import PlanSpec

NOTICE = timedelta(days=14)
"""For so long who has subscribed already keeps better terms than those that are offered now."""

MONTHS = {"month": 1, "year": 12}


@dataclass(frozen=True, slots=True)
class Plan:
    """One version of one plan; `version` counts from 1 for each code of an API."""

    id: PlanId
    api_id: ApiId
    version: int
    terms: PlanSpec
    created_at: datetime

    @property
    def code(self) -> str:
        return self.terms.code


Offer = Literal["new", "next", "same"]


def offer_of(newest: Plan | None, wanted: PlanSpec) -> Offer:
    """What a manifest's plan is beside the newest version there is of its code."""
    if newest is None:
        return "new"
    return "same" if newest.terms == wanted else "next"


def monthly_price(terms: PlanSpec) -> Decimal:
    """In minor units; for comparing only."""
    return Decimal(terms.price_minor) / MONTHS[terms.interval]


def is_worse(old: PlanSpec, new: PlanSpec) -> bool:
    """Whether someone who has `old` would lose by `new`, in anything. Another currency cannot be compared, and is."""
    if old.currency != new.currency or monthly_price(new) > monthly_price(old):
        return True
    if old.interval != new.interval or _allows_less(old, new):
        return True
    return _beyond(new) > _beyond(old) or (old.overage == "bill" and new.overage == "block")


def is_upgrade(old: PlanSpec, new: PlanSpec) -> bool:
    """Whether a change from one plan to another is for more: it then happens at once, and else at the period's end."""
    before, after = monthly_price(old), monthly_price(new)
    if old.currency != new.currency or after == before:
        return not _allows_less(old, new)
    return after > before


def at_renewal(pinned: Plan, newer: Sequence[Plan], period_start: datetime) -> Plan:
    """The version that a subscription to `pinned` has in the period that begins then: the newest of `newer` (ascending,
    of the same code) that was announced long enough before, or is no worse."""
    chosen = pinned
    for plan in newer:
        notice = NOTICE if is_worse(pinned.terms, plan.terms) else timedelta(0)
        if plan.created_at + notice <= period_start:
            chosen = plan
    return chosen


def _allows_less(old: PlanSpec, new: PlanSpec) -> bool:
    if new.quota is None:
        return False
    if old.quota is None or old.quota_interval is None or new.quota_interval is None:
        return True
    if old.quota_interval == new.quota_interval:
        return new.quota < old.quota
    # A day's share of a month is less than the month's, however large the sum: it cannot all be used at once.
    return new.quota_interval == "day" or new.quota < old.quota * 31


def _beyond(terms: PlanSpec) -> Decimal:
    return terms.overage_price or Decimal(0)
