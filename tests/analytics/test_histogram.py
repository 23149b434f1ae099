"""The mergeable histogram."""

import math

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_server.domain.histogram import Histogram, add, bucket_of, middle_us, percentile_us, subtract

# Time limits on an example fail on a busy machine, and tell nothing about the code.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

durations = st.integers(0, 2**45)
many = st.lists(durations, max_size=200)


def histogram(values: list[int]) -> Histogram:
    total: Histogram = {}
    for value in values:
        add(total, {bucket_of(value): 1})
    return total


class TestBuckets:
    @unhurried
    @given(durations)
    def test_the_middle_is_off_by_at_most_a_32nd(self, value: int) -> None:
        assert abs(middle_us(bucket_of(value)) - value) <= value / 32

    @unhurried
    @given(durations, durations)
    def test_keep_the_order(self, one: int, other: int) -> None:
        if one <= other:
            assert bucket_of(one) <= bucket_of(other)

    def test_are_few(self) -> None:
        assert bucket_of(3600 * 1_000_000) < 500

    def test_a_clock_that_ran_backwards_is_no_error(self) -> None:
        assert bucket_of(-5) == 0


class TestMerging:
    @unhurried
    @given(many, many)
    def test_is_the_same_as_counting_together(self, one: list[int], other: list[int]) -> None:
        merged = histogram(one)
        add(merged, histogram(other))
        assert merged == histogram(one + other)

    @unhurried
    @given(many, many)
    def test_can_be_taken_back(self, one: list[int], other: list[int]) -> None:
        merged = histogram(one + other)
        subtract(merged, histogram(other))
        assert merged == histogram(one)


class TestPercentile:
    @unhurried
    @given(st.lists(durations, min_size=1, max_size=300), st.sampled_from([0.01, 0.5, 0.95, 0.99, 1.0]))
    def test_is_near_the_exact_one(self, values: list[int], share: float) -> None:
        exact = sorted(values)[max(math.ceil(round(share * len(values), 9)) - 1, 0)]
        found = percentile_us(histogram(values), share)
        assert found is not None
        assert abs(found - exact) <= exact / 32

    def test_of_nothing_is_none(self) -> None:
        assert percentile_us({}, 0.95) is None
