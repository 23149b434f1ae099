"""Events between servers of one database."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from local_server.domain.deployments import Generation, Outcome
from local_server.domain.events import (
    ApiChanged,
    ApiRegistered,
    ApiRemoved,
    EngineChanged,
    Event,
    GenerationFinished,
    OutboxChanged,
)
from local_server.domain.ids import ApiId, Digest, OpId
from local_server.events.bus import LOST, Lost, Subscription
from local_server.events.pg_bus import CHANNEL, PgBus
from tests.postgres.clusters import Cluster
from tests.postgres.told import COMMITTED, PUBLISHED
from tests.storage.factories import NOON

pytestmark = pytest.mark.postgres
ROOT = Path(__file__).parents[2]
TOLD = Path(__file__).with_name("told.py")


@pytest.fixture(params=[18, 15])
def url(request: pytest.FixtureRequest) -> str:
    cluster: Cluster = request.getfixturevalue(f"postgres{request.param}")
    return cluster.database()


@pytest.fixture
async def bus(url: str) -> AsyncIterator[PgBus]:
    """One that listens."""
    bus = PgBus(url)
    running = asyncio.create_task(bus.run())
    async with asyncio.timeout(20):
        await bus.listening.wait()
    yield bus
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def read_until(subscription: Subscription[Event], last: Event | Lost) -> list[Event | Lost]:
    """With `last` at the end."""
    read: list[Event | Lost] = []
    while not read or read[-1] != last:
        item = await subscription.next(20)
        assert item is not None
        read.append(item)
    return read


async def test_what_another_process_commits_and_publishes_arrives_in_order(bus: PgBus, url: str) -> None:
    async with bus.subscribe() as events:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(TOLD), url,
            stdin=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        try:
            read = await read_until(events, PUBLISHED[-1])
        finally:
            await process.communicate(b"")
    assert process.returncode == 0
    # Nothing of the act that failed; a log stays where it is; what is too large is a hint to read anew.
    assert read == [*COMMITTED, ApiChanged(ApiId("large")), *PUBLISHED]


async def test_what_is_told_here_arrives_here_once(bus: PgBus, url: str) -> None:
    other = PgBus(url)
    running = asyncio.create_task(other.run())
    async with bus.subscribe() as here, other.subscribe() as there:
        async with asyncio.timeout(20):
            await other.listening.wait()
        bus.publish(ApiRegistered(ApiId("a")))
        assert await read_until(there, ApiRegistered(ApiId("a"))) == [LOST, ApiRegistered(ApiId("a"))]
        other.publish(ApiRegistered(ApiId("b")))
        assert await read_until(here, ApiRegistered(ApiId("b"))) == [
            ApiRegistered(ApiId("a")),
            ApiRegistered(ApiId("b")),
        ]
    running.cancel()


async def test_who_was_cut_off_is_told_so_and_hears_again(bus: PgBus, url: str) -> None:
    async with bus.subscribe() as events:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() "
                "and datname = current_database() and backend_type = 'client backend'"
            )
            assert await read_until(events, LOST) == [LOST]
            async with asyncio.timeout(20):
                await bus.listening.wait()
            connection.execute("select pg_notify(%s, %s)", PgBus(url).tell(ApiChanged(ApiId("later"))))
        assert await read_until(events, ApiChanged(ApiId("later"))) == [ApiChanged(ApiId("later"))]


@pytest.mark.parametrize(
    "payload", ["", "x", "[]", '["s","Unheard",{}]', '["s","ApiChanged",{}]', '["s","ApiChanged",7]']
)
async def test_what_cannot_be_understood_is_read_anew(bus: PgBus, url: str, payload: str) -> None:
    async with bus.subscribe() as events:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("select pg_notify(%s, %s)", [CHANNEL, payload])
        assert await read_until(events, LOST) == [LOST]


@pytest.mark.parametrize(
    "event",
    [
        ApiRemoved(ApiId("a"), "one"),
        EngineChanged("docker", False, "it is gone \0 \udcff"),
        GenerationFinished(
            ApiId("a"), Generation(ApiId("a"), 3, Digest("0" * 64), "deps", Outcome.SERVING, NOON, {"total": 1.5})
        ),
        OutboxChanged(ApiId("a"), OpId("op")),
    ],
    ids=lambda event: type(event).__name__,
)
async def test_every_event_arrives_as_it_was(bus: PgBus, url: str, event: Event) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        async with bus.subscribe() as events:
            connection.execute("select pg_notify(%s, %s)", PgBus(url).tell(event))
            assert await read_until(events, event) == [event]


async def test_who_cannot_send_does_not_keep_everything(url: str) -> None:
    bus = PgBus(url, limit=10)
    for number in range(100):
        bus.publish(ApiChanged(ApiId(str(number))))
    assert len(bus._unsent) <= 11
    assert bus._unsent[0] == LOST
