"""Quotas on the hot path: calls are spent from leases in memory, and leased anew before they run out.

A call waits for storage only where nothing is leased any more: the first of a period, and the last before its cap.
What is leased and not spent goes back when the period ends, when the key rests, and when the server closes; a server
that is killed leaves it counted as used: one lease at most for each quota.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, Protocol

from local_server.domain.quota_errors import QuotaExceeded, QuotaUncounted
from local_server.domain.quotas import lease_size, period_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine
    from datetime import datetime

    from local_server.domain.keys import Grant
    from local_server.domain.quotas import Lease, Period, Quota
    from local_server.gateway.asgi_types import RawHeaders

logger = logging.getLogger(__name__)

SWEEP_S = 30.0
"""How often purses are looked through for those at rest."""
ASK_AGAIN_S = 1.0
"""A quota that is used up may have become free again, by what another server gave back."""


class Ledger(Protocol):
    """The counters, which all servers on one database share. Raises whatever storage raises."""

    async def lease(self, subject: str, period: Period, cap: int | None, wanted: int) -> Lease:
        """See storage: never more than the cap allows."""

    async def give_back(self, subject: str, period: Period, unspent: int) -> None:
        """Take calls that were leased off the counter again."""


class Purse:
    """What this server has leased of one quota in one period."""

    __slots__ = ("ask_at_s", "closed", "left", "period", "quota", "refill", "rested", "subject", "used", "waiting")

    def __init__(self, subject: str, quota: Quota, period: Period) -> None:
        self.subject = subject
        self.quota = quota
        self.period = period
        self.left = 0
        """Leased, and not spent."""
        self.used = 0
        """Of the whole quota, `left` included, when it was last leased."""
        self.waiting = 0
        """Calls that wait for a lease."""
        self.ask_at_s = 0.0
        """Used up: not before then is storage asked again."""
        self.rested = False
        """Nothing was spent since the last sweep."""
        self.closed = False
        """What is left goes back: whatever is refunded now, too."""
        self.refill: asyncio.Task[None] | None = None

    @property
    def remaining(self) -> int:
        """Of the quota, as far as this server knows."""
        return max(self.quota.requests - self.used + self.left, 0)

    @property
    def size(self) -> int:
        """Of the next lease."""
        return max(lease_size(self.quota.requests - self.used), self.waiting)


class Quotas:
    """Use on one event loop. `ledger` is set before any key with a quota is known."""

    ledger: Ledger

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._purses: dict[str, Purse] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def ready(self, grant: Grant) -> Purse | None:
        """What a call can be spent from now, in this step; None: it has to `wait`."""
        purse = self._purses.get(grant.counted_as)
        if purse is None or purse.left < 1 or self._is_over(purse, grant):
            return None
        return purse

    def take(self, grant: Grant) -> Purse | None:
        """Spend one call, if one is leased; else None."""
        purse = self.ready(grant)
        if purse is not None:
            self.spend(purse)
        return purse

    def spend(self, purse: Purse) -> None:
        """One call, of a purse that is ready."""
        purse.left -= 1
        purse.rested = False
        if purse.left * 2 < lease_size(purse.quota.requests - purse.used) and purse.refill is None:
            self._refill_ahead(purse)

    async def wait(self, grant: Grant, full_name: str) -> Purse:
        """Spend one call as soon as it is leased. Raises QuotaExceeded; QuotaUncounted when storage fails."""
        while True:
            purse = self._current(grant)
            if purse.left > 0:
                self.spend(purse)
                return purse
            if asyncio.get_running_loop().time() < purse.ask_at_s:
                raise QuotaExceeded(full_name, purse.quota, purse.period, self._until_end_s(purse))
            purse.waiting += 1
            try:
                await asyncio.shield(self._refill(purse))
            except Exception as error:
                raise QuotaUncounted(full_name) from error
            finally:
                purse.waiting -= 1

    def refund(self, purse: Purse) -> None:
        """The call cost nothing after all."""
        purse.left += 1
        if purse.closed:
            self._settle(purse)

    def unspent(self, subject: str, period: Period) -> int:
        """What storage counts as used, and this server has not spent."""
        purse = self._purses.get(subject)
        return purse.left if purse is not None and purse.period.name == period.name else 0

    async def settled(self, subjects: Collection[str]) -> None:
        """Wait until no lease of these is under way: from then on, and until the next, storage and `unspent` agree."""
        refills = [purse.refill for purse in map(self._purses.get, subjects) if purse is not None and purse.refill]
        if refills:
            await asyncio.wait(refills)

    async def run(self) -> None:
        """Give back what rests. Never returns."""
        while True:
            await asyncio.sleep(SWEEP_S)
            self.sweep()

    def sweep(self) -> None:
        """Give back what is left of periods that are over, and what nobody has spent since the last sweep."""
        now = self._now()
        for purse in list(self._purses.values()):
            if (purse.rested or now >= purse.period.ends_at) and not purse.waiting:
                self._close(purse)
            purse.rested = True

    async def close(self) -> None:
        """Give everything back. May be called twice; before the ledger closes."""
        for purse in list(self._purses.values()):
            self._close(purse)
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def headers(self, purse: Purse) -> RawHeaders:
        """What an answer has to say about the quota it was taken from."""
        return quota_headers(purse.quota, purse.period, purse.remaining, self._until_end_s(purse))

    # -- Inside -------------------------------------------------------------------------------------------------------

    def _until_end_s(self, purse: Purse) -> int:
        return max(math.ceil((purse.period.ends_at - self._now()).total_seconds()), 1)

    def _is_over(self, purse: Purse, grant: Grant) -> bool:
        """Whether its period has ended, or its quota was changed."""
        if purse.quota is not grant.quota and purse.quota != grant.quota:
            return True
        return self._now() >= purse.period.ends_at

    def _current(self, grant: Grant) -> Purse:
        """The purse of the grant's quota now; one that is over is closed."""
        assert grant.quota is not None
        purse = self._purses.get(grant.counted_as)
        if purse is not None and self._is_over(purse, grant):
            self._close(purse)
            purse = None
        if purse is None:
            purse = Purse(grant.counted_as, grant.quota, period_of(grant.quota.interval, self._now()))
            self._purses[grant.counted_as] = purse
        return purse

    def _refill_ahead(self, purse: Purse) -> None:
        if purse.remaining > purse.left or purse.quota.cap is None:
            self._refill(purse)

    def _refill(self, purse: Purse) -> asyncio.Task[None]:
        """The one that is under way, or a new one."""
        if purse.refill is None:
            purse.refill = self._task(self._lease(purse))
        return purse.refill

    async def _lease(self, purse: Purse) -> None:
        # One step later, so that all who came up in this one are waiting.
        await asyncio.sleep(0)
        try:
            lease = await self.ledger.lease(purse.subject, purse.period, purse.quota.cap, purse.size)
        finally:
            purse.refill = None
        purse.left += lease.granted
        purse.used = lease.used
        if not lease.granted:
            purse.ask_at_s = asyncio.get_running_loop().time() + ASK_AGAIN_S
        if purse.closed:
            self._settle(purse)

    def _close(self, purse: Purse) -> None:
        purse.closed = True
        if self._purses.get(purse.subject) is purse:
            del self._purses[purse.subject]
        self._settle(purse)

    def _settle(self, purse: Purse) -> None:
        if purse.left > 0:
            unspent, purse.left = purse.left, 0
            self._task(self.ledger.give_back(purse.subject, purse.period, unspent))

    def _task(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="quota")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_said)
        return task


def _said(task: asyncio.Task[None]) -> None:
    """Why it failed; callers are only told that it did."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("A quota could not be counted: %s", error)


QUOTA_NAMES = frozenset({b"ratelimit-policy", b"ratelimit"})
"""Of the headers below."""


def quota_headers(quota: Quota, period: Period, remaining: int, reset_s: int) -> RawHeaders:
    """A policy of its own beside the rate limit's (draft-ietf-httpapi-ratelimit-headers)."""
    return [
        (b"ratelimit-policy", b'"quota";q=%d;w=%d' % (quota.requests, period.length_s)),
        (b"ratelimit", b'"quota";r=%d;t=%d' % (remaining, reset_s)),
    ]
