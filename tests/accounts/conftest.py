"""Accounts and keys over a real store, with a clock that a test sets and hashes that cost little."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from local_server.accounts.attempts import Attempts
from local_server.accounts.keys import Keys
from local_server.accounts.passwords import Passwords
from local_server.accounts.service import Accounts
from local_server.accounts.tokens import Sessions
from local_server.domain.accounts import Caller
from local_server.domain.events import Event
from local_server.domain.keys import ApiKey
from local_server.storage.sqlite import SqliteStorage
from local_server.system import RealSystem
from tests.storage.factories import ALICE, NOON, a_user, add_apis, an_api

KEY = bytes(range(32))
HERE = "192.0.2.7"
BOB = a_user(77, "bob", NOON + timedelta(seconds=1))
OWNER = Caller(ALICE, is_machine=True)
STRANGER = Caller(BOB, is_machine=False)
API = an_api(1, "weather")


class Clock(RealSystem):
    """Wall clock and monotonic one together; both stand still until `forward`."""

    def __init__(self) -> None:
        super().__init__()
        self.at = NOON
        self.monotonic_s = 1000.0

    def now(self) -> datetime:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.monotonic_s += seconds


@dataclass
class Desk:
    storage: SqliteStorage
    clock: Clock
    sessions: Sessions
    accounts: Accounts
    keys: Keys
    published: list[list[ApiKey]] = field(default_factory=list)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """alice owns the machine and the API `weather`; bob is there too."""
    clock = Clock()
    storage = await SqliteStorage.open(tmp_path / "a.db", _ignore)
    await storage.write(lambda tx: (tx.accounts.add(ALICE), tx.accounts.add(BOB)))
    await add_apis(storage, API)
    published: list[list[ApiKey]] = []
    keys = Keys(storage, clock, lambda all_keys: published.append(list(all_keys)))
    sessions = Sessions(KEY, "here", clock)
    attempts = Attempts(clock=lambda: clock.monotonic_s)
    accounts = Accounts(storage, clock, sessions, ALICE, Passwords(rounds=4), attempts)
    yield Desk(storage, clock, sessions, accounts, keys, published)
    accounts.close()
    await keys.close()
    await storage.close()


def _ignore(_event: Event) -> None:
    """These tests are not about events."""
