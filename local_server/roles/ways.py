"""A gateway that runs nothing itself, and goes where the executor's board says."""

import asyncio
import logging
from collections.abc import Iterable

from local_server.domain.events import Event, WayMoved
from local_server.domain.ids import ApiId
from local_server.domain.ways import Place, Upstream, Way
from local_server.events.bus import Bus, Lost, Subscription
from local_server.gateway.lane import Lane
from local_server.gateway.routing import Routing
from local_server.storage.base import Storage

logger = logging.getLogger("apimarket.gateway")


class WayFollower:
    """Use on one event loop. What it knows stays in force while storage, or the executor, is away.

    `drain_s` is how long requests under way may go on where the way does not lead any more."""

    def __init__(self, storage: Storage, bus: Bus, routing: Routing, drain_s: float) -> None:
        self._storage = storage
        self._bus = bus
        self._routing = routing
        self._drain_s = drain_s
        self._known: set[ApiId] = set()
        self._lanes: dict[tuple[ApiId, str], Lane] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._read = asyncio.Event()

    async def run(self) -> None:
        """Never returns. Reads everything at the begin, and whenever something was missed."""
        async with self._bus.subscribe() as events:
            await self._read_all()
            await self._follow(events)

    async def ready(self) -> None:
        """Wait until every way has been read once."""
        await self._read.wait()

    async def close(self) -> None:
        """May be called twice."""
        for task in list(self._leaving):
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)

    async def _follow(self, events: Subscription[Event]) -> None:
        async for event in events:
            told = [event, *events.waiting()]
            if any(isinstance(each, Lost) for each in told):
                await self._read_all()
                continue
            for api_id in dict.fromkeys(each.api_id for each in told if isinstance(each, WayMoved)):
                way = await self._storage.read(lambda tx, api_id=api_id: tx.ways.get(api_id))  # type: ignore[misc]
                self._take(way) if way is not None else self._forget([api_id])

    async def _read_all(self) -> None:
        ways = await self._storage.read(lambda tx: tx.ways.all())
        self._forget(self._known - {way.api_id for way in ways})
        for way in ways:
            self._take(way)
        self._read.set()

    def _take(self, way: Way) -> None:
        """One step for each place: those that lead where they did keep their connections."""
        self._known.add(way.api_id)
        for place in way.places:
            whose = way.api_id, place.route.version
            before, lane = self._lanes.get(whose), self._lane(place)
            self._routing.route(place.route, lane)
            if lane is not None:
                self._lanes[whose] = lane
            if before is not None and before is not lane:
                if lane is None:
                    del self._lanes[whose]
                self._leave(before)
        self._routing.steer(way.api_id, way.steering)

    def _lane(self, place: Place) -> Lane | None:
        route, upstream = place.route, place.upstream
        if upstream is None:
            return None
        first, generation, digest = upstream.addresses[0], upstream.generation, upstream.digest
        lane = self._lanes.get((route.api_id, route.version))
        if lane is None or not _leads_to(lane, upstream):
            lane = self._routing.open(route.api_id, generation, digest, first, route.version, several=upstream.several)
        if lane.addresses != upstream.addresses:
            self._routing.spread(lane, upstream.addresses)
        return lane

    def _forget(self, api_ids: Iterable[ApiId]) -> None:
        for api_id in api_ids:
            self._known.discard(api_id)
            self._routing.forget(api_id)
            for whose in [whose for whose in self._lanes if whose[0] == api_id]:
                self._leave(self._lanes.pop(whose))

    def _leave(self, lane: Lane) -> None:
        task = asyncio.create_task(self._drain(lane), name="lane-leave")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _drain(self, lane: Lane) -> None:
        await lane.drain(self._drain_s)
        await lane.close()


def _leads_to(lane: Lane, upstream: Upstream) -> bool:
    """Whether it is a lane to that generation; of several replicas it keeps those that are still there."""
    same = (lane.generation, lane.digest) == (upstream.generation, upstream.digest)
    return same and (lane.addresses == upstream.addresses or (upstream.several and lane.several))
