"""Plans, periods and the life of a subscription."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from local_server.domain.ids import ApiId, PlanId, SubscriptionId, UserId
from local_server.domain.manifest import PlanSpec
from local_server.domain.market_errors import SubscriptionNotLive, SubscriptionUnchangeable
from local_server.domain.periods import anchor_of, months_after, period, period_at
from local_server.domain.plans import MONTHS, NOTICE, Plan, at_renewal, is_upgrade, is_worse
from local_server.domain.subscriptions import (
    ALLOWED,
    LIVE,
    Subscription,
    SubscriptionState,
    cancelled,
    changed_plan,
    kept,
    moved,
    renewed,
    subscribed,
)

NOW = datetime(2026, 1, 31, 15, 30, tzinfo=UTC)
ANA = UserId("ana")


def terms(**more: Any) -> PlanSpec:
    given: dict[str, Any] = {
        "code": "pro",
        "price_minor": 450,
        "currency": "EUR",
        "interval": "month",
        "quota": 1000,
        "quota_interval": "month",
        "overage": "block",
    }
    return PlanSpec(**(given | more))


def a_plan(version: int = 1, created_at: datetime = NOW, **more: Any) -> Plan:
    spec = terms(**more)
    return Plan(PlanId(f"{spec.code}-{version}"), ApiId("api"), version, spec, created_at)


def a_subscription(plan: Plan, now: datetime = NOW) -> Subscription:
    return subscribed(SubscriptionId("s"), ANA, plan, now)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class TestPeriods:
    def test_of_the_31st_are_counted_from_the_first(self) -> None:
        anchor = anchor_of(NOW)
        starts = [period(anchor, 1, number).starts_at for number in range(6)]
        expected = ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31", "2026-06-30"]
        assert starts == [day(text) for text in expected]

    def test_a_leap_day_renews_on_the_28th_and_is_back_after_four_years(self) -> None:
        starts = [period(day("2024-02-29"), 12, number).starts_at for number in range(5)]
        expected = ["2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"]
        assert starts == [day(text) for text in expected]

    def test_the_day_is_utcs(self) -> None:
        assert anchor_of(datetime.fromisoformat("2026-03-01T01:00:00+05:00")) == day("2026-02-28")

    @given(
        st.dates(datetime(2000, 1, 1).date(), datetime(2090, 1, 1).date()), st.sampled_from([1, 12]), st.integers(0, 90)
    )
    def test_follow_each_other_without_gap_or_overlap(self, start: Any, months: int, number: int) -> None:
        anchor = datetime(start.year, start.month, start.day, tzinfo=UTC)
        one, following = period(anchor, months, number), period(anchor, months, number + 1)
        assert one.starts_at < one.ends_at == following.starts_at
        assert months_after(anchor, months * number) == one.starts_at

    @given(
        st.datetimes(datetime(2000, 1, 1), datetime(2080, 1, 1)),
        st.integers(0, 20 * 366 * 86400),
        st.sampled_from([1, 12]),
    )
    def test_every_moment_is_in_the_period_that_is_found_for_it(
        self, start: datetime, after_s: int, months: int
    ) -> None:
        anchor = anchor_of(start.replace(tzinfo=UTC))
        at = anchor + timedelta(seconds=after_s)
        found = period_at(anchor, months, at)
        assert found.starts_at <= at < found.ends_at


class TestPlans:
    @pytest.mark.parametrize(
        "change",
        [
            {"price_minor": 451},
            {"quota": 999},
            {"quota_interval": "day", "quota": 900},
            {"currency": "USD"},
            {"interval": "year", "price_minor": 450 * 12},
            {"overage": "bill", "overage_price": Decimal("0.01")},
        ],
        ids=str,
    )
    def test_worse_is_whatever_anybody_could_lose_by(self, change: dict[str, Any]) -> None:
        assert is_worse(terms(), terms(**change))

    @pytest.mark.parametrize("change", [{}, {"price_minor": 0}, {"quota": None}, {"quota": 2000}, {"overage": "bill"}])
    def test_what_costs_nothing_more_is_not(self, change: dict[str, Any]) -> None:
        assert not is_worse(terms(), terms(**change))

    def test_a_rise_waits_fourteen_days_and_a_fall_does_not(self) -> None:
        pinned = a_plan(1)
        dearer, cheaper = (
            a_plan(2, NOW + timedelta(days=10), price_minor=900),
            a_plan(3, NOW + timedelta(days=20), price_minor=1),
        )
        at = dearer.created_at + NOTICE
        assert at_renewal(pinned, [dearer], at - timedelta(seconds=1)) == pinned
        assert at_renewal(pinned, [dearer], at) == dearer
        assert at_renewal(pinned, [dearer, cheaper], cheaper.created_at) == cheaper

    @given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 1000)), max_size=6), st.integers(0, 90))
    def test_nobody_ever_pays_more_without_notice(self, later: list[tuple[int, int]], renewal_day: int) -> None:
        pinned = a_plan(1)
        newer = [
            a_plan(number, NOW + timedelta(days=days), price_minor=price)
            for number, (days, price) in enumerate(sorted(later), start=2)
        ]
        at = NOW + timedelta(days=renewal_day)
        chosen = at_renewal(pinned, newer, at)
        assert chosen.terms.price_minor <= pinned.terms.price_minor or chosen.created_at + NOTICE <= at

    def test_more_is_more_money_or_for_the_same_more_calls(self) -> None:
        assert is_upgrade(terms(), terms(price_minor=900, quota=1))
        assert not is_upgrade(terms(), terms(price_minor=0, quota=None))
        assert is_upgrade(terms(), terms(quota=2000))
        assert not is_upgrade(terms(), terms(quota=10))


class TestChanges:
    def test_to_more_is_at_once(self) -> None:
        old, new = a_plan(), a_plan(code="big", price_minor=900)
        changed = changed_plan(a_subscription(old), old, new, NOW)
        assert (changed.plan_id, changed.next_plan_id, changed.period_end) == (new.id, None, day("2026-02-28"))

    def test_to_less_is_at_the_periods_end(self) -> None:
        old, new = a_plan(), a_plan(code="small", price_minor=1)
        changed = changed_plan(a_subscription(old), old, new, NOW)
        assert (changed.plan_id, changed.next_plan_id) == (old.id, new.id)
        after = renewed(changed, new, changed.period_end)
        assert (after.plan_id, after.next_plan_id, after.period_start) == (new.id, None, day("2026-02-28"))

    def test_to_years_begins_a_period_of_its_own(self) -> None:
        old, new = a_plan(), a_plan(code="year", price_minor=90000, interval="year")
        later = day("2026-02-10") + timedelta(hours=3)
        changed = changed_plan(a_subscription(old), old, new, later)
        assert (changed.period_start, changed.period_end) == (day("2026-02-10"), day("2027-02-10"))

    def test_from_months_to_years_for_less_begins_when_the_month_ends(self) -> None:
        old, new = a_plan(), a_plan(code="year", price_minor=12, interval="year")
        changed = changed_plan(a_subscription(old), old, new, NOW)
        after = renewed(changed, new, day("2026-03-05"))
        assert (after.period_start, after.period_end) == (day("2026-02-28"), day("2027-02-28"))

    def test_ending_waits_for_the_period_unless_it_is_now(self) -> None:
        plan = a_plan()
        ending = cancelled(a_subscription(plan), NOW, at_once=False)
        assert (ending.state, ending.cancel_at_end, ending.is_live) == (SubscriptionState.ACTIVE, True, True)
        assert not kept(ending, NOW).cancel_at_end
        over = renewed(ending, plan, ending.period_end + timedelta(days=3))
        assert (over.state, over.ended_at) == (SubscriptionState.CANCELED, ending.period_end)
        now = cancelled(a_subscription(plan), NOW, at_once=True)
        assert (now.state, now.ended_at) == (SubscriptionState.CANCELED, NOW)

    def test_months_that_nobody_looked_are_made_up_in_one_step(self) -> None:
        plan = a_plan()
        after = renewed(a_subscription(plan), plan, day("2026-07-01"))
        assert (after.period_start, after.period_end) == (day("2026-06-30"), day("2026-07-31"))

    def test_what_has_ended_cannot_be_changed(self) -> None:
        plan = a_plan()
        over = cancelled(a_subscription(plan), NOW, at_once=True)
        for act in (
            lambda: cancelled(over, NOW, at_once=True),
            lambda: kept(over, NOW),
            lambda: changed_plan(over, plan, plan, NOW),
        ):
            with pytest.raises(SubscriptionNotLive):
                act()
        assert renewed(over, plan, NOW + timedelta(days=400)) == over

    @pytest.mark.parametrize("state", list(SubscriptionState))
    @pytest.mark.parametrize("to", list(SubscriptionState))
    def test_only_the_table_decides_what_follows(self, state: SubscriptionState, to: SubscriptionState) -> None:
        subscription = replace(a_subscription(a_plan()), state=state)
        if to in ALLOWED[state]:
            assert moved(subscription, to, NOW).state is to
        else:
            with pytest.raises(SubscriptionUnchangeable):
                moved(subscription, to, NOW)


class Life(RuleBasedStateMachine):
    """Any acts, in any order, as time goes by."""

    plans = (
        a_plan(code="free", price_minor=0),
        a_plan(code="pro"),
        a_plan(code="big", price_minor=900),
        a_plan(code="year", price_minor=5000, interval="year"),
    )

    @initialize(plan=st.sampled_from(plans), start=st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1)))
    def begin(self, plan: Plan, start: datetime) -> None:
        self.now = start.replace(tzinfo=UTC)
        self.one = a_subscription(plan, self.now)
        self.ended: Subscription | None = None

    def plan(self, plan_id: PlanId | None) -> Plan:
        return next(plan for plan in self.plans if plan.id == plan_id)

    @rule(days=st.integers(0, 500))
    def time_passes(self, days: int) -> None:
        self.now += timedelta(days=days)
        self.one = renewed(self.one, self.plan(self.one.next_plan_id or self.one.plan_id), self.now)

    @precondition(lambda self: self.one.is_live)
    @rule(plan=st.sampled_from(plans))
    def change(self, plan: Plan) -> None:
        self.one = changed_plan(self.one, self.plan(self.one.plan_id), plan, self.now)

    @precondition(lambda self: self.one.is_live)
    @rule(at_once=st.booleans())
    def cancel(self, at_once: bool) -> None:
        self.one = cancelled(self.one, self.now, at_once=at_once)

    @precondition(lambda self: self.one.is_live)
    @rule()
    def keep(self) -> None:
        self.one = kept(self.one, self.now)

    @invariant()
    def a_live_one_is_in_its_period(self) -> None:
        if self.one.is_live:
            assert self.one.period_start <= self.now < self.one.period_end
            months = MONTHS[self.plan(self.one.plan_id).terms.interval]
            assert self.one.period_end == period_at(self.one.anchor, months, self.one.period_start).ends_at

    @invariant()
    def what_ended_stays_as_it_was(self) -> None:
        assert (self.one.ended_at is None) == (self.one.state in LIVE)
        if self.ended is not None:
            assert self.one == self.ended
        if not self.one.is_live:
            self.ended = self.one


TestLife = Life.TestCase
