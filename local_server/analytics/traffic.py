"""The last minute of every API, in memory: what the live figures come from."""

from collections.abc import Mapping, Sequence

from local_server.domain.executions import Execution
from local_server.domain.histogram import Histogram, add, percentile_us, subtract
from local_server.domain.ids import ApiId
from local_server.domain.traffic import HISTORY_S, RATE_S, SILENCE, Counted, TrafficFigures, counted_by_api
from local_server.system import System


class _Second:
    __slots__ = ("at", "errors", "latencies", "requests")

    def __init__(self) -> None:
        self.at = -1
        self.requests = 0
        self.errors = 0
        self.latencies: Histogram = {}


class _Window:
    """Sixty seconds in a ring, and their sum, kept up to date as seconds fall out."""

    __slots__ = ("_ring", "errors", "latencies", "requests")

    def __init__(self) -> None:
        self._ring = [_Second() for _ in range(HISTORY_S)]
        self.requests = 0
        self.errors = 0
        self.latencies: Histogram = {}

    def add(self, second_at: int, counted: Counted) -> None:
        """As if all of it had been in this second."""
        second = self._second(second_at)
        second.requests += counted.requests
        self.requests += counted.requests
        second.errors += counted.errors
        self.errors += counted.errors
        add(second.latencies, counted.latencies)
        add(self.latencies, counted.latencies)

    def figures(self, now_s: float) -> TrafficFigures:
        second_at = int(now_s)
        history = [0] * HISTORY_S
        for second in self._ring:
            if second.requests:
                age = second_at - second.at
                if age >= HISTORY_S:
                    self._forget(second)
                else:
                    history[HISTORY_S - 1 - max(age, 0)] += second.requests
        if not self.requests:
            return SILENCE
        p95_us = percentile_us(self.latencies, 0.95)
        return TrafficFigures(
            requests_per_s=round(_mean_rate(history, now_s - second_at), 2),
            p95_ms=None if p95_us is None else round(p95_us / 1000, 2),
            error_rate=round(self.errors / self.requests, 4),
            history=tuple(history),
        )

    def _second(self, second_at: int) -> _Second:
        second = self._ring[second_at % HISTORY_S]
        if second.at != second_at:
            self._forget(second)
            second.at = second_at
        return second

    def _forget(self, second: _Second) -> None:
        if second.requests:
            self.requests -= second.requests
            self.errors -= second.errors
            subtract(self.latencies, second.latencies)
            second.requests = second.errors = 0
            second.latencies = {}


def _mean_rate(history: list[int], elapsed: float) -> float:
    """Over exactly the last 10 s, of which the current second makes `elapsed` and the oldest counts in part."""
    whole = sum(history[-RATE_S:])
    return (whole + history[-RATE_S - 1] * (1 - elapsed)) / RATE_S


class TrafficWindows:
    """Figures by API. Use on one thread; `system` tells the time."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._windows: dict[ApiId, _Window] = {}
        self._told: dict[ApiId, TrafficFigures] = {}
        self._latest_s = 0.0

    async def take(self, rows: Sequence[Execution]) -> None:
        """A listener of the request log."""
        self.record(rows)

    def record(self, rows: Sequence[Execution]) -> None:
        """They count as of now, whatever their own times say."""
        for api_id, counted in counted_by_api(rows).items():
            self.add(api_id, counted)

    def add(self, api_id: ApiId, counted: Counted) -> None:
        """What was carried for it, here or by another gateway, as of now."""
        self._windows.setdefault(api_id, _Window()).add(int(self._now_s()), counted)

    def view(self, api_id: ApiId) -> TrafficFigures:
        """The API's figures now; silence for one that is not known."""
        now_s = self._now_s()
        window = self._windows.get(api_id)
        return SILENCE if window is None else window.figures(now_s)

    def changed(self) -> Mapping[ApiId, TrafficFigures]:
        """The figures that differ from what the last call returned, those that fell silent included."""
        now_s = self._now_s()
        fresh: dict[ApiId, TrafficFigures] = {}
        for api_id, window in list(self._windows.items()):
            figures = window.figures(now_s)
            if figures != self._told.get(api_id, SILENCE):
                fresh[api_id] = self._told[api_id] = figures
            if figures is SILENCE:
                del self._windows[api_id]
                self._told.pop(api_id, None)
        return fresh

    def _now_s(self) -> float:
        """The time in seconds, never running backwards within a minute. When the clock is set back further, what was
        counted belongs to no time any more and is given up."""
        now_s = self._system.now().timestamp()
        if now_s < self._latest_s:
            if self._latest_s - now_s < HISTORY_S:
                return self._latest_s
            self._windows = {api_id: _Window() for api_id in self._windows}
        self._latest_s = now_s
        return now_s
