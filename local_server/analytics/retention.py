"""Forgets what has been kept long enough: requests, then minutes, then hours, and counters of quotas of long ago. The
figures of days are kept for ever."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from local_server.domain.usage import Step
from local_server.storage.base import Storage, Tx
from local_server.system import System

logger = logging.getLogger(__name__)

PIECE = 2_000
"""Rows deleted at once: some milliseconds, for which new rows of the log wait."""
FIRST_S = 60.0
"""After the start, when the machine has other things to do; a server that never runs for an hour prunes too."""
EVERY_S = 3600.0
KEEP_COUNTERS = timedelta(days=400)
"""After their period: more than a year of months can be looked at."""


@dataclass(frozen=True, slots=True)
class Keep:
    """For how many days."""

    executions: int
    minutes: int
    hours: int


async def keep_pruning(storage: Storage, system: System, keep: Keep) -> None:
    """Prune soon, then every hour. Never returns."""
    await asyncio.sleep(FIRST_S)
    while True:
        await storage.keep_house(system.now())
        deleted = await prune(storage, system, keep)
        logger.info("forgot %d rows of the request log and of its rollups", deleted)
        await asyncio.sleep(EVERY_S)


async def prune(storage: Storage, system: System, keep: Keep) -> int:
    """Delete what is older than `keep` allows, piece by piece; others write in between. Returns how many rows went."""
    now = system.now()
    executions, minutes, hours = (now - timedelta(days) for days in (keep.executions, keep.minutes, keep.hours))
    pieces: list[Callable[[Tx], int]] = [
        lambda tx: tx.usage.prune(executions, PIECE),
        lambda tx: tx.usage.prune_rollups(Step.MINUTE, minutes, PIECE),
        lambda tx: tx.usage.prune_rollups(Step.HOUR, hours, PIECE),
        lambda tx: tx.quotas.prune(now - KEEP_COUNTERS, PIECE),
    ]
    deleted = 0
    for piece in pieces:
        while count := await storage.write(piece):
            deleted += count
            if count < PIECE:
                break
    return deleted
