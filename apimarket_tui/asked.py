"""What a question to a server came to: the answer from before, at once and with its age, until a newer one comes."""

from collections.abc import Callable
from datetime import datetime
from typing import Generic, TypeVar, cast

from textual.content import Content

from apimarket_tui.backend import Trouble
from apimarket_tui.clean import one_line
from apimarket_tui.kept import Kept
from apimarket_tui.words import ago

Found = TypeVar("Found")


class Asked(Generic[Found]):
    """One question. Begins with what is kept under its key; every answer is kept there too."""

    def __init__(self, kept: Kept, key: tuple[str, ...], clock: Callable[[], datetime]) -> None:
        self._kept, self._key, self._clock = kept, key, clock
        before = kept.get(key, object)
        self.found: Found | None = cast("Found", before[0]) if before is not None else None
        self.at: datetime | None = before[1] if before is not None else None
        """When it came."""
        self.trouble: Trouble | None = None
        """Why there is no newer one."""

    def take(self, answer: Found | Trouble) -> bool:
        """Whether there is something new to show; a trouble leaves what is there."""
        if isinstance(answer, Trouble):
            self.trouble = answer
            return False
        self.found, self.at, self.trouble = self._kept.put(self._key, answer), self._clock(), None
        return True

    def age(self) -> Content:
        """`as of 3s ago`, and in front of it why nothing newer came."""
        told = f"as of {ago(self.at, self._clock())}" if self.at is not None else ""
        if self.trouble is not None:
            why = "offline" if self.trouble.unreachable else one_line(self.trouble.detail)
            return Content.styled(f"✗ {why}: {told}" if told else "", "$warning")
        return Content.styled(told or "asking…", "$dim")
