"""The machine's clock and its source of randomness: passed to services, so that tests can pass others."""

import os
import time
from datetime import UTC, datetime
from typing import Protocol

from local_server.domain.ids import uuid7_end, uuid7_start

_AT_ONCE = 256


class System(Protocol):
    """Where a service gets the time and new identifiers from."""

    def now(self) -> datetime:
        """The time, aware, in UTC."""

    def new_id(self) -> str:
        """A new UUIDv7."""


class RealSystem:
    """May be used on several threads."""

    def __init__(self) -> None:
        self._start = (0, "")
        """A millisecond, and what its ids begin with."""
        self._ends: list[str] = []

    def now(self) -> datetime:
        return datetime.now(UTC)

    def new_id(self) -> str:
        # Every request takes one. What ids have in common is made once for a millisecond, and randomness comes for many
        # at once: a call of the kernel for each would cost more than all the rest of it.
        unix_ms = time.time_ns() // 1_000_000
        known_ms, start = self._start
        if known_ms != unix_ms:
            start = uuid7_start(unix_ms)
            self._start = unix_ms, start
        try:
            return start + self._ends.pop()  # in one step, whoever else does
        except IndexError:
            random = os.urandom(_AT_ONCE * 10).hex()
            end, *ends = (uuid7_end(random[at : at + 20]) for at in range(0, len(random), 20))
            self._ends += ends
            return start + end
