"""Tells gateways in other processes what an executor tells its own: the way to each API, kept in storage.

What is said here is in force on this server's gateway at once, and on the others as soon as it is stored and told of.
Only the newest state of an API waits to be stored: however often it changes meanwhile, it is written once.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Generic
from weakref import WeakKeyDictionary

from local_server.domain.events import WayMoved
from local_server.domain.ids import ApiId
from local_server.domain.routing import Route, Steering
from local_server.domain.ways import Place, Upstream, Way
from local_server.executor.traffic import LaneT, Traffic
from local_server.storage.base import Storage, Tx

AWAY = "the executor that runs it is away"


class Board(Generic[LaneT]):
    """A `Traffic` in front of another. Call `recall` before anything is said, keep `run` running, and call `settle`
    when all that should run has been started.

    Until then an API that served before is called where it was: containers outlive their executor, and the next one
    finds them again only bit by bit."""

    def __init__(self, traffic: Traffic[LaneT], storage: Storage) -> None:
        self._traffic = traffic
        self._storage = storage
        self._upstreams: WeakKeyDictionary[LaneT, Upstream] = WeakKeyDictionary()
        self._places: dict[ApiId, dict[str, Place]] = {}
        self._steering: dict[ApiId, Steering] = {}
        self._missing: dict[ApiId, set[str]] = {}
        """Versions that served before this server began, and have not been found again; empty: the directory."""
        self._dirty: set[ApiId] = set()
        self._changed = asyncio.Event()

    async def recall(self) -> None:
        """Read what an earlier executor left."""
        for way in await self._storage.read(lambda tx: tx.ways.all()):
            self._missing[way.api_id] = {place.route.version for place in way.places if place.upstream is not None}

    def settle(self) -> None:
        """What has not been found again by now does not serve any more."""
        left, self._missing = self._missing, {}
        for api_id in left:
            self._note(api_id)

    async def run(self) -> None:
        """Write what changed. Never returns. Raises what storage raises; the next run writes it then."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._write({api_id for api_id in self._dirty if not self._missing.get(api_id)})

    async def close(self, *, ended: bool) -> None:
        """Write what is left to say, after `run` was ended. With `ended` nothing runs any more, and requests wait for
        the next executor. Raises what storage raises."""
        if ended:
            self.settle()
            self._withdraw()
        await self._write({api_id for api_id in self._dirty if not self._missing.get(api_id)})

    # -- Traffic ------------------------------------------------------------------------------------------------------

    def open(
        self,
        api_id: ApiId,
        generation: int,
        digest: str,
        address: tuple[str, int],
        version: str = "",
        *,
        several: bool = False,
    ) -> LaneT:
        lane = self._traffic.open(api_id, generation, digest, address, version, several=several)
        self._upstreams[lane] = Upstream(generation, digest, *address, several=several)
        return lane

    def spread(self, lane: LaneT, addresses: Sequence[tuple[str, int]]) -> None:
        self._traffic.spread(lane, addresses)
        before = self._upstreams[lane]
        (host, port), *others = addresses
        now = self._upstreams[lane] = replace(before, host=host, port=port, others=tuple(others))
        for api_id, places in self._places.items():
            for version, place in places.items():
                if place.upstream is before:
                    places[version] = replace(place, upstream=now)
                    self._note(api_id)

    def route(self, route: Route, lane: LaneT | None) -> None:
        self._traffic.route(route, lane)
        upstream = self._upstreams[lane] if lane is not None else None
        self._places.setdefault(route.api_id, {})[route.version] = Place(route, upstream)
        if upstream is not None or route.availability == "failed":
            self._missing.get(route.api_id, set()).discard(route.version)
        self._note(route.api_id)

    def steer(self, api_id: ApiId, steering: Steering) -> None:
        self._traffic.steer(api_id, steering)
        self._steering[api_id] = steering
        self._note(api_id)

    def forget(self, api_id: ApiId) -> None:
        self._traffic.forget(api_id)
        for known in (self._places, self._steering, self._missing):
            known.pop(api_id, None)
        self._note(api_id)

    # -- Inside -------------------------------------------------------------------------------------------------------

    def _withdraw(self) -> None:
        for api_id, places in self._places.items():
            for version, place in places.items():
                if place.upstream is not None:
                    places[version] = Place(replace(place.route, availability="starting", detail=AWAY), None)
                    self._note(api_id)

    def _note(self, api_id: ApiId) -> None:
        self._dirty.add(api_id)
        self._changed.set()

    async def _write(self, api_ids: Collection[ApiId]) -> None:
        if not api_ids:
            return
        ways = {api_id: self._way(api_id) for api_id in api_ids}
        self._dirty -= ways.keys()

        def act(tx: Tx) -> None:
            for api_id, way in ways.items():
                if way is None:
                    tx.ways.remove(api_id)
                else:
                    tx.ways.put(way)
                tx.emit(WayMoved(api_id))

        try:
            await self._storage.write(act)
        except BaseException:
            self._dirty |= ways.keys()
            self._changed.set()
            raise

    def _way(self, api_id: ApiId) -> Way | None:
        places = self._places.get(api_id)
        return Way(api_id, tuple(places.values()), self._steering.get(api_id, Steering())) if places else None
