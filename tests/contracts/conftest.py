"""Every implementation of a contract, one after the other."""

import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from local_server.domain.events import Event
from local_server.storage.base import Storage
from local_server.storage.postgres import PostgresStorage
from local_server.storage.sqlite import SqliteStorage
from tests.postgres.clusters import VERSIONS, Cluster
from tests.storage.factories import ALICE

OpenStorage = Callable[[], Awaitable[Storage]]


class Published(list[Event]):
    """What the storage under test has published, and on which threads."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def take(self, event: Event) -> None:
        self.append(event)
        self.threads.add(threading.get_ident())


@pytest.fixture
def published() -> Published:
    return Published()


@pytest.fixture(
    params=["sqlite", *(pytest.param(f"postgres{version}", marks=pytest.mark.postgres) for version in VERSIONS)]
)
async def open_storage(
    request: pytest.FixtureRequest, tmp_path: Path, published: Published
) -> AsyncIterator[OpenStorage]:
    """Opens the same store each time; closed at the end."""
    opened: list[Storage] = []
    url = ""
    if request.param != "sqlite":
        cluster: Cluster = request.getfixturevalue(request.param)
        url = cluster.database()

    async def open_one() -> Storage:
        if url:
            opened.append(await PostgresStorage.open(url, published.take))
        else:
            opened.append(await SqliteStorage.open(tmp_path / "apimarket.db", published.take))
        return opened[-1]

    yield open_one
    for storage in opened:
        await storage.close()


@pytest.fixture
async def storage(open_storage: OpenStorage) -> Storage:
    """An open store that knows one user, alice."""
    storage = await open_storage()
    await storage.write(lambda tx: tx.accounts.add(ALICE))
    return storage
