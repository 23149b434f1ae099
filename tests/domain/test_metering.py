"""What a period costs."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_server.domain.manifest import PlanSpec
from local_server.domain.market_errors import SpendCapRefused
from local_server.domain.metering import capped_requests, charges, needed_since
from local_server.domain.periods import period
from local_server.domain.plans import MONTHS
from tests.domain.test_subscriptions import day, terms

BILLED: dict[str, Any] = {"quota": 10, "overage": "bill", "overage_price": Decimal("0.002")}


def cost(spec: PlanSpec, daily: dict[date, int], start: str, end: str, now: str) -> Any:
    return charges(spec, daily, day(start), day(end), day(now))


class TestCharges:
    def test_the_base_is_all_while_the_quota_lasts(self) -> None:
        found = cost(terms(**BILLED), {date(2026, 2, 3): 10}, "2026-01-31", "2026-02-28", "2026-02-03")
        assert (found.used, found.quota_used, found.quota_left, found.beyond, found.total_minor) == (10, 10, 0, 0, 450)
        assert found.quota_resets_at == day("2026-03-01")

    def test_what_is_beyond_is_exact_and_rounded_once(self) -> None:
        spec = terms(**BILLED | {"overage_price": Decimal("0.001"), "price_minor": 0})
        found = cost(spec, {date(2026, 1, 20): 15}, "2026-01-15", "2026-02-15", "2026-01-20")
        assert (found.beyond, found.overage, found.total_minor) == (5, Decimal("0.005"), 1)

    def test_a_month_is_charged_with_the_period_it_ends_in(self) -> None:
        daily = {date(2026, 1, 10): 8, date(2026, 1, 20): 8, date(2026, 2, 20): 11}
        spec = terms(**BILLED)
        assert cost(spec, daily, "2026-01-15", "2026-02-15", "2026-02-20").beyond == 6
        assert cost(spec, daily, "2026-02-15", "2026-03-15", "2026-02-20").beyond == 1

    def test_days_are_counted_one_by_one(self) -> None:
        daily = {date(2026, 1, 20): 12, date(2026, 1, 21): 9, date(2026, 1, 22): 11}
        spec = terms(**BILLED, quota_interval="day")
        found = cost(spec, daily, "2026-01-20", "2026-02-20", "2026-01-22")
        assert (found.beyond, found.quota_used, found.quota_left, found.used) == (3, 11, 0, 32)

    def test_no_quota_no_end(self) -> None:
        found = cost(
            terms(quota=None, quota_interval=None), {date(2026, 1, 20): 12}, "2026-01-20", "2026-02-20", "2026-01-20"
        )
        assert (found.quota_left, found.quota_resets_at, found.beyond, found.used) == (None, None, 0, 12)

    def test_a_currency_without_decimals_is_rounded_to_whole_ones(self) -> None:
        spec = terms(**BILLED | {"currency": "JPY", "price_minor": 100, "overage_price": Decimal("0.5")})
        assert cost(spec, {date(2026, 1, 20): 11}, "2026-01-15", "2026-02-15", "2026-01-20").total_minor == 101

    @given(
        st.dates(date(2024, 1, 1), date(2026, 12, 31)),
        st.lists(st.tuples(st.integers(0, 200), st.integers(0, 30)), max_size=30),
        st.sampled_from(["day", "month"]),
        st.sampled_from(["month", "year"]),
    )
    def test_the_periods_together_charge_every_request_beyond_once(
        self, start: date, used: list[tuple[int, int]], per: Any, interval: Any
    ) -> None:
        spec = terms(**BILLED, quota_interval=per, interval=interval)
        daily: dict[date, int] = {}
        for after, units in used:
            on = start + timedelta(days=after)
            daily[on] = daily.get(on, 0) + units
        windows: dict[object, int] = {}
        for on, units in daily.items():
            window = on if per == "day" else (on.year, on.month)
            windows[window] = windows.get(window, 0) + units
        anchor = datetime(start.year, start.month, start.day, tzinfo=UTC)
        periods = [period(anchor, MONTHS[interval], number) for number in range(9)]
        far = periods[-1].ends_at
        parts = []
        for one in periods:
            since = needed_since(one.starts_at)
            known = {on: units for on, units in daily.items() if on >= since}
            parts.append(charges(spec, known, one.starts_at, one.ends_at, far))
        assert sum(part.beyond for part in parts) == sum(max(units - 10, 0) for units in windows.values())
        assert sum(part.used for part in parts) == sum(daily.values())


class TestSpendCap:
    def test_leaves_so_many_requests_that_it_is_never_exceeded(self) -> None:
        spec = terms(**BILLED)
        allowed = capped_requests(spec, 500)
        assert allowed == 10 + 250
        assert cost(spec, {date(2026, 1, 1): allowed}, "2026-01-01", "2026-02-01", "2026-01-01").total_minor == 500

    @given(st.integers(450, 10**9), st.decimals("0.000000000000001", 1000, places=15))
    def test_never_costs_more_and_wastes_less_than_one_request(self, cap: int, price: Decimal) -> None:
        spec = terms(**BILLED | {"overage_price": price})
        allowed = capped_requests(spec, cap)
        assert allowed is not None
        exact = Decimal("4.50") + (allowed - 10) * price
        assert exact <= Decimal(cap) / 100 < exact + price

    @pytest.mark.parametrize(
        ("change", "cap"),
        [(BILLED, 449), ({}, 1000), (BILLED | {"overage_price": None}, 1000),
         (BILLED | {"quota_interval": "day"}, 1000), (BILLED | {"interval": "year"}, 1000), (BILLED, -1)],
    )  # fmt: skip
    def test_is_refused_where_it_could_not_be_kept(self, change: dict[str, Any], cap: int) -> None:
        with pytest.raises(SpendCapRefused):
            capped_requests(terms(**change), cap)

    def test_none_is_none(self) -> None:
        assert capped_requests(terms(**BILLED), None) is None
