"""Tells subscribers inside this process what happened. Nobody who is slow can hold up who publishes."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeVar

from local_server.domain.events import Event

E = TypeVar("E")
QUEUE_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Lost:
    """Stands where events are missing: their reader was too slow, and must read everything anew."""


LOST = Lost()


class Subscription(Generic[E]):
    """One reader's queue. An async context manager that iterates; use on one event loop.

    When `limit` items wait and another comes, all that wait are given up for one `Lost`: the reader has to read
    everything again anyway, and is not to be shown the past first."""

    def __init__(
        self,
        limit: int,
        joined: Callable[["Subscription[E]"], None] = lambda _: None,
        left: Callable[["Subscription[E]"], None] = lambda _: None,
    ) -> None:
        self._limit = limit
        self._joined = joined
        self._left = left
        self._queue: deque[E | Lost] = deque()
        self._arrived = asyncio.Event()
        self._closed = False

    async def __aenter__(self) -> "Subscription[E]":
        self._joined(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._left(self)
        self.close()

    def __aiter__(self) -> "Subscription[E]":
        return self

    async def __anext__(self) -> E | Lost:
        item = await self.next()
        if item is None:
            raise StopAsyncIteration
        return item

    async def next(self, timeout_s: float | None = None) -> E | Lost | None:
        """The next item, or None when it is closed and empty. Raises TimeoutError after `timeout_s`."""
        if not self._queue and not self._closed:
            self._arrived.clear()
            async with asyncio.timeout(timeout_s):
                await self._arrived.wait()
        return self._queue.popleft() if self._queue else None

    def waiting(self) -> list[E | Lost]:
        """Everything that has arrived and was not read, taken out at once."""
        items = list(self._queue)
        self._queue.clear()
        return items

    def put(self, item: E | Lost) -> None:
        """From the event loop's thread. Never waits."""
        if self._closed:
            return
        if len(self._queue) >= self._limit:
            self._queue.clear()
            self._queue.append(LOST)
        self._queue.append(item)
        self._arrived.set()

    def lose(self) -> None:
        """Whatever waits is given up for one `Lost`: more is missing than this reader was too slow for."""
        self._queue.clear()
        self.put(LOST)

    def close(self) -> None:
        """What waits can still be read; then the iteration ends."""
        self._closed = True
        self._arrived.set()


class Bus:
    """Publish and subscribe on one event loop."""

    def __init__(self, limit: int = QUEUE_LIMIT) -> None:
        self._limit = limit
        self._subscriptions: set[Subscription[Event]] = set()

    def publish(self, event: Event) -> None:
        """Hand `event` to everyone who is subscribed now. From the event loop's thread."""
        for subscription in self._subscriptions:
            subscription.put(event)

    def lose(self) -> None:
        """Events went missing on their way here, nobody knows which: everybody has to read everything anew."""
        for subscription in self._subscriptions:
            subscription.lose()

    def subscribe(self) -> Subscription[Event]:
        """Events from the moment the context is entered: `async with bus.subscribe() as events: async for event in
        events`. A reader that falls more than the limit behind finds a `Lost` in place of what it missed."""
        return Subscription(self._limit, self._subscriptions.add, self._subscriptions.discard)
