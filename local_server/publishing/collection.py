"""Forgets what was sent and never committed. What a version holds is never forgotten, and neither is what somebody may
still commit: a lease ends some time before what it holds is looked at."""

import asyncio
from collections.abc import Set
from datetime import timedelta

from local_server.domain.publishing import LEASE
from local_server.publishing.parts import Parts
from local_server.storage.base import ReadTx, Storage
from local_server.system import System

MARGIN = timedelta(hours=1)
"""Longer than any commit takes that began while the lease was good."""


class Collection:
    def __init__(self, storage: Storage, system: System, parts: Parts) -> None:
        self._storage = storage
        self._system = system
        self._parts = parts

    async def expire(self) -> int:
        """Forget leases and uploads that are over, and what came of blobs that nobody went on with; how many."""
        before = self._system.now() - MARGIN
        gone = await self._storage.write(lambda tx: tx.uploads.expire(before))
        await asyncio.to_thread(self._parts.expire, (before - LEASE).timestamp())
        return gone


def leased_blobs(tx: ReadTx) -> Set[str]:
    """What must stay although no tree holds it."""
    return tx.uploads.leased()
