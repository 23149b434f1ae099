"""Work that several callers wait for and that is done once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from local_server.executor.engine import Progress

T = TypeVar("T")


class _Flight(Generic[T]):
    def __init__(self) -> None:
        self.listeners: list[Progress] = []
        self.task: asyncio.Task[T] | None = None

    def tell(self, line: str) -> None:
        for listener in tuple(self.listeners):
            listener(line)


class Flights(Generic[T]):
    """One task a key. Everybody who asks meanwhile shares its result and its progress; it is cancelled only when the
    last of them has been, and then ended before that caller goes on."""

    def __init__(self) -> None:
        self._flights: dict[str, _Flight[T]] = {}

    async def join(self, key: str, work: Callable[[Progress], Awaitable[T]], progress: Progress) -> T:
        flight = self._flights.get(key)
        if flight is None or flight.task is None:
            flight = self._flights[key] = _Flight()
            flight.task = asyncio.create_task(self._fly(key, flight, work), name=f"prepare-{key[:12]}")
        flight.listeners.append(progress)
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.listeners.remove(progress)
            if not flight.listeners and not flight.task.done():
                self._forget(key, flight)
                flight.task.cancel()
                await asyncio.wait({flight.task})

    async def close(self) -> None:
        """Cancel everything that is under way."""
        tasks = {flight.task for flight in self._flights.values() if flight.task is not None}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _fly(self, key: str, flight: _Flight[T], work: Callable[[Progress], Awaitable[T]]) -> T:
        try:
            return await work(flight.tell)
        finally:
            self._forget(key, flight)

    def _forget(self, key: str, flight: _Flight[T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
