from datetime import UTC, datetime, timedelta, timezone

import pytest

from local_server.domain.account_errors import KeyFieldRefused
from local_server.domain.executions import CallOutcome
from local_server.domain.manifest import PlanSpec
from local_server.domain.quotas import (
    LARGEST_LEASE,
    Quota,
    check_quota,
    costs,
    lease_size,
    period_of,
    plan_of,
    quota_of,
)

FREE = PlanSpec("free", 0, "EUR", "month", 1000, "month", "block")
OPEN = PlanSpec("open", 0, "EUR", "month", None, None, "block")


class TestPeriods:
    @pytest.mark.parametrize(
        ("at", "name", "ends"),
        [
            (datetime(2026, 2, 1, tzinfo=UTC), "2026-02", datetime(2026, 3, 1, tzinfo=UTC)),
            (datetime(2026, 2, 28, 23, 59, 59, 999_999, UTC), "2026-02", datetime(2026, 3, 1, tzinfo=UTC)),
            (datetime(2026, 12, 31, tzinfo=UTC), "2026-12", datetime(2027, 1, 1, tzinfo=UTC)),
            # In Samoa it is the second of January already; UTC has the last day of the year.
            (
                datetime(2027, 1, 1, 13, 0, tzinfo=timezone(timedelta(hours=14))),
                "2026-12",
                datetime(2027, 1, 1, tzinfo=UTC),
            ),
        ],
    )
    def test_months_are_the_calendars_in_utc(self, at: datetime, name: str, ends: datetime) -> None:
        month = period_of("month", at)
        assert (month.name, month.ends_at) == (name, ends)
        assert month.starts_at <= at < month.ends_at

    def test_days_last_a_day_and_months_what_they_last(self) -> None:
        at = datetime(2028, 2, 29, 12, tzinfo=UTC)
        assert (period_of("day", at).length_s, period_of("month", at).length_s) == (86400, 29 * 86400)
        assert period_of("day", at).name == "2028-02-29"


class TestLeaseSize:
    def test_shrinks_to_one_near_the_end_and_beyond(self) -> None:
        assert [lease_size(left) for left in (10**9, 1600, 160, 31, 1, 0, -50)] == [LARGEST_LEASE, 100, 10, 1, 1, 1, 1]


class TestCosts:
    @pytest.mark.parametrize("outcome", list(CallOutcome))
    def test_only_what_the_api_answered_below_500(self, outcome: CallOutcome) -> None:
        assert costs(outcome, 3) is (outcome in {"ok", "client_error", "aborted"})

    def test_who_gave_up_before_the_api_was_reached_pays_nothing(self) -> None:
        assert not costs(CallOutcome.ABORTED, 0)


class TestWishes:
    def test_a_quota_is_written_as_in_a_manifest(self) -> None:
        assert check_quota("1000/month") == Quota(1000, "month")
        assert str(Quota(5, "day", "bill")) == "5/day"

    @pytest.mark.parametrize("text", ["", "0/day", "1000", "1.5/day", "10/hour", "-1/day", "1000 / month"])
    def test_what_is_none_is_refused_by_name(self, text: str) -> None:
        with pytest.raises(KeyFieldRefused, match=r'quota: found .*"1000/month"'):
            check_quota(text)

    def test_a_plan_brings_its_quota(self) -> None:
        assert quota_of(plan_of((OPEN, FREE), "free")) == Quota(1000, "month", "block")
        assert quota_of(OPEN) is None

    def test_an_unknown_plan_tells_the_known(self) -> None:
        with pytest.raises(KeyFieldRefused, match="found 'pro'; allowed: 'open' or 'free'"):
            plan_of((OPEN, FREE), "pro")
        with pytest.raises(KeyFieldRefused, match="no plans"):
            plan_of((), "pro")
