"""Two sides made one text by hand: what the editor begins with, and when its text can be taken. Pure."""

import json
import tomllib
from typing import TYPE_CHECKING

from apimarket_tui.clean import clean

if TYPE_CHECKING:
    from apimarket_tui.conflict_rows import ConflictRow

BEGIN, BASE, BETWEEN, END = "<<<<<<< mine", "||||||| base", "=======", ">>>>>>> theirs"
"""The lines around two sides in a draft, in this order."""


class NotEditable(ValueError):
    """Why this is not edited here, and what to do instead."""


def text_of(row: "ConflictRow") -> str:
    """What the editor begins with: both sides in place, or a value as JSON. Raises NotEditable."""
    if row.values is not None:
        value = row.values.mine if row.values.mine is not None else row.values.theirs
        return json.dumps(value, ensure_ascii=False, indent=2)
    if row.file is None:
        raise NotEditable("That one merges by itself")
    mine = row.file.mine.text if row.file.mine is not None else None
    text = row.file.draft if row.file.draft is not None else mine
    if row.file.kind not in ("text", "manifest") or text is None:
        raise NotEditable("It is no text that can be shown: take a side, and edit the file afterwards")
    text = text.replace("\r\n", "\n")
    if clean(text) != text:
        raise NotEditable("It has characters that cannot be shown: take a side, and edit the file afterwards")
    return text


def with_its_breaks(row: "ConflictRow", edited: str) -> str:
    """`edited`, with lines that end as the file's do."""
    draft = (row.file.draft or "") if row.file is not None else ""
    kept = [line for line in draft.split("\n")[:-1] if line not in (BEGIN, BASE, BETWEEN, END)]
    if row.values is None and kept and all(line.endswith("\r") for line in kept):
        return edited.replace("\n", "\r\n")
    return edited


def next_place(text: str, after: int) -> int | None:
    """The line where the next two sides begin, round again from the first; None: there are none left."""
    found = [number for number, line in enumerate(text.split("\n")) if line == BEGIN]
    return next((number for number in found if number > after), found[0] if found else None)


def why_not(row: "ConflictRow", text: str) -> str:
    """Why `text` cannot take the place of both sides yet; nothing where it can."""
    if row.values is not None:
        try:
            json.loads(text)
        except (ValueError, RecursionError) as error:
            return f'That is no value ({error}). Write it as JSON: "text", 12, true or ["a", "b"]'
        return ""
    lines = text.split("\n")
    marked = next((number for number, line in enumerate(lines, 1) if line in (BEGIN, BASE, END)), None)
    if marked is None and lines.count(BETWEEN) > _own_rules(row):
        marked = lines.index(BETWEEN) + 1
    if marked is not None:
        return f"Line {marked} still marks two sides: leave what should stand, and take the marks out"
    return _syntax(row.path, text)


def _own_rules(row: "ConflictRow") -> int:
    """Lines of the file itself that look like the mark between two sides, as below a heading of Markdown."""
    lines = ((row.file.draft or "") if row.file is not None else "").split("\n")
    return lines.count(BETWEEN) - lines.count(BEGIN)


def _syntax(path: str, text: str) -> str:
    try:
        if path.endswith(".json"):
            json.loads(text)
        elif path.endswith(".toml"):
            tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        return f"{path} could not be read: {error}"
    return ""
