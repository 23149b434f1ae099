"""Which lane a request goes on: the one there is, or the one that comes in time."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_server.domain.gateway_errors import ApiUnavailable, CircuitOpen, UpstreamFailed
from local_server.domain.registry_errors import ApiNotFound

if TYPE_CHECKING:
    from collections.abc import Callable

    from local_server.domain.ids import ApiId
    from local_server.domain.routing import Route
    from local_server.gateway.access_log import Trace
    from local_server.gateway.callers import Callers
    from local_server.gateway.connecting import ConnectFailed
    from local_server.gateway.hold import Holds, Replay
    from local_server.gateway.lane import Lane
    from local_server.gateway.table import Entry
    from local_server.gateway.ticker import Ticker

CRASH_GRACE_S = 1.0
"""An API that takes no connections may have been replaced, or may have crashed, without our knowing it yet: Docker
tells how a program ended only after a third of a second."""
LOGS_HINT = "See what it printed with: apimarket logs {}"


def full_name(route: Route) -> str:
    return f"{route.owner}/{route.slug}"


@dataclass(frozen=True, slots=True)
class Admission:
    """What a request under way needs of the gateway."""

    lookup: Callable[[ApiId, str], Entry | None]
    holds: Holds
    ticker: Ticker
    callers: Callers

    def current(self, route: Route) -> Entry:
        """The API's entry now. Raises ApiNotFound when it was removed meanwhile."""
        entry = self.lookup(route.api_id, route.version)
        if entry is None:
            raise ApiNotFound(full_name(route))
        return entry

    def pass_breaker(self, lane: Lane, traveller: object, route: Route) -> None:
        """Raises CircuitOpen where the lane has failed too often. Else the breaker is to be told how it went."""
        breaker = lane.breaker
        if breaker.closed:
            return
        wait_s = breaker.wait_s(traveller, asyncio.get_running_loop().time())
        if wait_s:
            raise CircuitOpen(full_name(route), route.slug, breaker.failures, breaker.reason, math.ceil(wait_s))

    async def hold(self, entry: Entry, trace: Trace, receive: Replay) -> Entry:
        """The API's entry once it has a lane. Raises ApiUnavailable, ApiNotFound, ClientGone."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        if entry.lane is None:  # a call that waited for its quota may have missed the change it would wait for
            entry = self.current(entry.route)
        while entry.lane is None:
            route = entry.route
            if route.availability != "starting":
                raise not_serving(route)
            trace.held = True
            await self.holds.wait(route.api_id, full_name(route), receive, loop.time() - began_s)
            entry = self.current(route)
        return entry

    async def after_connect_failure(self, route: Route, lane: Lane, failure: ConnectFailed) -> Entry:
        """The entry to try instead of `lane`. Raises UpstreamFailed if nothing takes its place shortly."""
        entry, moves = self.current(route), lane.moves
        if entry.lane is lane:
            await self.holds.wait_for_change(route.api_id, CRASH_GRACE_S)
            entry = self.current(route)
        if entry.lane is lane and lane.moves == moves:
            raise UpstreamFailed(
                f"{full_name(route)} takes no connections: it {failure}", hint=LOGS_HINT.format(route.slug)
            )
        return entry


def not_serving(route: Route) -> ApiUnavailable:
    """Why a request is refused at once."""
    if route.availability == "stopped":
        why, hint = route.detail or "it is stopped", f"Start it with: apimarket restart {route.slug}"
    else:
        why, hint = route.detail or "it does not start", LOGS_HINT.format(route.slug)
    return ApiUnavailable(f"{full_name(route)} is not answering: {why}", hint=hint)
