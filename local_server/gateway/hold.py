"""Requests that wait for an API's first generation: a few, briefly, and with little memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from local_server.domain.gateway_errors import ApiUnavailable
from local_server.gateway.asgi_types import Message, Receive

if TYPE_CHECKING:
    from local_server.domain.ids import ApiId

MAX_HELD = 100
MAX_HELD_BYTES = 8 * 1024 * 1024
MAX_WAIT_S = 10.0


class ClientGone(Exception):
    """The client hung up."""


@dataclass(slots=True)
class _Queue:
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    count: int = 0
    held_bytes: int = 0


class Replay:
    """A `receive` that first repeats what was read while the request was held."""

    def __init__(self, receive: Receive, announced_bytes: int = 0) -> None:
        self._receive = receive
        self._read: list[Message] = []
        self._read_bytes = 0
        self._announced_bytes = announced_bytes

    @property
    def held_bytes(self) -> int:
        """What it takes or will take: a length that was announced counts from the start, so that of two large
        requests the later one is refused and not both."""
        return max(self._read_bytes, self._announced_bytes)

    async def read_ahead(self) -> Message:
        message = await self._receive()
        self._read.append(message)
        self._read_bytes += len(message.get("body", b""))
        return message

    async def __call__(self) -> Message:
        return self._read.pop(0) if self._read else await self._receive()


class Holds:
    """Per API, what is held. One `Event` an API: it is set, and forgotten, at every change of the API's route."""

    def __init__(self, max_wait_s: float = MAX_WAIT_S) -> None:
        self._queues: dict[ApiId, _Queue] = {}
        self._max_wait_s = max_wait_s

    def changed(self, api_id: ApiId) -> None:
        """Let go everybody who waits for the API; each looks at the table again."""
        queue = self._queues.pop(api_id, None)
        if queue is not None:
            queue.changed.set()

    def held(self, api_id: ApiId) -> int:
        queue = self._queues.get(api_id)
        return queue.count if queue else 0

    async def wait(self, api_id: ApiId, name: str, receive: Replay, waited_s: float) -> None:
        """Return at the next change of the API's route, having read the body meanwhile (that is how a client that
        gives up is noticed). `waited_s` is what this request has waited before.

        Raises ApiUnavailable after 10 s in all, for the 101st request, and beyond 8 MiB; ClientGone.
        """
        queue = self._queues.setdefault(api_id, _Queue())
        if queue.count >= MAX_HELD:
            raise _unavailable(name, f"{MAX_HELD} requests are waiting for it already")
        if queue.held_bytes + receive.held_bytes > MAX_HELD_BYTES:
            raise _too_many_bytes(name)
        queue.count += 1
        queue.held_bytes += receive.held_bytes
        reader = asyncio.create_task(_read(queue, name, receive), name="gateway-held-body")
        change = asyncio.create_task(queue.changed.wait(), name="gateway-hold")
        try:
            timeout_s = max(0.0, self._max_wait_s - waited_s)
            done, _ = await asyncio.wait({reader, change}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if reader in done:
                reader.result()
            if change not in done:
                raise _unavailable(name, f"it has not become ready in {self._max_wait_s:.0f} s")
        finally:
            await _end(reader, change)
            queue.count -= 1
            queue.held_bytes -= receive.held_bytes

    async def wait_for_change(self, api_id: ApiId, timeout_s: float) -> None:
        """Return at the next change, or after `timeout_s` without one."""
        queue = self._queues.setdefault(api_id, _Queue())
        try:
            async with asyncio.timeout(timeout_s):
                await queue.changed.wait()
        except TimeoutError:
            return


async def _read(queue: _Queue, name: str, receive: Replay) -> None:
    while True:
        before = receive.held_bytes
        message = await receive.read_ahead()
        if message["type"].endswith(".disconnect"):
            raise ClientGone
        queue.held_bytes += receive.held_bytes - before
        if queue.held_bytes > MAX_HELD_BYTES:
            raise _too_many_bytes(name)


async def _end(*tasks: asyncio.Task[object]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _too_many_bytes(name: str) -> ApiUnavailable:
    return _unavailable(name, f"no more than {MAX_HELD_BYTES // 1024 // 1024} MiB of requests may wait for it")


def _unavailable(name: str, why: str) -> ApiUnavailable:
    return ApiUnavailable(
        f"{name} is starting, and {why}", hint=f"Try again shortly. See what it is doing with: apimarket status {name}"
    )
