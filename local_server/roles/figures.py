"""The live figures of what gateways carry, told to whoever shows them: once a second, the sums of that second."""

import asyncio
from collections.abc import Callable, Iterator, Mapping

from local_server.domain.events import Event, TrafficCounted
from local_server.domain.executions import ERRORS, UNANSWERED, Execution
from local_server.domain.histogram import Histogram, bucket_of
from local_server.domain.ids import ApiId
from local_server.domain.traffic import Counted
from local_server.events.bus import Bus

TELL_S = 1.0
MOST_APIS, MOST_BUCKETS = 20, 300
"""In one event: what tells the others carries less than 8,000 bytes."""


class _Sum:
    __slots__ = ("errors", "latencies", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.latencies: Histogram = {}


class FigureTeller:
    """Use on one event loop."""

    def __init__(self, publish: Callable[[Event], None]) -> None:
        self._publish = publish
        self._sums: dict[ApiId, _Sum] = {}

    def record(self, execution: Execution) -> None:
        """A request is over. Must be quick: it is on the path of every one."""
        counted = self._sums.get(execution.api_id)
        if counted is None:
            counted = self._sums[execution.api_id] = _Sum()
        counted.requests += 1
        if execution.outcome in ERRORS:
            counted.errors += 1
        if execution.outcome not in UNANSWERED:
            bucket = bucket_of(execution.total_us)
            counted.latencies[bucket] = counted.latencies.get(bucket, 0) + 1

    async def run(self) -> None:
        """Never returns."""
        while True:
            await asyncio.sleep(TELL_S)
            self.tell()

    def tell(self) -> None:
        """What was counted since the last time."""
        sums, self._sums = self._sums, {}
        apis = {api_id: Counted(each.requests, each.errors, each.latencies) for api_id, each in sums.items()}
        for part in _parts(apis):
            self._publish(TrafficCounted(part))


async def follow_figures(bus: Bus, add: Callable[[ApiId, Counted], None]) -> None:
    """Hand on what gateways elsewhere tell. Never returns. What was missed is missing from the figures of a minute."""
    async with bus.subscribe() as events:
        async for event in events:
            if isinstance(event, TrafficCounted):
                for api_id, counted in event.apis.items():
                    add(api_id, counted)


def _parts(apis: Mapping[ApiId, Counted]) -> Iterator[dict[ApiId, Counted]]:
    part: dict[ApiId, Counted] = {}
    buckets = 0
    for api_id, counted in apis.items():
        if part and (len(part) >= MOST_APIS or buckets + len(counted.latencies) > MOST_BUCKETS):
            yield part
            part, buckets = {}, 0
        part[api_id] = counted
        buckets += len(counted.latencies)
    if part:
        yield part
