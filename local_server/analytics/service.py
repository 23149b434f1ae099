"""The request log: takes rows from the gateway without ever making it wait, and stores them in batches."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice

from local_server.domain.executions import Execution
from local_server.domain.ids import ApiId
from local_server.domain.storage_errors import StorageFull
from local_server.storage.base import Storage, Tx

logger = logging.getLogger(__name__)

CAPACITY = 10_000
BATCH = 1_000
FLUSH_S = 0.25
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
TRIES = 8
"""How often one batch is tried that fails for another reason than a full disk: about a minute."""

Listener = Callable[[Sequence[Execution]], Awaitable[None]]


class AccessLog:
    """Fails open: with the disk full, requests go on being served, `capacity` rows wait in memory, and what finds
    no room is counted in `dropped`. Use on one event loop."""

    def __init__(self, storage: Storage, capacity: int = CAPACITY, flush_s: float = FLUSH_S) -> None:
        self._storage = storage
        self._capacity = capacity
        self._flush_s = flush_s
        self.listeners: list[Listener] = []
        """Each is handed every row once, in batches, within `flush_s`, whether or not it can be stored just then."""
        self.dropped = 0
        self._waiting: deque[Execution] = deque()
        self._unheard: list[Execution] = []
        self._some = asyncio.Event()
        self._many = asyncio.Event()
        self._writing = asyncio.Lock()
        self._failures = 0
        self._not_before = 0.0

    def offer(self, executions: Sequence[Execution]) -> None:
        """Take rows, and count as dropped what finds no room. Never blocks; from the event loop's thread."""
        heard = self._capacity - len(self._unheard)
        self._unheard += executions[:heard]
        room = self._capacity - len(self._waiting)
        self._waiting += executions[:room]
        self.dropped += max(len(executions) - room, 0)
        self._some.set()
        if len(self._unheard) >= BATCH:
            self._many.set()

    async def run(self) -> None:
        """Flush every quarter of a second, or as soon as a batch is full. Never returns."""
        while True:
            await self._some.wait()
            with suppress(TimeoutError):  # a small batch, then
                async with asyncio.timeout(self._flush_s):
                    await self._many.wait()
            self._many.clear()
            await self._tell()
            await self._store(leaving=BATCH - 1)
            if not self._waiting and not self._unheard:
                self._some.clear()

    async def history(self, api_id: ApiId, limit: int = 100, before: str | None = None) -> Sequence[Execution]:
        """Stored rows, newest first; `before` is the id of the last row seen."""
        return await self._storage.read(lambda tx: tx.usage.history(api_id, limit, before))

    async def close(self) -> None:
        """Store what waits, trying once; what cannot be stored now counts as dropped. End `run` first. May be called
        twice."""
        await self._tell()
        self._not_before = 0.0
        await self._store()
        if self._waiting:
            self.dropped += len(self._waiting)
            logger.error("%d rows of the request log could not be stored and are lost", len(self._waiting))
            self._waiting.clear()

    async def _tell(self) -> None:
        rows, self._unheard = self._unheard, []
        if not rows:
            return
        for listener in self.listeners:
            try:
                await listener(rows)
            except Exception:  # one listener's fault is no reason to keep rows from the others, or from the disk
                logger.exception("A listener of the request log failed")

    async def _store(self, leaving: int = 0) -> None:
        """Batch by batch until a batch fails or nothing waits; at most `leaving` rows that came meanwhile stay for the
        next time, since a small batch costs almost what a large one does. Rows leave the queue only once they are
        committed: a batch that was cut off halfway is sent again, and the store ignores the ids it has."""
        async with self._writing:
            loop = asyncio.get_running_loop()
            least = 1
            while len(self._waiting) >= least and loop.time() >= self._not_before:
                least = leaving + 1
                batch = list(islice(self._waiting, BATCH))
                try:
                    await self._storage.write(partial(_add, batch))
                except Exception as error:
                    self._failed(error, batch, loop.time())
                else:
                    self._failures = 0
                    self._not_before = 0.0
                    self._take_out(batch)

    def _failed(self, error: Exception, batch: Sequence[Execution], now_s: float) -> None:
        if self._failures == 0:
            logger.error("The request log cannot be stored and waits: %s", error, exc_info=not _is_full(error))
        self._failures += 1
        self._not_before = now_s + min(FIRST_PAUSE_S * 2 ** (self._failures - 1), LONGEST_PAUSE_S)
        if not _is_full(error) and self._failures >= TRIES:
            # Something about these very rows, it seems; those behind them must not wait for ever.
            self.dropped += len(batch)
            self._failures = 0
            self._take_out(batch)
            logger.error("%d rows of the request log were given up: %s", len(batch), error)

    def _take_out(self, batch: Sequence[Execution]) -> None:
        for _ in batch:
            self._waiting.popleft()


def _add(rows: Sequence[Execution], tx: Tx) -> None:
    tx.usage.add(rows)


def _is_full(error: Exception) -> bool:
    return isinstance(error, StorageFull)
