"""A gateway without an executor goes where the board says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from local_server.domain.routing import Route
from local_server.events.bus import Bus
from local_server.executor.board import Board
from local_server.gateway.asgi import Gateway
from local_server.gateway.lane import Lane
from local_server.roles.ways import WayFollower
from local_server.storage.sqlite import SqliteStorage
from local_server.system import RealSystem
from tests.storage.factories import ALICE, an_api

API = an_api(1)
SERVING = Route(API.id, "alice", "weather", "serving")
FIRST, SECOND, THIRD = ("10.0.0.1", 8000), ("10.0.0.2", 8000), ("10.0.0.3", 8000)


@dataclass
class Pair:
    """What an executor says, and the gateway that follows it elsewhere."""

    board: Board[Lane]
    gateway: Gateway

    def lane(self) -> Lane | None:
        entry = self.gateway.routing.lookup(API.id)
        return entry.lane if entry is not None else None

    async def until(self, *addresses: tuple[str, int]) -> Lane:
        async with asyncio.timeout(10):
            while (lane := self.lane()) is None or lane.addresses != addresses:
                await asyncio.sleep(0.005)
        return lane


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        bus = Bus()
        storage = await SqliteStorage.open(tmp_path / "a.db", bus.publish)
        stack.push_async_callback(storage.close)
        await storage.write(lambda tx: (tx.accounts.add(ALICE), tx.registry.add(API)))
        own, elsewhere = (Gateway(lambda execution: None, RealSystem()) for _ in range(2))
        for gateway in (own, elsewhere):
            stack.push_async_callback(gateway.close)
        board = Board(own.routing, storage)
        follower = WayFollower(storage, bus, elsewhere.routing, drain_s=0.1)
        stack.push_async_callback(follower.close)
        for work in (board.run(), follower.run()):
            task = asyncio.create_task(work)
            stack.callback(task.cancel)
        await follower.ready()
        yield Pair(board, elsewhere)


async def test_replicas_that_come_and_go_leave_the_others_their_connections(pair: Pair) -> None:
    lane = pair.board.open(API.id, 1, "d", FIRST, several=True)
    pair.board.spread(lane, [FIRST, SECOND])
    pair.board.route(SERVING, lane)
    there = await pair.until(FIRST, SECOND)
    pair.board.spread(lane, [SECOND, THIRD])
    assert await pair.until(SECOND, THIRD) is there
    assert not there.closed


async def test_another_generation_has_a_lane_of_its_own(pair: Pair) -> None:
    lane = pair.board.open(API.id, 1, "d", FIRST, several=True)
    pair.board.route(SERVING, lane)
    before = await pair.until(FIRST)
    pair.board.route(SERVING, pair.board.open(API.id, 2, "e", SECOND))
    assert await pair.until(SECOND) is not before
    async with asyncio.timeout(10):
        while not before.closed:
            await asyncio.sleep(0.005)
