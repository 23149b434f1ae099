"""What an executor tells gateways in other processes, and when."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from local_server.domain.events import Event, WayMoved
from local_server.domain.registry import Api
from local_server.domain.routing import Route, Steering
from local_server.domain.storage_errors import StorageFull
from local_server.domain.ways import Upstream, Way
from local_server.executor.board import Board
from local_server.gateway.asgi import Gateway
from local_server.gateway.lane import Lane
from local_server.storage.base import Storage
from local_server.storage.sqlite import SqliteStorage
from local_server.system import RealSystem
from tests.storage.factories import ALICE, an_api

API, OTHER = an_api(1), an_api(2)
STARTING = Route(API.id, "alice", "weather", "starting")
SERVING = Route(API.id, "alice", "weather", "serving")
FIRST, SECOND = ("10.0.0.1", 8000), ("10.0.0.2", 8000)


class Kept:
    """What is stored, and what was told of it."""

    def __init__(self, storage: Storage, told: list[Event]) -> None:
        self.storage = storage
        self.told = told

    async def way(self, api: Api = API) -> Way | None:
        return await self.storage.read(lambda tx: tx.ways.get(api.id))

    async def upstreams(self, api: Api = API) -> dict[str, Upstream | None]:
        way = await self.way(api)
        return {place.route.version: place.upstream for place in way.places} if way else {}

    async def until(self, wanted: dict[str, Upstream | None], api: Api = API) -> None:
        async with asyncio.timeout(10):
            while await self.upstreams(api) != wanted:
                await asyncio.sleep(0.005)


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    told: list[Event] = []
    storage = await SqliteStorage.open(tmp_path / "a.db", told.append)
    await storage.write(lambda tx: (tx.accounts.add(ALICE), tx.registry.add(API), tx.registry.add(OTHER)))
    yield Kept(storage, told)
    await storage.close()


@asynccontextmanager
async def executor(kept: Kept) -> AsyncIterator[Board[Lane]]:
    """One life of an executor, as far as its board goes."""
    gateway = Gateway(lambda execution: None, RealSystem())
    board = Board(gateway.routing, kept.storage)
    await board.recall()
    writing = asyncio.create_task(board.run())
    yield board
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await gateway.close()


def serve(board: Board[Lane], address: tuple[str, int], version: str = "") -> Upstream:
    lane = board.open(API.id, 1, "d", address, version)
    board.route(Route(API.id, "alice", "weather", "serving", version=version), lane)
    return Upstream(1, "d", *address)


async def test_what_serves_is_told_with_its_address(kept: Kept) -> None:
    async with executor(kept) as board:
        board.route(STARTING, None)
        await kept.until({"": None})
        first = serve(board, FIRST)
        board.steer(API.id, Steering(pins={"1": "1.0.0"}))
        await kept.until({"": first})
        way = await kept.way()
        assert way is not None
        assert way.places[0].route == SERVING
        assert WayMoved(API.id) in kept.told
        board.forget(API.id)
        await kept.until({})


async def test_what_changes_again_at_once_is_written_once(kept: Kept) -> None:
    async with executor(kept) as board:
        for number in range(20):
            last = serve(board, ("10.0.0.1", 8000 + number))
        await kept.until({"": last})
        assert kept.told.count(WayMoved(API.id)) == 1


async def test_where_it_runs_several_times_every_place_is_told(kept: Kept) -> None:
    async with executor(kept) as board:
        lane = board.open(API.id, 1, "d", FIRST, several=True)
        board.route(SERVING, lane)
        one = Upstream(1, "d", *FIRST, several=True)
        await kept.until({"": one})
        board.spread(lane, [FIRST, SECOND])
        await kept.until({"": replace(one, others=(SECOND,))})
        board.spread(lane, [SECOND])
        await kept.until({"": Upstream(1, "d", *SECOND, several=True)})


class TestEnd:
    async def test_containers_are_called_on(self, kept: Kept) -> None:
        async with executor(kept) as board:
            first = serve(board, FIRST)
        await board.close(ended=False)
        assert await kept.upstreams() == {"": first}

    async def test_what_ends_with_its_executor_waits_for_the_next_one(self, kept: Kept) -> None:
        async with executor(kept) as board:
            await kept.until({"": serve(board, FIRST)})
        await board.close(ended=True)
        way = await kept.way()
        assert way is not None
        assert (way.places[0].upstream, way.places[0].route.availability) == (None, "starting")

    async def test_so_does_what_was_not_found_again(self, kept: Kept) -> None:
        async with executor(kept) as board:
            await kept.until({"": serve(board, FIRST)})
        async with executor(kept) as board:
            board.route(STARTING, None)
        await board.close(ended=True)
        assert await kept.upstreams() == {"": None}


class TestNextExecutor:
    async def test_what_served_is_called_there_until_it_is_found_again(self, kept: Kept) -> None:
        async with executor(kept) as board:
            before = {"": serve(board, FIRST), "1.0.0": serve(board, FIRST, "1.0.0")}
            await kept.until(before)
        kept.told.clear()
        async with executor(kept) as board:
            board.route(Route(API.id, "alice", "weather", "stopped"), None)
            board.steer(API.id, Steering())
            board.route(STARTING, None)
            directory = serve(board, SECOND)
            board.route(Route(OTHER.id, "alice", "tides", "stopped"), None)
            await kept.until({"": None}, OTHER)  # whatever may be written has been
            assert await kept.upstreams() == before, "one of two is not all"
            version = serve(board, SECOND, "1.0.0")
            await kept.until({"": directory, "1.0.0": version})
            assert kept.told.count(WayMoved(API.id)) == 1

    async def test_what_failed_is_told_at_once(self, kept: Kept) -> None:
        async with executor(kept) as board:
            await kept.until({"": serve(board, FIRST)})
        async with executor(kept) as board:
            board.route(Route(API.id, "alice", "weather", "failed", "SyntaxError"), None)
            await kept.until({"": None})

    async def test_what_is_not_found_again_does_not_serve(self, kept: Kept) -> None:
        async with executor(kept) as board:
            await kept.until({"": serve(board, FIRST)})
        async with executor(kept) as board:
            board.route(STARTING, None)
            board.settle()
            await kept.until({"": None})
        async with executor(kept) as board:
            await kept.until({"": serve(board, FIRST)})
        async with executor(kept) as board:
            board.settle()
            await kept.until({})


async def test_what_could_not_be_written_is_written_later(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    async with executor(kept) as board:
        with monkeypatch.context() as full:
            full.setattr(kept.storage, "write", _full)
            serve(board, FIRST)
            with pytest.raises(StorageFull):
                await board.run()
        again = asyncio.create_task(board.run())
        await kept.until({"": Upstream(1, "d", *FIRST)})
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)


async def _full(act: object) -> None:
    raise StorageFull("/data")
