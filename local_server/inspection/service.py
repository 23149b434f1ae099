"""Looks exchanges up, and sends them again: to what serves, or to any generation that is kept.

A replay takes the gateway's own way to a lane and never leaves this machine. It is nobody's traffic: no statistics, no
limit and no quota count it, and the log of the API says that it was one.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from local_server.domain.differences import Difference, difference
from local_server.domain.exchange_errors import ExchangeNotFound, InspectorOff, NotReplayable
from local_server.domain.exchanges import Answer, Exchange, why_not_replayable
from local_server.domain.executions import CallOutcome
from local_server.domain.ids import ApiId
from local_server.domain.redaction import redact_query
from local_server.domain.registry import Api
from local_server.executor.service import Executor

REPLAYS_AT_ONCE = 4
"""A replay holds an answer in memory and, while it runs, a place on the API."""


class Kept(Protocol):
    """The gateway's memory. `most` exchanges of each API; 0: none are kept."""

    most: int

    def exchanges(self, api_id: ApiId) -> Sequence[Exchange]:
        """Newest first."""

    def find(self, api_id: ApiId, request_id: str) -> Exchange | None: ...

    def forget(self, api_id: ApiId) -> int:
        """Returns how many there were."""


class Gateway(Protocol):
    """The gateway as this module needs it; a lane is one that the executor has from it."""

    async def replay(self, exchange: Exchange, lane: Any = None) -> Answer:
        """Send it again: on the lane, else to whatever serves. Raises ApiNotFound, ApiUnavailable."""


@dataclass(frozen=True, slots=True)
class Comparison:
    first: Answer
    second: Answer
    difference: Difference


class Inspection:
    def __init__(self, kept: Kept, gateway: Gateway, executor: Executor) -> None:
        self._kept = kept
        self._gateway = gateway
        self._executor = executor
        self._room = asyncio.Semaphore(REPLAYS_AT_ONCE)

    # -- Looking -----------------------------------------------------------------------------------------------------

    def exchanges(self, api: Api, limit: int, path: str = "", *, errors: bool = False) -> list[Exchange]:
        """Newest first: those whose path begins so; with `errors`, those that were not ok. Raises InspectorOff."""
        self._check_on()
        found = (
            exchange
            for exchange in self._kept.exchanges(api.id)
            if exchange.path.startswith(path) and not (errors and exchange.execution.outcome is CallOutcome.OK)
        )
        return [exchange for exchange, _ in zip(found, range(limit), strict=False)]

    def find(self, api: Api, request_id: str) -> Exchange:
        """Raises InspectorOff, ExchangeNotFound."""
        self._check_on()
        exchange = self._kept.find(api.id, request_id)
        if exchange is None:
            raise ExchangeNotFound(api.full_name, request_id)
        return exchange

    def forget(self, api: Api) -> int:
        """Forget every exchange of the API; returns how many there were. Raises InspectorOff."""
        self._check_on()
        return self._kept.forget(api.id)

    def _check_on(self) -> None:
        if not self._kept.most:
            raise InspectorOff

    # -- Sending again -----------------------------------------------------------------------------------------------

    async def replay(self, api: Api, request_id: str, generation: int | None = None) -> Answer:
        """What serves now answers, or the generation that is named. Raises InspectorOff, ExchangeNotFound,
        NotReplayable, ApiUnavailable, GenerationNotFound, GenerationNotStarted."""
        exchange = self._replayable(api, request_id)
        async with self._room:
            if generation is None:
                return await self._serving(api, exchange)
            return await self._of(api, exchange, generation)

    async def compare(self, api: Api, request_id: str, generation: int) -> Comparison:
        """The generation that is named answers, then what serves now: one after the other, so that neither slows the
        other down. Raises like `replay`."""
        exchange = self._replayable(api, request_id)
        async with self._room:
            first = await self._of(api, exchange, generation)
            second = await self._serving(api, exchange)
        # Finding out what moved in a long list may take a while; the gateway lives on this loop.
        return Comparison(first, second, await asyncio.to_thread(difference, first, second))

    def _replayable(self, api: Api, request_id: str) -> Exchange:
        exchange = self.find(api, request_id)
        if reason := why_not_replayable(exchange):
            raise NotReplayable(request_id, reason)
        return exchange

    async def _serving(self, api: Api, exchange: Exchange) -> Answer:
        return await self._told(api, exchange, await self._gateway.replay(exchange))

    async def _of(self, api: Api, exchange: Exchange, generation: int) -> Answer:
        async with self._executor.borrow(api, generation) as lane:
            return await self._told(api, exchange, await self._gateway.replay(exchange, lane))

    async def _told(self, api: Api, exchange: Exchange, answer: Answer) -> Answer:
        request = f"{exchange.execution.method} {redact_query(exchange.target)}"
        line = f"replayed {request}: {answer.status} in {answer.total_us / 1000:.0f} ms"
        executor = self._executor
        log = await executor.versions.log(api, answer.version) if answer.version else executor.log(api)
        log.add(answer.generation, "apimarket", line)
        return answer
