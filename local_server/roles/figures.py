"""The live figures of what gateways carry, told to whoever shows them: once a second, the sums of that second."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence

from local_server.domain.events import Event, TrafficCounted
from local_server.domain.executions import Execution
from local_server.domain.histogram import Histogram, add
from local_server.domain.ids import ApiId
from local_server.domain.traffic import Counted, counted_by_api
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

    async def take(self, rows: Sequence[Execution]) -> None:
        """A listener of the request log."""
        self.record(rows)

    def record(self, rows: Sequence[Execution]) -> None:
        for api_id, counted in counted_by_api(rows).items():
            total = self._sums.setdefault(api_id, _Sum())
            total.requests += counted.requests
            total.errors += counted.errors
            add(total.latencies, counted.latencies)

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
