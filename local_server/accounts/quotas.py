"""The counters of quotas, in storage: where the gateway leases from, and what lists show."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

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


class Leases(Protocol):
    """What this server has leased ahead: it counts as used in storage, and not to a reader."""

    def unspent(self, subject: str, period: Period) -> int: ...

    async def settled(self, subjects: Collection[str]) -> None:
        """Wait until no lease of these is under way."""


READS = 5
"""How often the counters are read again where calls were leased meanwhile. Under load they always are, and a reader
cannot tell one moment from the next."""


@dataclass(slots=True)
class QuotaUses:
    storage: Storage
    system: System
    leases: Leases

    async def of(self, keys: Sequence[ApiKey]) -> Mapping[KeyId, QuotaUse]:
        """Of those that have a quota."""
        now = self.system.now()
        counted = {key.id: (key, period_of(key.quota.interval, now)) for key in keys if key.quota is not None}
        used = await self._used({(key.counted_as, period) for key, period in counted.values()})
        uses = {}
        for key, period in counted.values():
            assert key.quota is not None
            count = used[key.counted_as, period]
            uses[key.id] = QuotaUse(count, max(key.quota.requests - count, 0), period)
        return uses

    async def _used(self, wanted: Collection[tuple[str, Period]]) -> Mapping[tuple[str, Period], int]:
        for _ in range(READS):
            await self.leases.settled({subject for subject, _ in wanted})
            unspent = {item: self.leases.unspent(*item) for item in wanted}
            stored = await self.storage.read(lambda tx: tx.quotas.used(list(wanted)))
            if unspent == {item: self.leases.unspent(*item) for item in wanted}:
                break
        return {item: max(stored[item[0], item[1].name] - unspent[item], 0) for item in wanted}
