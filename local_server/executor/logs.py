"""What programs print: the last lines in memory, more of them in a file, and each as it comes to whoever follows.

A program may print without end, so everything here is bounded: lines in memory, bytes on disk, and the events, which
carry many lines each. Control characters are taken out at this boundary, since lines end up in terminals.
"""

import asyncio
import json
import re
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import get_args

from local_server.domain.events import LogLine, LogStream, LogWritten
from local_server.domain.ids import ApiId
from local_server.system import System

MEMORY_LINES = 5_000
FILE_BYTES = 5 * 1024 * 1024
FLUSH_S = 0.1
PENDING_LINES = 20_000

# CSI and OSC sequences whole, then any C0 (but tab), DEL or C1 that is left.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|[\x00-\x08\x0a-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """`text` without anything a terminal would act upon."""
    return _ESCAPES.sub("", text)


class LogBook:
    """The log of one API, or of one version of it."""

    def __init__(
        self,
        api_id: ApiId,
        directory: Path,
        system: System,
        publish: Callable[[LogWritten], None],
        version: str = "",
        conceal: Callable[[str], str] = str,
    ) -> None:
        """`conceal` takes out of a text what nobody may read."""
        self._api_id = api_id
        self._path = directory / "log.jsonl"
        self._system = system
        self._publish = publish
        self._version = version
        self.conceal = conceal
        self._lines: deque[LogLine] = deque(maxlen=MEMORY_LINES)
        self._pending: deque[LogLine] = deque(maxlen=PENDING_LINES)
        self._flush_soon: asyncio.TimerHandle | None = None
        self._writing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Read back what an earlier server wrote."""
        self._lines.extend(await asyncio.to_thread(self._read_file))

    def add(self, generation: int, stream: LogStream, text: str, replica: int = 0) -> None:
        """`replica`: which of several wrote it."""
        line = LogLine(self._api_id, generation, stream, printable(self.conceal(text)), self._system.now(), replica)
        self._lines.append(line)
        self._pending.append(line)
        if self._flush_soon is None:
            self._flush_soon = asyncio.get_running_loop().call_later(FLUSH_S, self._start_flush)

    def tail(self, limit: int, since: datetime | None = None) -> Sequence[LogLine]:
        """The newest `limit` lines, oldest first, none older than `since`."""
        lines = list(self._lines)
        if since is not None:
            lines = [line for line in lines if line.at >= since]
        return lines[-limit:] if limit > 0 else []

    async def of_generation(self, number: int, limit: int, since: datetime | None = None) -> Sequence[LogLine]:
        """The same of one generation, also where later ones have printed so much that `tail` has forgotten it."""
        lines = [line for line in self.tail(MEMORY_LINES, since) if line.generation == number]
        if len(lines) < limit and len(self._lines) == MEMORY_LINES:
            await self._flush()
            kept = await asyncio.to_thread(self._read_file, FILE_BYTES, number)
            lines = [line for line in kept if since is None or line.at >= since]
        return lines[-limit:]

    async def close(self) -> None:
        """Write what is left. May be called twice."""
        if self._flush_soon is not None:
            self._flush_soon.cancel()
        await asyncio.gather(*self._tasks)
        await self._flush()

    def _start_flush(self) -> None:
        self._flush_soon = None
        task = asyncio.create_task(self._flush(), name=f"log-{self._api_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _flush(self) -> None:
        async with self._writing:
            lines = list(self._pending)
            self._pending.clear()
            if not lines:
                return
            self._publish(LogWritten(self._api_id, lines, self._version))
            try:
                await asyncio.to_thread(self._append, lines)
            except OSError:
                # Fail open: on a full disk the log lives on in memory, and what serves serves on.
                return

    def _append(self, lines: Sequence[LogLine]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.exists() and self._path.stat().st_size > FILE_BYTES:
            self._path.replace(self._path.with_suffix(".1.jsonl"))
        with self._path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(_row(line)) + "\n" for line in lines)

    def _read_file(self, most: int = MEMORY_LINES, generation: int | None = None) -> list[LogLine]:
        """The newest `most` lines on disk, or those of one generation among them."""
        lines: list[LogLine] = []
        for path in (self._path.with_suffix(".1.jsonl"), self._path):
            if path.exists():
                with path.open(encoding="utf-8", errors="replace") as file:
                    # Looked for in the text first: parsing every line of a full log takes seconds.
                    texts = deque((text for text in file if generation is None or f", {generation}, " in text), most)
                    found = (line for text in texts if (line := self._parse(text)))
                    lines.extend(line for line in found if generation in (None, line.generation))
        return lines[-most:]

    def _parse(self, text: str) -> LogLine | None:
        try:
            at, generation, stream, line, *replica = json.loads(text)
            if stream not in get_args(LogStream):
                return None
            when = datetime.fromisoformat(at)
            return LogLine(self._api_id, int(generation), stream, str(line), when, int(replica[0]) if replica else 0)
        except (ValueError, TypeError):  # the torn last line of a server that was killed
            return None


def _row(line: LogLine) -> list[object]:
    return [line.at.isoformat(), line.generation, line.stream, line.text, *([line.replica] if line.replica else [])]
