"""A GET or HEAD to an API that lets its answers be kept: answered from what is kept, or asked, and then kept.

Of callers who ask the same at once one goes to the API; the others wait for its answer, and go themselves as soon as
it turns out to be for nobody else.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from local_server.domain.errors import ApimarketError
from local_server.domain.executions import CallOutcome
from local_server.domain.gateway_errors import NotCached
from local_server.gateway.admission import full_name
from local_server.gateway.cache_fill import Fill
from local_server.gateway.cache_hit import find_hit, give
from local_server.gateway.cache_rules import CONDITIONS
from local_server.gateway.hold import ClientGone, Replay
from local_server.gateway.problems import send_problem
from local_server.gateway.proxy import Exchange

if TYPE_CHECKING:
    from local_server.gateway.access_log import Trace
    from local_server.gateway.admission import Admission
    from local_server.gateway.cache import Shelf
    from local_server.gateway.cache_rules import Ask
    from local_server.gateway.lane import Lane
    from local_server.gateway.request import Request
    from local_server.gateway.table import Entry

FOLLOW_S = 5.0
"""For how long a caller waits for another's answer; then it asks itself, and for a while nobody waits."""


class Caching:
    """Runs one request to its end, as `Exchange` does, which it leaves it to where the API has to be asked."""

    def __init__(self, admission: Admission, entry: Entry, request: Request, trace: Trace, ask: Ask) -> None:
        self._admission = admission
        self._entry = entry
        self._request = request
        self._trace = trace
        self._ask = ask
        self._receive = request.receive

    async def run(self) -> None:
        try:
            fill = await self._from_what_is_kept()
        except ClientGone:
            self._trace.outcome = CallOutcome.ABORTED
            return
        except ApimarketError as error:
            await self._refuse(error)
            return
        if fill is None:
            return
        request = replace(self._request, receive=self._receive, fill=fill)
        if fill.stale is not None:
            request = replace(request, head=request.head.without(CONDITIONS))
        try:
            await Exchange(self._admission, self._entry, request, self._trace).run()
        finally:
            fill.land()

    async def _from_what_is_kept(self) -> Fill | None:
        """None: the request has been answered. Raises NotCached, ApiNotFound, ClientGone."""
        ask, lane = self._ask, self._entry.lane
        fill = Fill(ask, self._request.method, self._entry.route.cache_ttl_s)
        if lane is not None and not ask.passed_by:
            if await self._given(lane, b"hit"):
                return None
            landed = None if ask.must_check or ask.only_if_cached else lane.shelf.flight(ask.place)
            if landed is not None:
                await self._follow(landed, lane.shelf)
                self._entry = self._admission.current(self._entry.route)
                lane = self._entry.lane
                if lane is not None and await self._given(lane, b"fwd=uri-miss; collapsed"):
                    return None
        if ask.only_if_cached:
            raise NotCached(full_name(self._entry.route))
        if lane is not None and not ask.passed_by:
            fill.look(lane.shelf)
        return fill

    async def _given(self, lane: Lane, how: bytes) -> bool:
        """Answer from what is kept, if that will do."""
        hit = find_hit(lane.shelf, self._ask, how)
        if hit is None:
            return False
        trace = self._trace
        trace.cached, trace.generation, trace.version = True, lane.generation, lane.version
        await give(hit, self._request, trace, self._entry.seen_at(self._request.site).headers)
        return True

    async def _follow(self, landed: asyncio.Event, shelf: Shelf) -> None:
        """Return when another's question was answered, or after a while. Raises ClientGone."""
        self._receive = receive = Replay(self._receive)
        waiting = asyncio.create_task(landed.wait(), name="gateway-cache")
        gone = asyncio.create_task(_until_gone(receive), name="gateway-cache-client")
        try:
            done, _ = await asyncio.wait({waiting, gone}, timeout=FOLLOW_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            gone.cancel()
            await asyncio.gather(waiting, gone, return_exceptions=True)
        if gone in done:
            raise ClientGone
        if waiting not in done:
            shelf.alone(self._ask.place)

    async def _refuse(self, error: ApimarketError) -> None:
        trace, request = self._trace, self._request
        trace.outcome, trace.status = CallOutcome.REFUSED, error.status
        if trace.capture is not None:
            trace.capture.take_refusal(error, trace.request_id)
        trace.bytes_out = await send_problem(request.send, error, trace.request_id, extra=request.said)


async def _until_gone(receive: Replay) -> None:
    while (await receive.read_ahead())["type"] != "http.disconnect":
        pass
