"""Machines that publish and pull: the real store, blobs and directories of each, and one marketplace between them."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from local_server.domain.deployments import Generation, Outcome
from local_server.domain.events import Event
from local_server.domain.ids import Digest
from local_server.domain.manifest_toml import parse
from local_server.domain.outbox import Outgoing
from local_server.domain.registry import Api
from local_server.domain.trees import Tree
from local_server.registry.checkout import read_tree, write_new, write_over
from local_server.registry.manifest_file import edit
from local_server.storage.base import Tx
from local_server.storage.blobs import BlobStore
from local_server.storage.sql.rows import manifest_document
from local_server.storage.sqlite import SqliteStorage
from local_server.sync.conflicts import Conflicts
from local_server.sync.marketplaces import Marketplaces
from local_server.sync.ports import Serving, SyncPorts
from local_server.sync.publishing import Publishing
from local_server.sync.pulling import Pulling
from local_server.sync.worker import Worker
from local_server.system import RealSystem
from tests.storage.factories import ALICE, NOON, an_api
from tests.sync.fake_marketplace import FakeMarketplace, a_marketplace
from tests.sync.real_marketplace import the_marketplace

MANIFEST = '[api]\nname = "one"\nruntime = "python"\nversion = "0.1.0"\n'


@dataclass
class Machine:
    """One laptop. What its directory holds is what runs."""

    home: Path
    storage: SqliteStorage
    api: Api
    url: str
    token: str | None
    openapi: bytes | None = None
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.blobs = BlobStore(self.home / "blobs")
        self.system = RealSystem()
        self.directory = Path(self.api.directory)
        self.markets = Marketplaces(
            self.storage, self.system, self._key(), lambda url: self.token, lambda: [self.url] if self.token else []
        )
        self.ports = ports = SyncPorts(
            self._serving, self._openapi, manifest_document, self._read, self._write, self._add, edit,
            self.home / "projects",
        )  # fmt: skip
        self.worker = Worker(
            self.storage, self.blobs, self.system, self.markets, self.events.append, chance=lambda: 0.0
        )
        self.publishing = Publishing(self.storage, self.blobs, self.system, self.markets, ports, self.worker.wake)
        self.pulling = Pulling(self.storage, self.blobs, self.markets, ports, self.events.append)
        self.conflicts = Conflicts(
            self.storage, self.blobs, self.system, self.markets, ports, self.publishing, self.pulling
        )

    def write(self, files: dict[str, str | bytes | None]) -> None:
        """Edit the directory; None removes a file."""
        for name, content in files.items():
            place = self.directory / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                place.unlink()
            else:
                place.write_bytes(content.encode() if isinstance(content, str) else content)

    def held(self) -> dict[str, str]:
        found = (path for path in self.directory.rglob("*") if path.is_file())
        return {str(path.relative_to(self.directory)): path.read_bytes().decode("latin-1") for path in found}

    async def queue(self, version: str | None = None) -> Outgoing:
        return await self.publishing.queue(await self.publishing.plan(self.api, version))

    async def drain(self) -> list[Outgoing]:
        """Work until nothing is due any more; the outbox, newest first."""
        for _ in range(200):
            if await self.worker.begin() >= 0.001 and not self.worker._running:
                break
            await self.worker.settle()
        return list(await self.storage.read(lambda tx: tx.outbox.latest()))

    async def publish(self, version: str | None = None) -> Outgoing:
        await self.queue(version)
        return (await self.drain())[0]

    # -- What the rest of a server does --------------------------------------------------------------------------

    def _key(self) -> bytes:
        place = self.home / "device.key"
        if not place.exists():
            place.write_bytes(bytes([len(str(self.home))]) * 31 + self.home.name.encode()[-1:])
        return place.read_bytes()

    async def _serving(self, api: Api) -> Serving:
        tree = self._read(api)

        def act(tx: Tx) -> None:
            tx.deployments.add_tree(tree)
            number = tx.deployments.next_number(api.id)
            tx.deployments.put_generation(Generation(api.id, number, tree.digest, "deps", Outcome.SERVING, NOON))

        await self.storage.write(act)
        return Serving(1, Digest(tree.digest))

    async def _openapi(self, api: Api, generation: int | None) -> bytes | None:
        return self.openapi

    def _read(self, api: Api) -> Tree:
        return read_tree(Path(api.directory), self.blobs)

    def _write(self, api: Api, tree: Tree, known: Tree | None) -> bool:
        return write_over(Path(api.directory), tree, self.blobs, known)

    async def _add(self, directory: Path, tree: Tree, start: bool) -> Api:
        write_new(directory, tree, self.blobs)
        manifest = parse((directory / "apimarket.toml").read_text())
        api = replace(an_api(900 + len(manifest.name)), slug=manifest.name, directory=str(directory), manifest=manifest)
        await self.storage.write(lambda tx: tx.registry.add(api))
        return api


async def machine_at(home: Path, url: str, token: str | None = "ana-token") -> Machine:
    """The same home is the same machine, started again."""
    fresh = not home.exists()
    home.mkdir(exist_ok=True)
    events: list[Event] = []
    storage = await SqliteStorage.open(home / "registry.db", events.append)
    api = an_api(1, "one", directory=str(home / "one"), manifest=parse(MANIFEST))
    machine = Machine(home, storage, api, url, token, events=events)
    if fresh:
        await storage.write(lambda tx: tx.accounts.add(ALICE))
        await storage.write(lambda tx: tx.registry.add(api))
        machine.write({"apimarket.toml": MANIFEST, "main.py": "print(1)\n"})
    return machine


@pytest.fixture(params=["fake", "real"])
def market(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FakeMarketplace]:
    """What the client expects, and what the marketplace does. Tests of answers that only a false or broken one gives
    ask for the fake."""
    if request.param == "fake":
        with a_marketplace() as found:
            yield found
    else:
        with the_marketplace(tmp_path / "marketplace") as real:
            yield real  # type: ignore[misc]  # the tests see as much of it


@pytest.fixture
async def open_machine(tmp_path: Path, market: FakeMarketplace) -> AsyncIterator[Callable[..., object]]:
    opened: list[SqliteStorage] = []

    async def one(name: str = "laptop", token: str | None = "ana-token", url: str = "") -> Machine:
        """The same name is the same machine, started again."""
        machine = await machine_at(tmp_path / name, url or market.url, token)
        opened.append(machine.storage)
        return machine

    yield one
    for storage in opened:
        await storage.close()


def openapi_of(**paths: object) -> bytes:
    return json.dumps({"openapi": "3.1.0", "paths": {f"/{name}": one for name, one in paths.items()}}).encode()
