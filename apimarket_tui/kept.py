"""Answers of the server, kept to be shown at once the next time, with their age."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple, TypeVar, cast

MOST = 200
"""Answers; the ones that were put first go first."""

T = TypeVar("T")


class Aged(NamedTuple):
    value: Any
    at: datetime


class Kept:
    """By any key; whoever asks knows what kind of answer stands under it."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._answers: dict[tuple[str, ...], Aged] = {}

    def put(self, key: tuple[str, ...], value: T) -> T:
        self._answers.pop(key, None)
        self._answers[key] = Aged(value, self._clock())
        if len(self._answers) > MOST:
            del self._answers[next(iter(self._answers))]
        return value

    def get(self, key: tuple[str, ...], kind: type[T]) -> tuple[T, datetime] | None:
        """The answer and when it came."""
        aged = self._answers.get(key)
        return None if aged is None else (cast("T", aged.value), aged.at)
