"""The clocks of a client's connection, each one timer however many requests come."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, TimerHandle, Transport

UNREAD_S = 60.0
"""A client that has read nothing for this long, of an answer that waits for it, is cut off."""


class RestClock:
    """Closes a connection on which nothing has been under way for `most_s`. uvicorn's own takes a timer for each
    request; this one looks, when it has run out, whether there was a request meanwhile, and goes on for the rest."""

    def __init__(self, loop: AbstractEventLoop, most_s: float) -> None:
        self._loop = loop
        self._most_s = most_s
        self._transport: Transport | None = None
        self._timer: TimerHandle | None = None
        self._since: float | None = None

    def rests(self, transport: Transport) -> None:
        """Nothing is under way from now on."""
        self._since = self._loop.time()
        if self._timer is None:
            self._transport = transport
            self._timer = self._loop.call_later(self._most_s, self._look)

    def wakes(self) -> None:
        """Something has come; the end of it begins anew."""
        self._since = None

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._transport = None

    def _look(self) -> None:
        self._timer = None
        if self._since is None:
            return
        left_s = self._since + self._most_s - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._look)
        elif self._transport is not None:
            self._transport.close()


class ReaderClock:
    """Runs while an answer waits to be read. A client that is slow reads on; from one that reads nothing at all its
    answer is taken away."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: TimerHandle | None = None
        self._unread_bytes = 0
        """What waited when it was last looked at."""

    def start(self, transport: Transport) -> None:
        self._unread_bytes = transport.get_write_buffer_size()
        self._timer = self._loop.call_later(UNREAD_S, self._look, transport)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, transport: Transport) -> None:
        if transport.get_write_buffer_size() < self._unread_bytes:
            self.start(transport)
        else:
            transport.abort()
