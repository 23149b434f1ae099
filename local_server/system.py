"""The machine's clock and its source of randomness: passed to services, so that tests can pass others."""

import os
import time
from datetime import UTC, datetime
from typing import Protocol

from local_server.domain.ids import uuid7


class System(Protocol):
    """Where a service gets the time and new identifiers from."""

    def now(self) -> datetime:
        """The time, aware, in UTC."""

    def new_id(self) -> str:
        """A new UUIDv7."""


class RealSystem:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def new_id(self) -> str:
        return uuid7(time.time_ns() // 1_000_000, os.urandom(10))
