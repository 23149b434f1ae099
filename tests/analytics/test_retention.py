"""Pruning, over real storage."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from local_server.analytics import retention
from local_server.analytics.retention import Keep, keep_pruning, prune
from local_server.domain.usage import Step
from local_server.storage.base import ReadTx, Storage, Tx
from local_server.storage.sqlite import SqliteStorage
from tests.storage.factories import ALICE, NOON, add_apis, an_api, an_execution

T = TypeVar("T")
API = an_api(1)
KEEP = Keep(executions=30, minutes=2, hours=60)


class AtNoon:
    def now(self) -> datetime:
        return NOON

    def new_id(self) -> str:
        raise AssertionError("nothing is made here")


class Counting:
    """Storage that notes what each write returned."""

    def __init__(self, inner: Storage) -> None:
        self.inner = inner
        self.read = inner.read
        self.keep_house = inner.keep_house
        self.results: list[object] = []

    async def write(self, act: Callable[[Tx], T]) -> T:
        result = await self.inner.write(act)
        self.results.append(result)
        return result


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Counting]:
    inner = await SqliteStorage.open(tmp_path / "a.db", lambda event: None)
    await inner.write(lambda tx: tx.accounts.add(ALICE))
    await add_apis(inner, API)
    rows = [an_execution(API, day, started_at=NOON - timedelta(days=day, hours=1)) for day in range(100)]
    await inner.write(lambda tx: tx.usage.add(rows))
    yield Counting(inner)
    await inner.close()


async def kept(storage: Counting) -> list[int]:
    """Requests, then minutes, hours and days."""

    def question(tx: ReadTx) -> list[int]:
        steps = [tx.usage.rollups(API.id, step, NOON - timedelta(days=1000)) for step in Step]
        return [len(tx.usage.history(API.id, 1000)), *map(len, steps)]

    return await storage.read(question)


class TestKeepPruning:
    async def test_prunes_soon_and_again(self, storage: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(retention, "FIRST_S", 0.001)
        monkeypatch.setattr(retention, "EVERY_S", 0.001)
        pruning = asyncio.create_task(keep_pruning(storage, AtNoon(), KEEP))  # type: ignore[arg-type]
        async with asyncio.timeout(10):
            while len(storage.results) < 6:
                await asyncio.sleep(0.001)
        pruning.cancel()
        await asyncio.gather(pruning, return_exceptions=True)
        assert storage.results[:6] == [70, 98, 40, 0, 0, 0]
        assert await kept(storage) == [30, 2, 60, 100]


class TestPrune:
    async def test_keeps_each_for_its_time_and_days_for_ever(self, storage: Counting) -> None:
        assert await kept(storage) == [100, 100, 100, 100]
        deleted = await prune(storage, AtNoon(), KEEP)  # type: ignore[arg-type]
        assert await kept(storage) == [30, 2, 60, 100]
        assert deleted == 70 + 98 + 40

    async def test_works_in_pieces(self, storage: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(retention, "PIECE", 25)
        await prune(storage, AtNoon(), KEEP)  # type: ignore[arg-type]
        assert storage.results == [25, 25, 20, 25, 25, 25, 23, 25, 15, 0]
        assert await kept(storage) == [30, 2, 60, 100]

    async def test_with_nothing_old_is_over_at_once(self, storage: Counting) -> None:
        await prune(storage, AtNoon(), Keep(1000, 1000, 1000))  # type: ignore[arg-type]
        assert storage.results == [0, 0, 0, 0]
