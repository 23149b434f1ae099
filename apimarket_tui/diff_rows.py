"""How two states of an API's files differ: the files as rows, and the lines of one of them. Pure."""

import re
from typing import TYPE_CHECKING

from textual.content import Content

from apimarket_tui.clean import log_line, one_line
from apimarket_tui.widgets.table import Column
from apimarket_tui.words import Condition, Spans, Tone, size

if TYPE_CHECKING:
    from local_server.wire.versions import FileDifferenceView, TreeDifferenceView

COLUMNS = (
    Column("change", "CHANGE", 9, 9),
    Column("path", "FILE", 20, 200),
    Column("added", "+", 6, 7, right=True),
    Column("removed", "-", 6, 7, right=True),
    Column("size", "SIZE", 16, 20, right=True, rank=1),
)
CHANGES = {
    "added": Condition("+", "added", "ok"),
    "removed": Condition("-", "removed", "bad"),
    "renamed": Condition("→", "renamed", "accent"),
    "changed": Condition("~", "changed", "warn"),
    "mode": Condition("~", "mode", "dim"),
}
_SIGNS: dict[str, Tone] = {"+": "ok", "-": "bad", " ": "text", "\\": "dim"}
_HUNK = re.compile(r"@@ -(\d{1,9})(?:,\d+)? \+(\d{1,9})(?:,\d+)? @@", re.ASCII)
_RETURN = "^M"
"""Stands for a carriage return at the end of a line, so that lines that differ in nothing else do not look alike."""


def heading(found: "TreeDifferenceView") -> Content:
    """From which state to which, and how much of it."""
    added, removed = (sum(getattr(file, of) or 0 for file in found.files) for of in ("added", "removed"))
    number = len(found.files) + found.more
    told = "no file differs" if not number else f"{number:,} file{'' if number == 1 else 's'}"
    return Content.assemble(
        (one_line(found.first.name), "bold $foreground"),
        (" → ", "$dim"),
        (one_line(found.second.name), "bold $foreground"),
        (f"   {told}", "$dim"),
        (f"  +{added:,}" if number else "", "$success"),
        (f"  -{removed:,}" if number else "", "$error"),
    )


def cell_of(file: "FileDifferenceView", column: str) -> Spans:
    match column:
        case "change":
            change = CHANGES.get(file.change) or Condition("?", one_line(file.change), "dim")
            return [(change.text, change.tone)]
        case "path":
            before: Spans = [(f"{one_line(file.path_before)} → ", "dim")] if file.path_before is not None else []
            return [*before, (one_line(file.path), "strong")]
        case "added":
            return [(f"+{file.added:,}", "ok")] if file.added else []
        case "removed":
            return [(f"-{file.removed:,}", "bad")] if file.removed else []
        case _:
            return [(_sizes(file), "dim")]


def lines_of(file: "FileDifferenceView") -> list[Spans]:
    """Each with its number: of a line that is gone, the one it had."""
    if file.change == "mode":
        return [[(f"Only its mode changed: {file.mode_before} is now {file.mode_after}", "dim")]]
    if file.change == "renamed":
        return [[(f"It was {one_line(file.path_before or '')}; not a byte of it changed", "dim")]]
    if file.added is None:
        return [[(_not_compared(file), "dim")]]
    lines = _numbered(file.lines)
    if not file.complete:
        lines += [[], [("… there is more of it: ", "warn"), ("a", "primary"), (" shows all", "warn")]]
    return lines or [[("It is empty", "dim")]]


def _not_compared(file: "FileDifferenceView") -> str:
    sizes = _sizes(file)
    if file.kind == "binary":
        return f"It is no text: {sizes}"
    if file.kind == "large":
        return f"It is too large to be compared line by line: {sizes}"
    return f"It was not compared line by line, for want of room: {sizes}"


def _sizes(file: "FileDifferenceView") -> str:
    """One number where there is one: of a file that is new or gone, and of one that is as long as it was."""
    sizes = dict.fromkeys(size(one) for one in (file.size_before, file.size_after) if one is not None)
    return " → ".join(sizes)


def _numbered(lines: list[str]) -> list[Spans]:
    shown: list[Spans] = []
    old = new = 0
    for line in lines:
        if (head := _HUNK.fullmatch(line)) is not None:
            old, new = int(head[1]), int(head[2])
            shown.append([(line, "accent")])
            continue
        sign, text = line[:1], line[1:]
        number = {"-": f"{old}", "+": f"{new}", " ": f"{new}"}.get(sign, "")
        old, new = old + (sign in ("-", " ")), new + (sign in ("+", " "))
        ended = f"{text[:-1]}{_RETURN}" if text.endswith("\r") else text
        tone = _SIGNS.get(sign, "dim")
        shown.append([(f"{number:>5} ", "dim"), (f"{sign} ", tone), (log_line(ended), tone)])
    return shown
