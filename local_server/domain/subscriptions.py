"""A consumer's subscription to an API: what it may be, and what may become of it.

Every change is a function from one subscription to the next; whoever stores it names the `row_version` it started from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from local_server.domain.ids import ApiId, PlanId, SubscriptionId, UserId
from local_server.domain.market_errors import SubscriptionNotLive, SubscriptionUnchangeable
from local_server.domain.periods import anchor_of, period, period_at
from local_server.domain.plans import MONTHS, Plan, is_upgrade


class SubscriptionState(StrEnum):
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    """A payment is missing; it may be called meanwhile."""
    PAUSED = "paused"
    CANCELED = "canceled"
    """Ended by its subscriber."""
    EXPIRED = "expired"
    """Ended by itself: a trial that nobody went on with, a payment that never came."""


_S = SubscriptionState

ALLOWED: Mapping[SubscriptionState, frozenset[SubscriptionState]] = {
    _S.TRIALING: frozenset({_S.ACTIVE, _S.CANCELED, _S.EXPIRED}),
    _S.ACTIVE: frozenset({_S.PAST_DUE, _S.PAUSED, _S.CANCELED}),
    _S.PAST_DUE: frozenset({_S.ACTIVE, _S.CANCELED, _S.EXPIRED}),
    _S.PAUSED: frozenset({_S.ACTIVE, _S.CANCELED}),
    _S.CANCELED: frozenset(),
    _S.EXPIRED: frozenset(),
}

LIVE = frozenset(state for state, then in ALLOWED.items() if then)
"""Of these a subscriber has at most one for each API."""


@dataclass(frozen=True, slots=True)
class Subscription:
    id: SubscriptionId
    api_id: ApiId
    subscriber: UserId
    plan_id: PlanId
    """The version of the plan that holds for the period."""
    state: SubscriptionState
    anchor: datetime
    """Midnight UTC of the day from which periods are counted."""
    period_start: datetime
    period_end: datetime
    cancel_at_end: bool
    next_plan_id: PlanId | None
    """What it changes to when the period ends."""
    spend_cap_minor: int | None
    """What a period may cost at most, in minor units of the plan's currency."""
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    row_version: int

    @property
    def is_live(self) -> bool:
        return self.state in LIVE


def subscribed(
    id: SubscriptionId, subscriber: UserId, plan: Plan, now: datetime, spend_cap_minor: int | None = None
) -> Subscription:
    """A new one, active from now on."""
    anchor = anchor_of(now)
    first = period(anchor, MONTHS[plan.terms.interval], 0)
    return Subscription(
        id=id,
        api_id=plan.api_id,
        subscriber=subscriber,
        plan_id=plan.id,
        state=SubscriptionState.ACTIVE,
        anchor=anchor,
        period_start=first.starts_at,
        period_end=first.ends_at,
        cancel_at_end=False,
        next_plan_id=None,
        spend_cap_minor=spend_cap_minor,
        created_at=now,
        updated_at=now,
        ended_at=None,
        row_version=1,
    )


def moved(subscription: Subscription, to: SubscriptionState, now: datetime) -> Subscription:
    """In another state. Raises SubscriptionUnchangeable unless `ALLOWED` has it."""
    if to not in ALLOWED[subscription.state]:
        raise SubscriptionUnchangeable(subscription.id, subscription.state, to, sorted(ALLOWED[subscription.state]))
    ended = now if not ALLOWED[to] else None
    return replace(subscription, state=to, updated_at=now, ended_at=ended)


def cancelled(subscription: Subscription, now: datetime, *, at_once: bool) -> Subscription:
    """Over now, or when the period ends. Raises SubscriptionNotLive."""
    _refuse_ended(subscription)
    if at_once:
        return moved(subscription, SubscriptionState.CANCELED, now)
    return replace(subscription, cancel_at_end=True, updated_at=now)


def kept(subscription: Subscription, now: datetime) -> Subscription:
    """Not cancelled after all, and no other plan. Raises SubscriptionNotLive."""
    _refuse_ended(subscription)
    return replace(subscription, cancel_at_end=False, next_plan_id=None, updated_at=now)


def changed_plan(subscription: Subscription, old: Plan, new: Plan, now: datetime) -> Subscription:
    """On another plan: at once for more, when the period ends for less. Either way it goes on. Periods of another
    length are counted from today. Raises SubscriptionNotLive."""
    going_on = kept(subscription, now)
    if not is_upgrade(old.terms, new.terms):
        return replace(going_on, next_plan_id=new.id)
    if MONTHS[old.terms.interval] == MONTHS[new.terms.interval]:
        return replace(going_on, plan_id=new.id)
    return _begun_anew(replace(going_on, plan_id=new.id), new, now)


def renewed(subscription: Subscription, plan: Plan, now: datetime) -> Subscription:
    """In the period that `now` falls into, on `plan`; over where it was to end. Unchanged while its period lasts.
    A subscription that nobody looked at for months comes to the period of today in one step."""
    if not subscription.is_live or now < subscription.period_end:
        return subscription
    if subscription.cancel_at_end:
        return replace(moved(subscription, SubscriptionState.CANCELED, now), ended_at=subscription.period_end)
    going_on = replace(subscription, plan_id=plan.id, next_plan_id=None, updated_at=now)
    months = MONTHS[plan.terms.interval]
    if period_at(subscription.anchor, months, subscription.period_end).starts_at != subscription.period_end:
        # The new plan's periods are longer, and this day is none of their beginnings.
        return _begun_anew(going_on, plan, subscription.period_end, now)
    current = period_at(subscription.anchor, months, now)
    return replace(going_on, period_start=current.starts_at, period_end=current.ends_at)


def _begun_anew(subscription: Subscription, plan: Plan, since: datetime, now: datetime | None = None) -> Subscription:
    anchor = anchor_of(since)
    current = period_at(anchor, MONTHS[plan.terms.interval], now or since)
    return replace(subscription, anchor=anchor, period_start=current.starts_at, period_end=current.ends_at)


def _refuse_ended(subscription: Subscription) -> None:
    if not subscription.is_live:
        raise SubscriptionNotLive(subscription.id, subscription.state)
