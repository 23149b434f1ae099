"""A process that runs the terminal UI with pipes in the place of a terminal. It never outlives its page."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE
from collections import deque
from typing import TYPE_CHECKING, Self

from local_server.web.packets import data_packet, meta_packet

if TYPE_CHECKING:
    from asyncio import StreamReader
    from asyncio.subprocess import Process

QUIT_S = 5.0
"""How long the process may take over its own end before it is killed."""
# -P: the directory in which the user is may hold an API with modules of any name.
COMMAND = (sys.executable, "-P", "-m", "apimarket_tui")
_LAST_WORDS = 12


class Terminal:
    """Opened with `async with`, which ends the process however it is left."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._words: deque[str] = deque(maxlen=_LAST_WORDS)
        self._listening = asyncio.create_task(self._listen(), name="terminal-words")

    @classmethod
    async def start(cls, width: int, height: int) -> Self:
        """`width` and `height` in cells."""
        # A session of its own: Ctrl-C in the terminal is for us, and we end it.
        process = await asyncio.create_subprocess_exec(
            *COMMAND, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=_environment(width, height), start_new_session=True
        )
        return cls(process)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.shield(asyncio.create_task(self._end(), name="terminal-end"))

    @property
    def output(self) -> StreamReader:
        assert self._process.stdout is not None
        return self._process.stdout

    async def type(self, text: str) -> None:
        await self._send(data_packet(text))

    async def resize(self, width: int, height: int) -> None:
        await self._send(meta_packet(type="resize", width=width, height=height))

    async def look(self, *, focused: bool) -> None:
        """Whether the user looks at the page."""
        await self._send(meta_packet(type="focus" if focused else "blur"))

    async def last_words(self) -> str:
        """Why it ended, as far as it said so; empty after a good end."""
        await self._listening
        return "" if await self._process.wait() == 0 else "\n".join(self._words)

    async def _send(self, packet: bytes) -> None:
        """To a process that has ended it goes nowhere; what reads from it sees the end."""
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError, RuntimeError):
            self._process.stdin.write(packet)
            await self._process.stdin.drain()

    async def _listen(self) -> None:
        """Read all it says, so that it is never held up by that, and keep the end."""
        assert self._process.stderr is not None
        rest = b""
        while part := await self._process.stderr.read(4096):
            *lines, rest = (rest + part)[-65536:].split(b"\n")
            self._words.extend(line.decode(errors="replace") for line in lines)
        if rest:
            self._words.append(rest.decode(errors="replace"))

    async def _end(self) -> None:
        process, drained = self._process, asyncio.create_task(self._drain(), name="terminal-rest")
        try:
            async with asyncio.timeout(QUIT_S):
                await self._send(meta_packet(type="quit"))
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        await asyncio.gather(drained, self._listening)

    async def _drain(self) -> None:
        """A process whose output nobody takes cannot end."""
        while await self.output.read(65536):
            pass


def _environment(width: int, height: int) -> dict[str, str]:
    return os.environ | {
        "TEXTUAL_DRIVER": "apimarket_tui.page_driver:PageDriver",
        "TEXTUAL_COLOR_SYSTEM": "truecolor",
        "COLUMNS": str(width),
        "ROWS": str(height),
    }
