"""Standings follow what was measured, and age."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from local_server.domain.executions import CallOutcome
from local_server.domain.ids import ApiId
from local_server.events.bus import Bus
from local_server.marketplace.listings import Listings
from local_server.marketplace.upkeep import Upkeep
from local_server.storage.base import Storage
from local_server.storage.sqlite import SqliteStorage
from tests.contracts.test_storage_market import a_listing, listed
from tests.storage.factories import ALICE, NOON, an_api, an_execution, an_id


class Clock:
    at = NOON

    def now(self) -> datetime:
        return self.at

    def new_id(self) -> str:
        return an_id(1)


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    opened = await SqliteStorage.open(tmp_path / "registry.db", lambda event: None)
    await opened.write(lambda tx: tx.accounts.add(ALICE))
    await listed(opened, a_listing(1), a_listing(2))
    yield opened
    await opened.close()


class TestMeasuring:
    async def test_a_standing_is_what_thirty_days_of_calls_say(self, storage: Storage) -> None:
        clock, api = Clock(), an_api(1)
        upkeep = Upkeep(storage, clock, Bus(), Listings(clock, lambda name, size: b""), None)  # type: ignore[arg-type]
        outcomes = [CallOutcome.OK] * 7 + [CallOutcome.UPSTREAM_FAILED, CallOutcome.REFUSED]
        rows = [an_execution(api, number, outcome=outcome) for number, outcome in enumerate(outcomes, start=1)]
        await storage.write(lambda tx: tx.usage.add(rows))
        assert await upkeep.measure() == 1
        card = await storage.read(lambda tx: tx.catalogue.card(ApiId(an_id(1))))
        assert card is not None
        assert (card.standing.requests, card.standing.faults) == (8, 1)
        assert card.standing.success_rate == 7 / 8
        assert card.standing.p95_us is not None
        assert await upkeep.measure() == 0  # nothing new
        clock.at = NOON + timedelta(days=40)
        assert await upkeep.measure() == 2  # forgotten, and older
        card = await storage.read(lambda tx: tx.catalogue.card(ApiId(an_id(1))))
        assert card is not None
        assert (card.standing.requests, card.standing.p95_us) == (0, None)

    async def test_age_alone_moves_a_listing_now_and_then(self, storage: Storage) -> None:
        clock = Clock()
        upkeep = Upkeep(storage, clock, Bus(), Listings(clock, lambda name, size: b""), None)  # type: ignore[arg-type]
        told = []
        for day in range(60):
            clock.at = NOON + timedelta(days=day)
            if await upkeep.measure():
                told.append(day)
        assert told == [14, 29, 44]
