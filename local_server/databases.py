"""Which database a server keeps everything in, and the bus that goes with it."""

import asyncio
from contextlib import AsyncExitStack
from typing import NamedTuple

from local_server.events.bus import Bus
from local_server.events.pg_bus import PgBus
from local_server.settings import EMBEDDED, Settings
from local_server.storage.base import Storage
from local_server.storage.embedded import EmbeddedPostgres
from local_server.storage.postgres import PostgresStorage
from local_server.storage.sqlite import SqliteStorage


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
