"""What a person may answer to a conflict, and the one rule of three-way merging."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Side(StrEnum):
    MINE = "mine"
    THEIRS = "theirs"
    BASE = "base"


@dataclass(frozen=True, slots=True)
class Edited:
    """Something else than either side: bytes of a file, or the value of a key."""

    value: Any


def merge_value(base: Any, mine: Any, theirs: Any, choice: Side | Edited | None) -> tuple[Any, bool]:
    """(value, whether it is settled): what only one side changed wins, else what was chosen."""
    if mine == theirs or theirs == base:
        return mine, True
    if mine == base:
        return theirs, True
    if isinstance(choice, Edited):
        return choice.value, True
    if choice is None:
        return None, False
    return {Side.MINE: mine, Side.THEIRS: theirs, Side.BASE: base}[choice], True
