"""The machine's clock and its source of randomness: passed to services, so that tests can pass others."""

import os
import time
from datetime import UTC, datetime
from typing import Protocol

from local_server.domain.ids import uuid7

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
        self._random: list[bytes] = []

    def now(self) -> datetime:
        return datetime.now(UTC)

    def new_id(self) -> str:
        try:
            random = self._random.pop()  # in one step, whoever else does
        except IndexError:
            # Every request takes one: a call of the kernel for each would cost more than all the rest of it.
            fresh = os.urandom(_AT_ONCE * 10)
            random, *rest = (fresh[at : at + 10] for at in range(0, len(fresh), 10))
            self._random += rest
        return uuid7(time.time_ns() // 1_000_000, random)
