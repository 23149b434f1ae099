"""Two sides of an API as rows to choose from, and as text to compare. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from apimarket_tui.clean import log_line, one_line
from apimarket_tui.words import Spans, Tone, size

if TYPE_CHECKING:
    from local_server.wire.outbox import ChoiceBody, ConflictView, FieldConflictView, FileConflictView, FileSideView

Side = Literal["mine", "theirs", "base"]
SIDES: tuple[Side, ...] = get_args(Side)
SHOWN_LINES = 2_000
LONGEST_VALUE = 300
_MARKERS: dict[str, tuple[str, Tone]] = {
    "<<<<<<<": ("mine", "ok"),
    "|||||||": ("before both", "dim"),
    "=======": ("theirs", "accent"),
    ">>>>>>>": ("", "text"),
}


@dataclass(frozen=True, slots=True)
class Taken:
    """What stands in the place of both sides."""

    side: Side | None
    """None: it was edited."""
    text: str | None = None
    """The whole file."""
    value: Any = None
    """Of a key of apimarket.toml."""


@dataclass(frozen=True, slots=True)
class ConflictRow:
    """One thing to choose, or one that merges by itself."""

    path: str
    field: str | None = None
    """A key of apimarket.toml."""
    file: "FileConflictView | None" = None
    """None: merges by itself."""
    values: "FieldConflictView | None" = None

    @property
    def key(self) -> str:
        return f"{self.path}#{self.field or ''}"

    @property
    def open(self) -> bool:
        return self.file is not None


def rows_of(conflict: "ConflictView") -> list[ConflictRow]:
    """What must be chosen first."""
    rows: list[ConflictRow] = []
    for file in conflict.files:
        if file.fields:
            rows += [ConflictRow(file.path, one.key, file, one) for one in file.fields]
        else:
            rows.append(ConflictRow(file.path, None, file))
    return rows + [ConflictRow(path) for path in conflict.merged]


def choices_of(chosen: Mapping[str, Taken], rows: list[ConflictRow]) -> "list[ChoiceBody]":
    from local_server.wire.outbox import ChoiceBody

    return [
        ChoiceBody(path=row.path, field=row.field, take=taken.side or "edited", text=taken.text, value=taken.value)
        for row in rows
        if row.open and (taken := chosen.get(row.key)) is not None
    ]


def side_text(row: ConflictRow, side: Side) -> str:
    """One side of a row in a few words."""
    if row.values is not None:
        return value_text(getattr(row.values, side))
    if row.file is None:
        return ""
    found: FileSideView | None = getattr(row.file, side)
    return "not there" if found is None else f"{size(found.size_bytes)}{' executable' if found.mode == 755 else ''}"


def value_text(value: Any) -> str:
    if value is None:
        return "not there"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = str(value)
    return one_line(text)[:LONGEST_VALUE]


def detail_lines(row: ConflictRow, taken: Taken | None = None) -> list[Spans]:
    """Both sides of the row, as far as they can be shown; what was edited in their place."""
    if row.file is None:
        return [[("Merges by itself: the two sides changed different places.", "dim")]]
    if taken is not None and taken.text is not None:
        return [[("── edited ", "dim"), ("─" * 20, "dim")], *_text(taken.text, "text")]
    if row.values is not None and taken is not None and taken.side is None:
        edited: Spans = [(f"{'edited':<13}", "primary"), (value_text(taken.value), "strong")]
        return [edited, *(_labelled(side, side_text(row, side)) for side in SIDES)]
    if row.values is not None:
        return [_labelled(side, side_text(row, side)) for side in SIDES]
    if row.file.other is not None:
        told = f"{one_line(row.path)} of mine and {one_line(row.file.other)} of theirs cannot both be in one directory"
        return [[(told, "warn")]]
    if row.file.draft is not None:
        return _draft(row.file.draft)
    lines = [_labelled(side, side_text(row, side)) for side in SIDES]
    for side in ("mine", "theirs"):
        found: FileSideView | None = getattr(row.file, side)
        if found is not None and found.text is not None:
            lines += [[], _labelled(side, ""), *_text(found.text, "ok" if side == "mine" else "accent")]
    return lines


def _labelled(side: Side, text: str) -> Spans:
    tones: dict[Side, Tone] = {"mine": "ok", "theirs": "accent", "base": "dim"}
    names: dict[Side, str] = {"mine": "mine", "theirs": "theirs", "base": "before both"}
    return [(f"{names[side]:<13}", tones[side]), (text, "text")]


def _draft(draft: str) -> list[Spans]:
    """Both sides in place, each in its tone; the markers become words."""
    lines: list[Spans] = []
    tone: Tone = "text"
    for line in draft.splitlines()[:SHOWN_LINES]:
        marker = line[:7]
        if marker in _MARKERS and (len(line) == 7 or line[7] == " "):
            word, tone = _MARKERS[marker]
            lines.append([(f"── {word} " if word else "──", "dim"), ("─" * 20, "dim")])
        else:
            lines.append([(log_line(line), tone)])
    return lines


def _text(text: str, tone: Tone) -> list[Spans]:
    return [[(log_line(line), tone)] for line in text.splitlines()[:SHOWN_LINES]]
