"""A TCP proxy that counts what passes: the same one in front of every peer, so that all are measured alike.

Counted is what programs write into their connections, HTTP heads and framing included; not counted are TCP's and IP's
own headers. It runs on a thread of its own and changes nothing of what it passes on.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from tests.bench.reload import free_port

PIECE_BYTES = 64 * 1024


@dataclass
class Count:
    """Since it was last cleared."""

    connections: int = 0
    turns: int = 0
    """How often a client spoke after it had been spoken to, on each connection from one on. Of HTTP without pipelining:
    the requests."""
    up_bytes: int = 0
    down_bytes: int = 0

    def clear(self) -> None:
        self.connections = self.turns = self.up_bytes = self.down_bytes = 0


@dataclass(frozen=True)
class Counting:
    port: int
    count: Count


@contextmanager
def counting(upstream: int) -> Iterator[Counting]:
    """A proxy on loopback for what listens at the port `upstream`, until the end of the block."""
    found = Counting(free_port(), Count())
    loop = asyncio.new_event_loop()
    ready, over = threading.Event(), asyncio.Event()

    async def serve() -> None:
        server = await asyncio.start_server(lambda r, w: _pass(r, w, upstream, found.count), "127.0.0.1", found.port)
        ready.set()
        await over.wait()
        server.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield found
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, upstream: int, count: Count) -> None:
    count.connections += 1
    their_reader, their_writer = await asyncio.open_connection("127.0.0.1", upstream)
    answered = True

    def up(size_bytes: int) -> None:
        nonlocal answered
        count.turns += answered
        answered = False
        count.up_bytes += size_bytes

    def down(size_bytes: int) -> None:
        nonlocal answered
        answered = True
        count.down_bytes += size_bytes

    with suppress(asyncio.CancelledError):  # the proxy ends, and with it what clients keep open
        await asyncio.gather(_copy(reader, their_writer, up), _copy(their_reader, writer, down))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Callable[[int], None]) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(PIECE_BYTES):
            seen(len(piece))
            writer.write(piece)
            await writer.drain()
        writer.write_eof()
        return
    writer.close()
