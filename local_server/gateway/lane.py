"""The way to one generation: its address, its connections, and who is under way on it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from local_server.gateway.breaker import Breaker
from local_server.gateway.pool import Pool

if TYPE_CHECKING:
    from local_server.domain.ids import ApiId
    from local_server.gateway.breaker import Circuit
    from local_server.gateway.cache import Shelf
    from local_server.gateway.pool import Connections
    from local_server.gateway.upstream import Connection


class Traveller(Protocol):
    """A request or WebSocket on a lane."""

    def break_off(self) -> None:
        """End now. Called when the lane closes; may be called twice."""


class Lane:
    """Made by `Gateway.open`; has the shape of the executor's `Lane`."""

    def __init__(
        self,
        api_id: ApiId,
        generation: int,
        digest: str,
        address: tuple[str, int],
        shelf: Shelf,
        version: str = "",
    ) -> None:
        self.api_id = api_id
        self.version = version
        """The immutable version that it leads to; empty: a generation of the directory."""
        self.generation = generation
        self.digest = digest
        self.address = address
        self.pool: Connections = Pool(address)
        self.shelf = shelf
        """What it answered, and may be answered again."""
        self.breaker: Circuit = Breaker()
        self.several = False
        """Whether it leads, or may come to lead, to more than one program."""
        self.shared = False
        """Gateways in other processes lead here too, and nobody knows who is under way there."""
        self._travellers: set[Traveller] = set()
        self._empty: asyncio.Event | None = None
        self.moves = 0
        """How often it has come to lead elsewhere."""

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        return (self.address,)

    @property
    def in_flight(self) -> int:
        return len(self._travellers)

    @property
    def closed(self) -> bool:
        return self.pool.closed

    def enter(self, traveller: Traveller) -> None:
        """To be called in the same step as the look-up that found this lane, so that `drain` misses nobody."""
        self._travellers.add(traveller)
        self.pool.retain = True  # a lane that was drained may be routed to again: `undo`

    def leave(self, traveller: Traveller) -> None:
        """May be called twice."""
        self._travellers.discard(traveller)
        if self._empty is not None and not self._travellers:
            self._empty.set()

    # -- Where there are several, of them (replicas.py) ---------------------------------------------------------------

    @property
    def others(self) -> bool:
        """Whether there is somebody else to ask than who failed a moment ago."""
        return False

    def part(self, breaker: Breaker) -> str:
        """Which of them has this breaker, to come after the generation; empty where there is one."""
        return ""

    def seat(self, traveller: Traveller) -> tuple[str, int]:
        """Where somebody who has entered is to connect. Raises ConnectFailed."""
        return self.address

    def reached(self, whose: Connection | Traveller) -> None:
        """An answer began, on a connection of the pool or at a seat."""
        self.breaker.succeeded()

    def missed(self, traveller: Traveller, reason: str) -> None:
        """None did, at a seat."""
        self.breaker.failed(traveller, reason, asyncio.get_running_loop().time())

    # -- Its end ------------------------------------------------------------------------------------------------------

    async def drain(self, timeout_s: float) -> bool:
        """Wait until nobody is under way, then close idle connections. False if somebody still was after
        `timeout_s`; they go on until `close`. One that is shared is given all of the time."""
        self.pool.retain = False
        if self.shared:
            await asyncio.sleep(timeout_s)
            timeout_s = 0.0
        if self._travellers:
            self._empty = self._empty or asyncio.Event()
            self._empty.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._empty.wait()
            except TimeoutError:
                self.pool.close_idle()
                return False
        if not self.pool.retain:  # else somebody came back meanwhile
            self.pool.close_idle()
        return True

    async def close(self) -> None:
        """Break off what is left; nothing can be sent on this lane any more. May be called twice."""
        self.pool.closed = True
        self.shelf.close()
        self.pool.close_idle()
        for traveller in tuple(self._travellers):
            traveller.break_off()
