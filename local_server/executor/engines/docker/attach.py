"""A container's standard streams over one attached connection.

Without a terminal the daemon wraps what comes out in frames: one byte for the stream (1 out, 2 err), three of zero,
four for the length (Docker Engine API, "Attach to a container"). What goes in is not wrapped.
"""

import asyncio
from collections.abc import AsyncIterator

from local_server.executor.engine import Message
from local_server.executor.engines.docker.daemon import Daemon, Stream, query
from local_server.executor.engines.lines import LineBuffer, log_message, read_message, write_message

_OUT = 1


class Attached:
    """The channel to the agent in a container."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def send(self, message: Message) -> None:
        """Raises OSError when the connection is broken."""
        self._stream.writer.write(write_message(message))
        await self._stream.writer.drain()

    async def messages(self) -> AsyncIterator[Message]:
        """What the agent says, and its standard error as log messages; ends with the connection."""
        out, err = LineBuffer(), LineBuffer()
        async for stream, data in _frames(self._stream.reader):
            for line in (out if stream == _OUT else err).feed(data):
                message = read_message(line) if stream == _OUT else log_message("err", line)
                if message is not None:
                    yield message
        for line in err.rest():
            yield log_message("err", line)

    async def texts(self) -> AsyncIterator[str]:
        """What a program without a protocol prints, on both streams, a line at a time."""
        buffers = {stream: LineBuffer() for stream in (1, 2)}
        async for stream, data in _frames(self._stream.reader):
            for line in buffers[stream].feed(data):
                yield line.decode("utf-8", "replace")
        for buffer in buffers.values():
            for line in buffer.rest():
                yield line.decode("utf-8", "replace")

    async def close(self) -> None:
        await self._stream.close()


async def attach(daemon: Daemon, container: str) -> Attached:
    """Attach to a container, running or not yet started. Raises EngineUnavailable, Refused."""
    path = query(f"/containers/{container}/attach", stream="1", stdin="1", stdout="1", stderr="1")
    return Attached(await daemon.open("POST", path, {"Connection": "Upgrade", "Upgrade": "tcp"}))


async def _frames(reader: asyncio.StreamReader) -> AsyncIterator[tuple[int, bytes]]:
    try:
        while True:
            head = await reader.readexactly(8)
            yield head[0], await reader.readexactly(int.from_bytes(head[4:], "big"))
    except (OSError, EOFError):
        return  # the container ended, or the daemon went away: whoever attached asks which
