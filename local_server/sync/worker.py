"""Empties the outbox: one version at a time for each API and marketplace, in order, until everything is done."""

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from local_server.client.errors import ApimarketClientError
from local_server.domain.errors import ApimarketError
from local_server.domain.events import Event, OutboxChanged
from local_server.domain.ids import ApiId, OpId
from local_server.domain.outbox import LONGEST_WAIT_S, UNFINISHED, Outgoing, Trouble, wait_s
from local_server.storage.base import ReadTx, Storage, Tx
from local_server.storage.blobs import BlobStore
from local_server.sync.marketplaces import Marketplaces, told
from local_server.sync.push import Push
from local_server.system import System

logger = logging.getLogger("apimarket.sync")

IDLE_S = 60.0
PROGRESS_S = 0.1
Lane = tuple[ApiId, str]
"""Of one API to one marketplace."""


class Worker:
    def __init__(
        self,
        storage: Storage,
        blobs: BlobStore,
        system: System,
        markets: Marketplaces,
        publish: Callable[[Event], None],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._storage = storage
        self._blobs = blobs
        self._system = system
        self._markets = markets
        self._publish = publish
        self._chance = chance
        self._wake = asyncio.Event()
        self._running: dict[Lane, asyncio.Task[None]] = {}
        self.progress: dict[OpId, Outgoing] = {}
        """How far those that are being sent have come, between two times that it is written down."""
        self._told_at = 0.0

    def wake(self) -> None:
        """Something new is to be done, or what stood in the way may be gone."""
        self._wake.set()

    async def run(self) -> None:
        """Never returns."""
        try:
            while True:
                self._wake.clear()
                delay_s = await self.begin()
                try:
                    await asyncio.wait_for(self._wake.wait(), delay_s)
                except TimeoutError:
                    continue
        finally:
            await self._end()

    async def begin(self) -> float:
        """Begin whatever is due; returns after how many seconds something else is."""
        now = self._system.now()
        delay_s = IDLE_S
        for entry in await self._storage.read(_firsts):
            lane = (entry.api_id, entry.remote)
            if lane in self._running:
                continue
            left_s = _left_s(entry, now)
            if left_s > 0:
                delay_s = min(delay_s, left_s)
                continue
            task = asyncio.create_task(self._attempt(entry), name=f"outbox:{entry.op}")
            self._running[lane] = task
            task.add_done_callback(partial(self._ended, lane))
        return delay_s

    async def settle(self) -> None:
        """Wait for what is under way now."""
        while self._running:
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def interrupt(self, entry: Outgoing) -> None:
        """Break off its attempt, if one is under way."""
        task = self._running.get((entry.api_id, entry.remote))
        if task is not None and task.get_name() == f"outbox:{entry.op}":
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _attempt(self, entry: Outgoing) -> None:
        try:
            async with self._markets.visit(entry.remote) as (client, _):
                push = Push(self._storage, self._blobs, self._system, client, self._markets.public_key, self._moved)
                await push.attempt(entry)
        except (ApimarketClientError, ApimarketError) as error:
            await self._delay(entry.op, told(error))
        except Exception as error:
            logger.exception("publishing %s %s failed", entry.name, entry.semver)
            await self._delay(entry.op, Trouble("internal", f"{type(error).__name__}: {error}"))
        finally:
            self.progress.pop(entry.op, None)

    async def _delay(self, op: OpId, trouble: Trouble) -> None:
        now = self._system.now()
        chance = self._chance()

        def act(tx: Tx) -> None:
            entry = tx.outbox.get(op)
            if entry is not None and entry.state in UNFINISHED:
                pause = timedelta(seconds=wait_s(entry.attempts + 1, chance))
                tx.outbox.save(entry.delayed(trouble, now, now + pause))
                tx.emit(OutboxChanged(entry.api_id, op))

        await self._storage.write(act)

    def _moved(self, entry: Outgoing) -> None:
        self.progress[entry.op] = entry
        now = asyncio.get_running_loop().time()
        if now - self._told_at >= PROGRESS_S:
            self._told_at = now
            self._publish(OutboxChanged(entry.api_id, entry.op))

    def _ended(self, lane: Lane, _: "asyncio.Task[None]") -> None:
        self._running.pop(lane, None)
        self.wake()

    async def _end(self) -> None:
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)


def _firsts(tx: ReadTx) -> list[Outgoing]:
    """Of each lane the oldest that is not finished, if it can go on by itself: what was made upon it waits for it."""
    firsts: dict[Lane, Outgoing] = {}
    for entry in tx.outbox.unfinished():
        lane = (entry.api_id, entry.remote)
        if lane not in firsts:
            firsts[lane] = tx.outbox.pending(*lane)[0]
    return [entry for entry in firsts.values() if entry.state in UNFINISHED]


def _left_s(entry: Outgoing, now: datetime) -> float:
    """Until it is due. A clock that was set back does not hold it up for longer than any pause is."""
    if entry.next_at is None:
        return 0.0
    left_s = (entry.next_at - now).total_seconds()
    return left_s if left_s <= LONGEST_WAIT_S else 0.0
