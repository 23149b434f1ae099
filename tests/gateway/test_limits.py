"""The sliding window of two cells, by itself."""

from hypothesis import given, settings
from hypothesis import strategies as st

from local_server.domain.manifest import RateLimit
from local_server.gateway.limits import Limits, rate_headers

ME = ("api", "key 1")
MINUTE = RateLimit(60, 60)


def admitted(limits: Limits, limit: RateLimit, at_s: float, tries: int) -> int:
    return sum(limits.admit(ME, limit, at_s).admitted for _ in range(tries))


class TestWindow:
    def test_a_burst_is_admitted_up_to_the_limit(self) -> None:
        limits = Limits()
        assert admitted(limits, MINUTE, 1000.0, 200) == 60
        assert admitted(limits, MINUTE, 1059.9, 200) == 0

    def test_what_was_admitted_slides_out_bit_by_bit(self) -> None:
        limits = Limits()
        admitted(limits, MINUTE, 1000.0, 60)
        assert admitted(limits, MINUTE, 1060.0, 200) == 0
        assert admitted(limits, MINUTE, 1061.0, 200) == 1
        assert admitted(limits, MINUTE, 1090.0, 200) == 29
        assert admitted(limits, MINUTE, 1120.0, 200) == 30

    def test_after_two_windows_all_is_forgotten(self) -> None:
        limits = Limits()
        admitted(limits, MINUTE, 1000.0, 60)
        assert admitted(limits, MINUTE, 1120.0, 200) == 60

    def test_what_is_refused_is_not_counted(self) -> None:
        limits = Limits()
        admitted(limits, MINUTE, 1000.0, 1_000_000 // 100)
        assert admitted(limits, MINUTE, 1061.0, 2) == 1

    def test_callers_do_not_share(self) -> None:
        limits = Limits()
        admitted(limits, MINUTE, 1000.0, 60)
        assert limits.admit(("api", "key 2"), MINUTE, 1000.0).admitted
        assert limits.admit(("other", "key 1"), MINUTE, 1000.0).admitted

    def test_another_limit_of_the_same_window_takes_over_what_was_used(self) -> None:
        limits = Limits()
        admitted(limits, MINUTE, 1000.0, 60)
        assert admitted(limits, RateLimit(100, 60), 1000.0, 200) == 40

    def test_what_remains_is_told(self) -> None:
        limits = Limits()
        verdicts = [limits.admit(ME, RateLimit(3, 60), 1000.0 + second) for second in range(4)]
        assert [(v.admitted, v.remaining, v.reset_s) for v in verdicts] == [
            (True, 2, 60),
            (True, 1, 59),
            (True, 0, 58),
            (False, 0, 77),
        ]

    def test_the_longest_silent_is_forgotten_first(self) -> None:
        limits = Limits(most_callers=2)
        one = RateLimit(1, 60)
        assert [limits.admit(("api", name), one, 1000.0).admitted for name in ("a", "b", "a", "c", "a", "b")] == [
            True,
            True,
            False,
            True,
            False,
            True,
        ]

    @settings(deadline=None)
    @given(
        st.integers(1, 50),
        st.sampled_from([1, 60, 3600]),
        # Sixty-fourths: their sums are exact, and so is which window a call is in.
        st.lists(st.tuples(st.integers(0, 128).map(lambda part: part / 64), st.integers(1, 60)), max_size=40),
    )
    def test_no_window_ever_holds_more_than_the_limit(
        self, requests: int, window_s: int, bursts: list[tuple[float, int]]
    ) -> None:
        """And who waits as long as it is told is let in, if nobody else called meanwhile."""
        limits, limit, now_s = Limits(), RateLimit(requests, window_s), 1000.0
        times: list[float] = []
        for pause, tries in bursts:
            now_s += pause * window_s
            times += [now_s] * admitted(limits, limit, now_s, tries)
            verdict = limits.admit(ME, limit, now_s)
            if verdict.admitted:
                times.append(now_s)
            else:
                now_s += verdict.reset_s
                assert limits.admit(ME, limit, now_s).admitted
                times.append(now_s)
        starts = [times[0]] if times else []
        for at_s in times:
            if at_s >= starts[-1] + window_s:
                starts.append(starts[-1] + int((at_s - starts[-1]) // window_s) * window_s)
        for start in starts:
            assert sum(start <= at_s < start + window_s for at_s in times) <= requests


class TestHeaders:
    def test_they_are_structured_fields_and_their_forerunners(self) -> None:
        assert dict(rate_headers(MINUTE, 12, 30)) == {
            b"ratelimit-policy": b'"caller";q=60;w=60',
            b"ratelimit": b'"caller";r=12;t=30',
            b"ratelimit-limit": b"60",
            b"ratelimit-remaining": b"12",
            b"ratelimit-reset": b"30",
        }
