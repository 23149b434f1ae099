"""Three-way merge of text, line by line (diff3: Khanna, Kunal, Pierce, "A Formal Investigation of Diff3", 2007).

Both sides are compared with the base; where all three agree the text is stable, and between two stable places whichever
side left the base alone gives way to the other. Where both changed the same place differently there is a conflict:
neighbouring changes with no line between them count as the same place, as in git.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

MAX_LINES = 20_000
"""Longer texts are not compared: the time grows with the square of what repeats in them."""


@dataclass(frozen=True, slots=True)
class Clash:
    """Lines that both sides changed differently."""

    base: tuple[str, ...]
    mine: tuple[str, ...]
    theirs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MergedText:
    parts: tuple[str | Clash, ...]
    """In order: text that is settled, and the places that are not."""

    @property
    def clashes(self) -> tuple[Clash, ...]:
        return tuple(part for part in self.parts if isinstance(part, Clash))

    @property
    def text(self) -> str:
        """All of it; a clash stands between markers, as editors know them from git."""
        return "".join(part if isinstance(part, str) else _marked(part) for part in self.parts)


def merge_text(base: str, mine: str, theirs: str) -> MergedText | None:
    """None when a text is too long to be compared."""
    sides = [_lines(text) for text in (base, mine, theirs)]
    if max(len(side) for side in sides) > MAX_LINES:
        return None
    parts: list[str | Clash] = []
    settled: list[str] = []
    for merged in _regions(*sides):
        if isinstance(merged, Clash):
            if settled:
                parts.append("".join(settled))
                settled = []
            parts.append(merged)
        else:
            settled += merged
    if settled:
        parts.append("".join(settled))
    return MergedText(tuple(parts))


def _lines(text: str) -> list[str]:
    """With their ends; only a line feed ends one, as in every tool that counts lines."""
    lines = text.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def _regions(base: Sequence[str], mine: Sequence[str], theirs: Sequence[str]) -> Iterator[list[str] | Clash]:
    at_base = at_mine = at_theirs = 0
    for start, in_mine, in_theirs, length in _stable(base, mine, theirs):
        yield _settled(base[at_base:start], mine[at_mine:in_mine], theirs[at_theirs:in_theirs])
        yield list(base[start : start + length])
        at_base, at_mine, at_theirs = start + length, in_mine + length, in_theirs + length


def _settled(base: Sequence[str], mine: Sequence[str], theirs: Sequence[str]) -> list[str] | Clash:
    if mine == theirs or theirs == base:
        return list(mine)
    if mine == base:
        return list(theirs)
    return Clash(tuple(base), tuple(mine), tuple(theirs))


def _stable(base: Sequence[str], mine: Sequence[str], theirs: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    """(place in base, in mine, in theirs, lines) where all three are the same, in order; at last their ends."""
    with_mine, with_theirs = _matches(base, mine), _matches(base, theirs)
    i = j = 0
    while i < len(with_mine) and j < len(with_theirs):
        base_m, place_m, size_m = with_mine[i]
        base_t, place_t, size_t = with_theirs[j]
        start, end = max(base_m, base_t), min(base_m + size_m, base_t + size_t)
        if start < end:
            yield start, place_m + start - base_m, place_t + start - base_t, end - start
        if base_m + size_m < base_t + size_t:
            i += 1
        else:
            j += 1
    yield len(base), len(mine), len(theirs), 0


def _matches(base: Sequence[str], side: Sequence[str]) -> list[tuple[int, int, int]]:
    if base == side:
        return [(0, 0, len(base))]
    # autojunk would take lines that repeat, of which code has many, for noise.
    return [
        (match.a, match.b, match.size)
        for match in SequenceMatcher(None, base, side, autojunk=False).get_matching_blocks()
    ]


def _marked(clash: Clash) -> str:
    def closed(lines: Sequence[str]) -> str:
        text = "".join(lines)
        return text if not text or text.endswith("\n") else f"{text}\n"

    return (
        f"<<<<<<< mine\n{closed(clash.mine)}||||||| base\n{closed(clash.base)}"
        f"=======\n{closed(clash.theirs)}>>>>>>> theirs\n"
    )
