"""The request log, over real storage; faults are put between the two."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from local_server.analytics import service
from local_server.analytics.service import AccessLog
from local_server.domain.executions import Execution
from local_server.domain.storage_errors import StorageFull
from local_server.domain.usage import Step
from local_server.storage.base import Storage, Tx
from local_server.storage.sqlite import SqliteStorage
from tests.storage.factories import ALICE, NOON, add_apis, an_api, an_execution

T = TypeVar("T")
API = an_api(1)


class Faulty:
    """Storage whose writes fail while `trouble` is set, before or after their commit."""

    def __init__(self, inner: Storage) -> None:
        self.inner = inner
        self.trouble: Exception | None = None
        self.after_commit = False
        self.batches: list[int] = []
        self.written = asyncio.Event()
        self.failed = asyncio.Event()
        self.read = inner.read

    async def write(self, act: Callable[[Tx], T]) -> T:
        if self.trouble and not self.after_commit:
            self.failed.set()
            raise self.trouble
        before = await self.count()
        result = await self.inner.write(act)
        self.batches.append(await self.count() - before)
        if self.trouble:
            self.failed.set()
            raise self.trouble
        self.written.set()
        return result

    async def rolled_up(self, step: Step) -> int:
        rollups = await self.inner.read(lambda tx: tx.usage.rollups(API.id, step, NOON - step.length))
        return sum(rollup.tally.requests for rollup in rollups)

    async def count(self) -> int:
        return len(await self.inner.read(lambda tx: tx.usage.history(API.id, 1_000_000)))


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Faulty]:
    inner = await SqliteStorage.open(tmp_path / "a.db", lambda event: None)
    await inner.write(lambda tx: tx.accounts.add(ALICE))
    await add_apis(inner, API)
    yield Faulty(inner)
    await inner.close()


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(service, "LONGEST_PAUSE_S", 0.005)


class Running:
    """`run` as a task for the length of a block."""

    def __init__(self, log: AccessLog) -> None:
        self._log = log

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._log.run())

    async def __aexit__(self, *_: object) -> None:
        assert not self._task.done(), self._task
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def a_log(storage: Faulty, capacity: int = 10_000, flush_s: float = 0.01) -> AccessLog:
    return AccessLog(storage, capacity, flush_s)  # type: ignore[arg-type]


def offer(log: AccessLog, numbers: range) -> None:
    log.offer([an_execution(API, number, after_s=number) for number in numbers])


class TestRun:
    async def test_stores_a_lone_row_soon(self, storage: Faulty) -> None:
        log = a_log(storage)
        async with Running(log):
            offer(log, range(1))
            await asyncio.wait_for(storage.written.wait(), 5)
        assert [row.id for row in await log.history(API.id)] == [an_execution(API, 0).id]

    async def test_a_full_batch_does_not_wait_for_the_clock(self, storage: Faulty) -> None:
        log = a_log(storage, flush_s=3600)
        async with Running(log):
            offer(log, range(service.BATCH))
            await asyncio.wait_for(storage.written.wait(), 5)
        assert storage.batches == [service.BATCH]

    async def test_writes_in_batches(self, storage: Faulty) -> None:
        log = a_log(storage)
        offer(log, range(2500))
        await log.close()
        assert storage.batches == [1000, 1000, 500]
        assert log.dropped == 0

    async def test_pages_through_what_it_stored(self, storage: Faulty) -> None:
        log = a_log(storage)
        offer(log, range(10))
        await log.close()
        page = await log.history(API.id, limit=4)
        rest = await log.history(API.id, before=page[-1].id)
        assert [row.id for row in (*page, *rest)] == [an_execution(API, number).id for number in range(9, -1, -1)]


class TestOverflow:
    async def test_never_blocks_and_counts_what_it_drops(self, storage: Faulty) -> None:
        log = a_log(storage, capacity=100)
        offer(log, range(150))
        assert log.dropped == 50
        await log.close()
        assert await storage.count() == 100
        assert log.dropped == 50


class TestTrouble:
    async def test_a_full_disk_keeps_the_rows_until_there_is_room(self, storage: Faulty) -> None:
        log = a_log(storage)
        storage.trouble = StorageFull("/data")
        async with Running(log):
            offer(log, range(1500))
            for _ in range(service.TRIES + 5):  # it never gives up on a full disk
                storage.failed.clear()
                await asyncio.wait_for(storage.failed.wait(), 5)
            assert log.dropped == 0
            storage.trouble = None
            offer(log, range(1500, 1600))
            while await storage.count() < 1600:
                storage.written.clear()
                await asyncio.wait_for(storage.written.wait(), 5)
        assert log.dropped == 0

    async def test_rows_whose_commit_was_not_acknowledged_are_sent_again_and_counted_once(
        self, storage: Faulty
    ) -> None:
        log = a_log(storage)
        storage.trouble, storage.after_commit = OSError("gone"), True
        async with Running(log):
            offer(log, range(10))
            await asyncio.wait_for(storage.failed.wait(), 5)
            storage.trouble = None
            await asyncio.wait_for(storage.written.wait(), 5)
        assert await storage.count() == 10
        for step in Step:
            assert await storage.rolled_up(step) == 10
        assert log.dropped == 0

    async def test_rows_that_can_never_be_stored_make_room_for_others(self, storage: Faulty) -> None:
        log = a_log(storage)
        storage.trouble = ValueError("poison")
        async with Running(log):
            offer(log, range(10))
            while not log.dropped:
                storage.failed.clear()
                await asyncio.wait_for(storage.failed.wait(), 5)
            storage.trouble = None
            offer(log, range(10, 20))
            await asyncio.wait_for(storage.written.wait(), 5)
        assert log.dropped == 10
        assert await storage.count() == 10


class TestClose:
    async def test_stores_what_waits_and_may_be_called_twice(self, storage: Faulty) -> None:
        log = a_log(storage)
        offer(log, range(10))
        await log.close()
        await log.close()
        assert await storage.count() == 10

    async def test_after_run_was_cut_off_in_the_middle_nothing_is_lost_or_doubled(self, storage: Faulty) -> None:
        log = a_log(storage)
        async with Running(log):
            offer(log, range(5000))
            await asyncio.wait_for(storage.written.wait(), 5)
        await log.close()
        assert await storage.count() == 5000

    async def test_counts_what_cannot_be_stored_any_more(self, storage: Faulty) -> None:
        log = a_log(storage)
        storage.trouble = StorageFull("/data")
        offer(log, range(10))
        await log.close()
        assert log.dropped == 10


class TestListeners:
    async def test_hear_every_row_once_though_the_disk_is_full_and_another_fails(self, storage: Faulty) -> None:
        log = a_log(storage)
        heard: list[Execution] = []
        enough = asyncio.Event()

        async def fails(rows: Sequence[Execution]) -> None:
            raise ZeroDivisionError

        async def listens(rows: Sequence[Execution]) -> None:
            heard.extend(rows)
            if len(heard) >= 20:
                enough.set()

        log.listeners += [fails, listens]
        storage.trouble = StorageFull("/data")
        async with Running(log):
            offer(log, range(10))
            await asyncio.wait_for(storage.failed.wait(), 5)
            offer(log, range(10, 20))
            await asyncio.wait_for(enough.wait(), 5)
            storage.trouble = None
            await asyncio.wait_for(storage.written.wait(), 5)
        await log.close()
        assert [row.id for row in heard] == [an_execution(API, number).id for number in range(20)]
