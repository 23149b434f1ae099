"""Idle connections of one lane, and the rule for when one may be used again."""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from local_server.gateway.connecting import ConnectFailed, connect
from local_server.gateway.response_head import KnownHeads
from local_server.gateway.upstream import Connection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MAX_IDLE = 64
IDLE_EXPIRY_S = 60.0

# A server may close an idle connection at the very moment a request goes out on it. GET and HEAD are then simply
# sent again; others must not be, since nobody can tell whether they took effect (RFC 9110, 9.2.2). So those go out on
# a used connection only where this server has shown that it keeps idle ones, and only on one idle for a short time.
TRUSTED_IDLE_S = 0.5
PROOF_IDLE_S = 1.0
PROOF_REUSES = 64
HASTY_CLOSE_S = 2.0


class KeepAliveRecord:
    """What one server has done with connections left idle."""

    def __init__(self) -> None:
        self._reuses = 0
        self._survived = False
        self._hasty = False

    @property
    def trusted(self) -> bool:
        return not self._hasty and (self._survived or self._reuses >= PROOF_REUSES)

    def reused(self) -> None:
        """A used connection carried another exchange to its end."""
        self._reuses += 1

    def alive_after(self, idle_s: float) -> None:
        if idle_s >= PROOF_IDLE_S:
            self._survived = True

    def closed_after(self, idle_s: float) -> None:
        """The server closed a connection unasked."""
        if idle_s < HASTY_CLOSE_S:
            self._hasty = True


class Connections(Protocol):
    """What a lane's pool is to those who send requests on it: that of one program, or of several together."""

    retain: bool
    closed: bool

    def __len__(self) -> int:
        """Of those that are idle."""

    def take(self, replayable: bool) -> Connection | None: ...

    def put_back(self, connection: Connection) -> None: ...

    async def open(self) -> Connection: ...

    def give(self, connection: Connection) -> None: ...

    def close_idle(self) -> None: ...


class Pool:
    """Last in, first out: few connections stay warm, the others expire."""

    def __init__(
        self,
        address: tuple[str, int],
        connector: Callable[[tuple[str, int]], Awaitable[Connection]] = connect,
    ) -> None:
        self._address = address
        self._connect = connector
        self._idle: deque[Connection] = deque()
        self._heads = KnownHeads()
        self._expiry: asyncio.TimerHandle | None = None
        self.record = KeepAliveRecord()
        self.retain = True
        """Whether connections are kept when given back."""
        self.closed = False

    def __len__(self) -> int:
        return len(self._idle)

    def take(self, replayable: bool) -> Connection | None:
        """A used connection that is alive, or None: then `open` one. `replayable` as the rule above has it. The
        caller writes before the loop waits for anything."""
        idle = self._idle
        if not idle:
            return None
        if not replayable and not self._may_carry_once():
            return None
        while idle:
            connection = idle.pop()
            connection.on_idle_lost = None
            if replayable or connection.looks_alive():
                return connection
            self.record.closed_after(self._now() - connection.idle_since)
            connection.close()
        return None

    def _may_carry_once(self) -> bool:
        now = self._now()
        oldest, newest = self._idle[0], self._idle[-1]
        if oldest.looks_alive():
            self.record.alive_after(now - oldest.idle_since)
        return self.record.trusted and now - newest.idle_since <= TRUSTED_IDLE_S

    def put_back(self, connection: Connection) -> None:
        """What was taken was not used after all."""
        connection.on_idle_lost = self._lost
        self._idle.append(connection)

    async def open(self) -> Connection:
        """A new connection. Raises ConnectFailed."""
        if self.closed:
            raise ConnectFailed("was replaced")
        connection = await self._connect(self._address)
        connection.heads = self._heads
        if self.closed:
            connection.close()
            raise ConnectFailed("was replaced")
        return connection

    def give(self, connection: Connection) -> None:
        """Take a connection back: kept if it can be used again, closed otherwise."""
        if not connection.reusable or not self.retain or self.closed or len(self._idle) >= MAX_IDLE:
            connection.close()
            return
        if connection.uses > 1:
            self.record.reused()
        connection.idle_since = self._now()
        connection.on_idle_lost = self._lost
        self._idle.append(connection)
        if self._expiry is None:
            self._expiry = asyncio.get_running_loop().call_later(IDLE_EXPIRY_S, self._expire)

    def _lost(self, connection: Connection) -> None:
        self.record.closed_after(self._now() - connection.idle_since)
        self._idle.remove(connection)

    def _expire(self) -> None:
        self._expiry = None
        limit = self._now() - IDLE_EXPIRY_S
        while self._idle and self._idle[0].idle_since <= limit:
            self._drop(self._idle.popleft())
        if self._idle:
            loop = asyncio.get_running_loop()
            self._expiry = loop.call_later(self._idle[0].idle_since - limit, self._expire)

    def close_idle(self) -> None:
        while self._idle:
            self._drop(self._idle.pop())
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    @staticmethod
    def _drop(connection: Connection) -> None:
        connection.on_idle_lost = None
        connection.close()

    @staticmethod
    def _now() -> float:
        return monotonic()  # the loop's clock is the same, and dearer
