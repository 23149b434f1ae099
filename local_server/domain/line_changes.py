"""How two texts differ, line by line, as unified hunks: what people and `patch` read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import islice

CONTEXT_LINES = 3
MOST_LINES = 20_000
"""Longer texts are not compared."""
_EXACT_LINES = 2_000
"""Between longer parts, lines that repeat a lot are taken for no landmark: looking at each of them takes the square of
the time."""
NO_NEWLINE = "\\ No newline at end of file"


@dataclass(frozen=True, slots=True)
class LineChanges:
    hunks: tuple[str, ...]
    """`@@ -1,3 +1,4 @@`, then lines that begin with a blank, `-` or `+`; without their line feeds."""
    added: int
    removed: int
    whole: bool
    """Whether all hunks are here."""


def line_changes(before: str, after: str, most: int) -> LineChanges | None:
    """With at most so many lines of hunks; the counts are of all. None where a text is too long to be compared."""
    first, second = _lines(before), _lines(after)
    if max(len(first), len(second)) > MOST_LINES:
        return None
    added = removed = 0
    kept: list[str] = []
    whole = True
    for hunk in _hunks(first, second):
        added += sum(line[0] == "+" for line in hunk)
        removed += sum(line[0] == "-" for line in hunk)
        room = most - len(kept)
        whole = whole and len(hunk) <= room
        kept += islice(hunk, max(room, 0))
    return LineChanges(tuple(kept), added, removed, whole)


def _lines(text: str) -> list[str]:
    """With their ends: only a line feed ends one, so that a text that lacks the last one differs in its last line."""
    lines = text.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def _hunks(first: Sequence[str], second: Sequence[str]) -> Iterator[list[str]]:
    start, end = _in_common(first, second)
    between = first[start : len(first) - end], second[start : len(second) - end]
    matcher = SequenceMatcher(None, *between, autojunk=max(map(len, between)) > _EXACT_LINES)
    for group in matcher.get_grouped_opcodes(CONTEXT_LINES):
        (_, from_first, _, from_second, _), (_, _, to_first, _, to_second) = group[0], group[-1]
        places = _place(start + from_first, to_first - from_first), _place(start + from_second, to_second - from_second)
        hunk = [f"@@ -{places[0]} +{places[1]} @@"]
        for tag, low, high, second_low, second_high in group:
            if tag == "equal":
                hunk += _signed(" ", between[0][low:high])
                continue
            hunk += _signed("-", between[0][low:high])
            hunk += _signed("+", between[1][second_low:second_high])
        yield hunk


def _in_common(first: Sequence[str], second: Sequence[str]) -> tuple[int, int]:
    """Lines that both begin and end with, but for those that are shown around a change: most of what is compared."""
    least = min(len(first), len(second))
    start = next((n for n in range(least) if first[n] != second[n]), least)
    end = next((n for n in range(least - start) if first[-1 - n] != second[-1 - n]), least - start)
    return max(0, start - CONTEXT_LINES), max(0, end - CONTEXT_LINES)


def _place(start: int, length: int) -> str:
    """As `diff -u` has it: lines count from 1, and an empty range names the line before it."""
    if length == 1:
        return f"{start + 1}"
    return f"{start + 1 if length else start},{length}"


def _signed(sign: str, lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        yield sign + line.removesuffix("\n")
        if not line.endswith("\n"):
            yield NO_NEWLINE
