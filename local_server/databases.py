"""Which database a server keeps everything in, and the bus that goes with it."""

import asyncio
from contextlib import AsyncExitStack
from typing import NamedTuple

import psycopg

from local_server.domain.server_errors import ExecutorTaken
from local_server.domain.storage_errors import StorageUnavailable
from local_server.events.bus import Bus
from local_server.events.pg_bus import PgBus
from local_server.settings import EMBEDDED, Settings
from local_server.storage.base import Storage
from local_server.storage.embedded import EmbeddedPostgres
from local_server.storage.pg_link import place_of
from local_server.storage.postgres import PostgresStorage
from local_server.storage.sqlite import SqliteStorage

_EXECUTOR = 0x61706D657865
"""The advisory lock of a database's executor."""
_TRIES, _PAUSE_S = 20, 0.25
"""An executor that was killed holds it until the database has noticed."""


class Database(NamedTuple):
    storage: Storage
    bus: Bus
    """Its events; a `PgBus` wants to be run."""


async def open_database(settings: Settings, stack: AsyncExitStack) -> Database:
    """SQLite in the data directory, or the PostgreSQL that the settings name. Closed with `stack`.

    Raises StorageUnavailable, StorageUnreadable, StorageNewer, StorageFull, EmbeddedUnavailable."""
    url = settings.database.get_secret_value()
    if not url:
        bus = Bus()
        storage: Storage = await SqliteStorage.open(settings.home / "registry.db", bus.publish)
        stack.push_async_callback(storage.close)
        return Database(storage, bus)
    if url == EMBEDDED:
        embedded = EmbeddedPostgres(settings.home / "postgres")
        stack.push_async_callback(asyncio.to_thread, embedded.stop)
        await asyncio.to_thread(embedded.start)
        url = embedded.url
    shared = PgBus(url)
    storage = await PostgresStorage.open(url, shared.committed, tell=shared.tell)
    stack.push_async_callback(storage.close)
    return Database(storage, shared)


async def claim_executor(settings: Settings, stack: AsyncExitStack) -> None:
    """Be the database's one executor until `stack` ends, or the connection does. Raises ExecutorTaken,
    StorageUnavailable."""
    url = settings.database.get_secret_value()
    try:
        connection = await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as error:
        raise StorageUnavailable(place_of(url), str(error).strip()) from None
    stack.push_async_callback(connection.close)
    for _ in range(_TRIES):
        found = await (await connection.execute("select pg_try_advisory_lock(%s)", [_EXECUTOR])).fetchone()
        if found is not None and found[0]:
            return
        await asyncio.sleep(_PAUSE_S)
    raise ExecutorTaken(place_of(url))
