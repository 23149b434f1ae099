"""Bytes to protocol messages: lines of limited length, and a bounded mailbox between a sandbox and its reader."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

from local_server.executor.engine import Message

LINE_BYTES = 1 << 20
"""The longest line of the agent protocol; what is longer is cut."""
_LOG_BYTES = 16 << 10
_MAILBOX = 4096


class LineBuffer:
    """Cuts a byte stream into lines without their newline; never holds more than `LINE_BYTES`."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            yield from self._finish(data[start:end])
            start = end + 1
        self._hold(data[start:])

    def rest(self) -> Iterator[bytes]:
        """What came after the last newline, once the stream has ended."""
        if self._held:
            yield from self._finish(b"")

    def _finish(self, tail: bytes) -> Iterator[bytes]:
        self._hold(tail)
        line = bytes(self._held)
        self._held.clear()
        self._skipping = False
        yield line

    def _hold(self, data: bytes) -> None:
        if self._skipping:
            return
        self._held += data
        if len(self._held) > LINE_BYTES:
            del self._held[LINE_BYTES:]
            self._skipping = True


def read_message(line: bytes) -> Message | None:
    """A protocol message; what is none becomes a log message of generation 0, an empty line None."""
    if not line.strip():
        return None
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return log_message("out", line)
    if isinstance(message, dict) and isinstance(message.get("t"), str):
        return message
    return log_message("out", line)


def log_message(stream: str, line: bytes | str) -> Message:
    """The agent's own words: a log message of generation 0."""
    text = line if isinstance(line, str) else line[:_LOG_BYTES].decode("utf-8", "replace")
    return {"t": "log", "gen": 0, "stream": stream, "line": text.rstrip("\r")}


def write_message(message: Message) -> bytes:
    """One line of the agent protocol."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


class Mailbox:
    """Messages from a sandbox to its one reader. Bounded: a slow reader slows the agent down, and loses nothing."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Message | None] = asyncio.Queue(_MAILBOX)
        self._closed = asyncio.Event()

    @property
    def is_full(self) -> bool:
        return self._queue.full()

    async def put(self, message: Message) -> None:
        if not self._closed.is_set():
            await self._queue.put(message)

    def close(self) -> None:
        """No more messages come; the reader still gets those that wait. May be called twice."""
        self._closed.set()
        if self._queue.empty():
            self._queue.put_nowait(None)

    async def messages(self) -> AsyncIterator[Message]:
        while not (self._closed.is_set() and self._queue.empty()):
            message = await self._queue.get()
            if message is None:
                return
            yield message
