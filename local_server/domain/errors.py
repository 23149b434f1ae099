"""What every refusal of the product is. Each stands in the `*_errors.py` of its room.

An error carries the data it is about and builds its own message from it. `status` (HTTP), `code` (stable, for
programs) and `hint` (what to do next, for people) stand there and nowhere else; routes, CLI and TUI only show them.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class ApimarketError(Exception):
    """Base of every expected error. `extra` holds what a program may want beside the message (JSON values only)."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong inside apimarket"

    def __init__(self, detail: str, *, hint: str = "", extra: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.extra: Mapping[str, Any] = extra or {}
