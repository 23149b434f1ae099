"""Takes executions that another service's gateway answered."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from local_server.domain.analytics_errors import ExecutionRefused
from local_server.domain.executions import Execution
from local_server.storage.base import Storage

AHEAD = timedelta(minutes=5)
"""How far another machine's clock may be ahead of ours."""


async def take(storage: Storage, rows: Sequence[Execution], now: datetime, keep_days: int) -> int:
    """Store and count them all, or none; returns how many were new.

    Raises ExecutionRefused for one that is older than what is kept (it would be pruned, and if sent again counted
    twice) or from the future, and StorageFull."""
    oldest, newest = now - timedelta(keep_days), now + AHEAD
    for place, row in enumerate(rows):
        if not oldest <= row.started_at <= newest:
            raise ExecutionRefused(place, row.started_at, oldest, newest)
    return await storage.write(lambda tx: tx.usage.add(rows))
