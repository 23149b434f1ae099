"""The counters of quotas, in storage: where the gateway leases from, and what lists show."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from local_server.domain.ids import KeyId
from local_server.domain.keys import ApiKey
from local_server.domain.quotas import Lease, Period, period_of
from local_server.storage.base import Storage
from local_server.system import System


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """How a key stands with its quota in the present period."""

    used: int
    left: int
    period: Period


@dataclass(slots=True)
class QuotaLedger:
    """What `gateway.quotas` leases from."""

    storage: Storage

    async def lease(self, subject: str, period: Period, cap: int | None, wanted: int) -> Lease:
        return await self.storage.write(lambda tx: tx.quotas.lease(subject, period, cap, wanted))

    async def give_back(self, subject: str, period: Period, unspent: int) -> None:
        await self.storage.write(lambda tx: tx.quotas.give_back(subject, period, unspent))


def _none_unspent(_subject: str, _period: Period) -> int:
    return 0


@dataclass(slots=True)
class QuotaUses:
    """`unspent` tells what this server has leased of a subject and not spent: it counts as used in storage, and not
    to a reader."""

    storage: Storage
    system: System
    unspent: Callable[[str, Period], int] = field(default=_none_unspent)

    async def of(self, keys: Sequence[ApiKey]) -> Mapping[KeyId, QuotaUse]:
        """Of those that have a quota."""
        now = self.system.now()
        counted = {key.id: (key, period_of(key.quota.interval, now)) for key in keys if key.quota is not None}
        wanted = {(key.counted_as, period) for key, period in counted.values()}
        stored = await self.storage.read(lambda tx: tx.quotas.used(list(wanted)))
        uses = {}
        for key, period in counted.values():
            assert key.quota is not None
            used = max(stored[key.counted_as, period.name] - self.unspent(key.counted_as, period), 0)
            uses[key.id] = QuotaUse(used, max(key.quota.requests - used, 0), period)
        return uses
