"""What storage/base.py promises of the counters of quotas, of every store."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import pytest

from local_server.domain.quotas import Lease, Period, period_of
from local_server.storage.base import Storage
from tests.contracts.conftest import OpenStorage
from tests.storage.factories import NOON

MARCH = period_of("month", NOON)


async def lease(storage: Storage, wanted: int, cap: int | None = 10, period: Period = MARCH, who: str = "a") -> Lease:
    return await storage.write(lambda tx: tx.quotas.lease(who, period, cap, wanted))


async def used(storage: Storage, who: str = "a", period: Period = MARCH) -> int:
    found = await storage.read(lambda tx: tx.quotas.used([(who, period)]))
    return found[who, period.name]


class TestLeases:
    async def test_are_counted_as_used(self, storage: Storage) -> None:
        assert await used(storage) == 0
        assert await lease(storage, 4) == Lease(4, 4)
        assert await lease(storage, 3) == Lease(3, 7)
        assert await used(storage) == 7

    async def test_grow_short_at_the_cap_and_never_pass_it(self, storage: Storage) -> None:
        assert await lease(storage, 8) == Lease(8, 8)
        assert await lease(storage, 8) == Lease(2, 10)
        assert await lease(storage, 1) == Lease(0, 10)
        assert await used(storage) == 10

    async def test_a_cap_that_was_lowered_grants_nothing(self, storage: Storage) -> None:
        await lease(storage, 8)
        assert await lease(storage, 1, cap=5) == Lease(0, 8)

    async def test_without_a_cap_everything_is_granted(self, storage: Storage) -> None:
        await lease(storage, 10)
        assert await lease(storage, 2**40, cap=None) == Lease(2**40, 2**40 + 10)

    async def test_subjects_and_periods_count_for_themselves(self, storage: Storage) -> None:
        april, day = period_of("month", MARCH.ends_at), period_of("day", MARCH.starts_at)
        await lease(storage, 10)
        for period, who in ((april, "a"), (day, "a"), (MARCH, "b"), (MARCH, "\udcff\0")):
            assert await lease(storage, 3, period=period, who=who) == Lease(3, 3)

    async def test_what_is_given_back_can_be_leased_again(self, storage: Storage) -> None:
        await lease(storage, 10)
        await storage.write(lambda tx: tx.quotas.give_back("a", MARCH, 4))
        assert await lease(storage, 9) == Lease(4, 10)

    async def test_giving_back_too_much_gives_nothing_away(self, storage: Storage) -> None:
        await storage.write(lambda tx: tx.quotas.give_back("nobody", MARCH, 4))
        await lease(storage, 3)
        await storage.write(lambda tx: tx.quotas.give_back("a", MARCH, 4))
        assert (await used(storage), await used(storage, "nobody")) == (0, 0)

    @pytest.mark.parametrize("seed", range(3))
    async def test_of_many_at_once_add_up_to_what_is_counted(self, storage: Storage, seed: int) -> None:
        dice = random.Random(seed)
        held = 0

        async def one(number: int) -> None:
            nonlocal held
            granted = (await lease(storage, dice.randrange(1, 20), cap=500, who="many")).granted
            held += granted
            if granted and number % 3 == 0:
                back = dice.randrange(granted)
                await storage.write(lambda tx: tx.quotas.give_back("many", MARCH, back))
                held -= back

        await asyncio.gather(*(one(number) for number in range(200)))
        assert held == await used(storage, "many") <= 500

    async def test_outlive_the_server(self, storage: Storage, open_storage: OpenStorage) -> None:
        await lease(storage, 4)
        await storage.close()
        assert await used(await open_storage()) == 4


class TestPruning:
    async def test_forgets_periods_that_ended_before(self, storage: Storage) -> None:
        days = [period_of("day", datetime(2026, 3, day, tzinfo=UTC)) for day in range(1, 6)]
        for day in days:
            await lease(storage, 1, period=day)
        before = days[2].ends_at + timedelta(seconds=1)
        assert await storage.write(lambda tx: tx.quotas.prune(before, 2)) == 2
        assert await storage.write(lambda tx: tx.quotas.prune(before)) == 1
        assert [await used(storage, period=day) for day in days] == [0, 0, 0, 1, 1]
