"""The bus inside the process."""

import asyncio

import pytest

from local_server.domain.events import ApiChanged, Event
from local_server.domain.ids import ApiId
from local_server.events.bus import Bus, Lost, Subscription


def event(number: int) -> Event:
    return ApiChanged(ApiId(str(number)))


class TestBus:
    async def test_everybody_gets_everything_in_order(self) -> None:
        bus = Bus()
        async with bus.subscribe() as one, bus.subscribe() as other:
            for number in range(5):
                bus.publish(event(number))
            for subscription in (one, other):
                assert [await anext(subscription) for _ in range(5)] == [event(number) for number in range(5)]

    async def test_a_waiting_reader_is_woken(self) -> None:
        bus = Bus()
        async with bus.subscribe() as subscription:
            reading = asyncio.create_task(subscription.next(10))
            await asyncio.sleep(0)
            bus.publish(event(1))
            assert await reading == event(1)

    async def test_only_what_comes_while_the_context_is_open_is_read(self) -> None:
        bus = Bus()
        bus.publish(event(1))
        async with bus.subscribe() as subscription:
            bus.publish(event(2))
        bus.publish(event(3))
        assert [item async for item in subscription] == [event(2)]

    async def test_publishing_to_nobody_is_fine(self) -> None:
        Bus().publish(event(1))


class TestSlowReader:
    async def test_finds_one_lost_and_what_came_after_it(self) -> None:
        bus = Bus(limit=3)
        async with bus.subscribe() as subscription:
            for number in range(5):
                bus.publish(event(number))
            assert subscription.waiting() == [Lost(), event(3), event(4)]

    async def test_falling_behind_again_leaves_one_lost_still(self) -> None:
        bus = Bus(limit=3)
        async with bus.subscribe() as subscription:
            for number in range(100):
                bus.publish(event(number))
            items = subscription.waiting()
            assert items.count(Lost()) == 1
            assert items[0] == Lost()
            assert len(items) <= 3
            bus.publish(event(100))
            assert await subscription.next(1) == event(100)

    async def test_takes_nothing_from_the_quick_one(self) -> None:
        bus = Bus(limit=2)
        async with bus.subscribe() as slow, bus.subscribe() as quick:
            for number in range(10):
                bus.publish(event(number))
                assert await quick.next(1) == event(number)
            assert await slow.next(1) == Lost()


class TestSubscription:
    async def test_times_out_and_goes_on(self) -> None:
        subscription: Subscription[int] = Subscription(10)
        with pytest.raises(TimeoutError):
            await subscription.next(0.01)
        subscription.put(1)
        assert await subscription.next(0.01) == 1

    async def test_loses_nothing_when_a_wait_is_cancelled(self) -> None:
        subscription: Subscription[int] = Subscription(10)
        waiting = asyncio.create_task(subscription.next())
        await asyncio.sleep(0)
        subscription.put(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await subscription.next(1) == 1

    async def test_close_wakes_the_reader_and_ends_the_iteration(self) -> None:
        subscription: Subscription[int] = Subscription(10)
        waiting = asyncio.create_task(subscription.next())
        await asyncio.sleep(0)
        subscription.close()
        assert await waiting is None
        subscription.put(1)
        assert [item async for item in subscription] == []
