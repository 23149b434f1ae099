"""Counts since the start, for a collector that comes by and takes differences. Not on the path of any request."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from local_server.domain.events import GenerationFinished
from local_server.domain.executions import Execution, answer_times_us, by_api
from local_server.domain.ids import ApiId
from local_server.events.bus import Bus

BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Up to the time that an API has to begin its answer, where its manifest says nothing else."""
_BOUNDS_US = tuple(int(bound * 1_000_000) for bound in BOUNDS_S)


class ApiMeter:
    """Of one API."""

    __slots__ = ("buckets", "classes", "total_us")

    def __init__(self) -> None:
        self.classes: Counter[str] = Counter()
        """Requests by class of status: `2xx`."""
        self.buckets = [0] * (len(BOUNDS_S) + 1)
        """Answered requests by the first of `BOUNDS_S` that they did not exceed; the last took longer than all."""
        self.total_us = 0

    def count(self, rows: Sequence[Execution]) -> None:
        for status, requests in Counter([row.status for row in rows]).items():
            self.classes[f"{status // 100}xx"] += requests
        answered = answer_times_us(rows)
        for total_us in answered:
            self.buckets[bisect_left(_BOUNDS_US, total_us)] += 1
        self.total_us += sum(answered)


class Meter:
    """Use on one event loop."""

    def __init__(self) -> None:
        self._apis: dict[ApiId, ApiMeter] = {}
        self.generations: Counter[str] = Counter()
        """Finished ones by outcome."""

    async def take(self, rows: Sequence[Execution]) -> None:
        """A listener of the request log."""
        for api_id, part in by_api(rows).items():
            self._apis.setdefault(api_id, ApiMeter()).count(part)

    async def follow(self, bus: Bus) -> None:
        """Count the generations that come to serve, or do not. Never returns."""
        async with bus.subscribe() as subscription:
            async for event in subscription:
                if isinstance(event, GenerationFinished):
                    self.generations[event.generation.outcome] += 1

    def of(self, known: Collection[ApiId]) -> Mapping[ApiId, ApiMeter]:
        """Those of `known` APIs that were called; the others are forgotten."""
        self._apis = {api_id: meter for api_id, meter in self._apis.items() if api_id in known}
        return self._apis
