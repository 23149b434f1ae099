"""The live figures."""

from datetime import datetime, timedelta

import pytest

from local_server.analytics.traffic import TrafficWindows
from local_server.domain.executions import CallOutcome
from local_server.domain.traffic import SILENCE
from tests.storage.factories import NOON, an_api, an_execution

API, OTHER = an_api(1), an_api(2)


class Clock:
    """A System whose time stands still until it is moved."""

    def __init__(self) -> None:
        self.at = NOON.replace(microsecond=0)

    def now(self) -> datetime:
        return self.at

    def new_id(self) -> str:
        raise AssertionError("figures need no ids")

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def windows(clock: Clock) -> TrafficWindows:
    return TrafficWindows(clock)


def record(windows: TrafficWindows, count: int = 1, outcome: CallOutcome = CallOutcome.OK, ms: float = 2.0) -> None:
    windows.record([an_execution(API, 1, outcome=outcome, total_us=int(ms * 1000))] * count)


class TestView:
    def test_is_silence_for_an_unknown_api(self, windows: TrafficWindows) -> None:
        assert windows.view(API.id) == SILENCE

    def test_counts_each_second_oldest_first(self, windows: TrafficWindows, clock: Clock) -> None:
        for count in (1, 2, 3):
            record(windows, count)
            clock.forward(1)
        assert windows.view(API.id).history == (0,) * 56 + (1, 2, 3, 0)

    def test_keeps_apis_apart(self, windows: TrafficWindows) -> None:
        record(windows, 3)
        assert sum(windows.view(API.id).history) == 3
        assert windows.view(OTHER.id) == SILENCE

    def test_a_steady_rate_is_shown_at_any_part_of_a_second(self, windows: TrafficWindows, clock: Clock) -> None:
        for _ in range(300):
            clock.forward(0.1)
            record(windows)
        for _ in range(25):
            assert windows.view(API.id).requests_per_s == pytest.approx(10, abs=0.11)
            clock.forward(0.1)
            record(windows)

    def test_the_rate_is_zero_after_eleven_seconds_and_the_rest_after_sixty(
        self, windows: TrafficWindows, clock: Clock
    ) -> None:
        record(windows, 100)
        clock.forward(11)
        assert windows.view(API.id).requests_per_s == 0
        assert windows.view(API.id).p95_ms is not None
        clock.forward(48)
        assert sum(windows.view(API.id).history) == 100
        clock.forward(1)
        assert windows.view(API.id) == SILENCE

    def test_p95_is_the_tails(self, windows: TrafficWindows, clock: Clock) -> None:
        record(windows, 90, ms=2)
        clock.forward(3)
        record(windows, 10, ms=100)
        assert windows.view(API.id).p95_ms == pytest.approx(100, rel=1 / 32)
        clock.forward(57)  # the quick ones have fallen out
        record(windows, 300, ms=5)
        assert windows.view(API.id).p95_ms == pytest.approx(5, rel=1 / 32)

    def test_errors_are_what_failed_and_not_what_was_refused(self, windows: TrafficWindows) -> None:
        for outcome in CallOutcome:
            record(windows, 1, outcome)
        assert windows.view(API.id).error_rate == pytest.approx(4 / 8)

    def test_an_api_that_is_down_has_no_p95(self, windows: TrafficWindows) -> None:
        record(windows, 5, CallOutcome.UNAVAILABLE, ms=0.1)
        assert windows.view(API.id).p95_ms is None
        assert windows.view(API.id).error_rate == 1

    def test_a_ring_that_went_round_counts_nothing_twice(self, windows: TrafficWindows, clock: Clock) -> None:
        for _ in range(500):
            record(windows)
            clock.forward(1)
        figures = windows.view(API.id)
        assert figures.history == (1,) * 59 + (0,)
        assert figures.requests_per_s == 1

    def test_a_clock_set_back_a_little_stands_still(self, windows: TrafficWindows, clock: Clock) -> None:
        record(windows, 2)
        clock.forward(-30)
        record(windows, 2)
        assert windows.view(API.id).history[-1] == 4

    def test_a_clock_set_back_far_begins_anew(self, windows: TrafficWindows, clock: Clock) -> None:
        record(windows, 2)
        clock.forward(-3600)
        assert windows.view(API.id) == SILENCE
        record(windows, 1)
        assert windows.view(API.id).history[-1] == 1


class TestChanged:
    def test_tells_each_change_once(self, windows: TrafficWindows) -> None:
        assert windows.changed() == {}
        record(windows)
        assert windows.changed() == {API.id: windows.view(API.id)}
        assert windows.changed() == {}

    def test_tells_of_silence_once_and_then_forgets(self, windows: TrafficWindows, clock: Clock) -> None:
        record(windows)
        windows.changed()
        clock.forward(59)
        assert set(windows.changed()) == {API.id}
        clock.forward(1)
        assert windows.changed() == {API.id: SILENCE}
        clock.forward(1)
        assert windows.changed() == {}

    def test_follows_every_second_while_the_history_moves(self, windows: TrafficWindows, clock: Clock) -> None:
        record(windows)
        told = []
        for _ in range(65):
            told.append(len(windows.changed()))
            clock.forward(1)
        assert told == [1] * 61 + [0] * 4

    def test_tells_of_silence_after_the_clock_was_set_back(self, windows: TrafficWindows, clock: Clock) -> None:
        record(windows)
        windows.changed()
        clock.forward(-3600)
        assert windows.changed() == {API.id: SILENCE}
