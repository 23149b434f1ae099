"""Log lines kept outside any widget: appended in batches, bounded, read by index."""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from apimarket_tui.clean import log_line

if TYPE_CHECKING:
    from local_server.wire.apis import LogLineView

LONGEST_LINE = 8_000
"""Cells; the rest of a longer line is not shown."""


class Line(NamedTuple):
    at: datetime
    generation: int
    stream: str
    text: str
    api: str = ""
    replica: int = 0


class LogHistory:
    """At most `cap` lines; when full, the oldest tenth goes at once, so that dropping stays cheap. With a `generation`
    it takes in the lines of that one alone."""

    def __init__(self, cap: int = 1_000_000, generation: int | None = None) -> None:
        self._cap = max(cap, 10)
        self._generation = generation
        self._lines: list[Line] = []
        self.dropped = 0
        """Lines forgotten since the start."""
        self.widest = 0
        """Characters of the longest line seen."""

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: int) -> Line:
        return self._lines[index]

    def extend(self, lines: "Iterable[LogLineView]") -> int:
        """Append; returns how many of the oldest lines were dropped for it."""
        for line in lines:
            if self._generation not in (None, line.generation):
                continue
            text = log_line(line.text[:LONGEST_LINE])
            self._lines.append(Line(line.at, line.generation, line.stream, text, line.api, line.replica))
            if len(text) > self.widest:
                self.widest = len(text)
        return self._shorten()

    def extend_from(self, other: "LogHistory") -> int:
        """Append what another history has; returns as `extend` does."""
        wanted = self._generation
        self._lines += other._lines if wanted is None else [one for one in other._lines if one.generation == wanted]
        self.widest = max(self.widest, other.widest)
        return self._shorten()

    def _shorten(self) -> int:
        excess = len(self._lines) - self._cap
        if excess <= 0:
            return 0
        excess = max(excess, self._cap // 10)
        del self._lines[:excess]
        self.dropped += excess
        return excess

    def clear(self) -> None:
        self._lines.clear()

    def find(self, text: str, start: int, step: int = 1) -> int | None:
        """Index of the next line with `text` (any case) from `start` on, going round once; None if there is none."""
        wanted = text.casefold()
        count = len(self._lines)
        if not wanted or not count:
            return None
        index = start % count
        for _ in range(count):
            if wanted in self._lines[index].text.casefold():
                return index
            index = (index + step) % count
        return None
