"""One slow clock for all requests under way: deadlines, and who has hung up, without a timer and a task for each."""

from __future__ import annotations

import asyncio
from typing import Protocol

TICK_S = 0.05


class Ticking(Protocol):
    def tick(self, now: float) -> None:
        """Called every 50 ms from the first tick after it was added. `now` is the loop's time."""


class Ticker:
    """Runs only while somebody is under way. A request shorter than a tick costs one `add` and one `discard`."""

    def __init__(self) -> None:
        self._members: set[Ticking] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, member: Ticking) -> None:
        self._members.add(member)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def discard(self, member: Ticking) -> None:
        self._members.discard(member)

    def _tick(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        for member in tuple(self._members):
            member.tick(now)
        if self._members:
            self._timer = loop.call_later(TICK_S, self._tick)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
