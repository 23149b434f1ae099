"""The marketplace's services over a real store, without HTTP: accounts that sign and publish what a test thinks of."""

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from local_server.domain.accounts import Caller
from local_server.domain.events import Event
from local_server.domain.ids import UserId
from local_server.domain.packs import Frame, make_frame, write_pack
from local_server.domain.publishing import Limits, Missing, Outcome
from local_server.domain.registry import Api, User
from local_server.domain.signatures import encoded, public_key_of, sign, signer_id
from local_server.domain.trees import Tree, TreeEntry
from local_server.domain.version_documents import version_document, version_id
from local_server.events.bus import Bus
from local_server.marketplace.listings import Listings
from local_server.publishing.manifest import read_manifest
from local_server.publishing.opening import Place, make_publications
from local_server.publishing.routes import Publications
from local_server.storage.base import Storage
from local_server.storage.blobs import BlobStore
from local_server.storage.postgres import PostgresStorage
from local_server.storage.sql.rows import manifest_document, manifest_from
from local_server.storage.sqlite import SqliteStorage
from local_server.system import RealSystem, System
from tests.postgres.clusters import Cluster
from tests.storage.factories import NOON, a_manifest, an_id

PIECE_BYTES = 4096


def tree_of(files: Mapping[str, bytes]) -> Tree:
    return Tree({path: TreeEntry.of(content) for path, content in files.items()})


async def in_pieces(content: bytes, size: int = PIECE_BYTES) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


@dataclass
class Market:
    """One marketplace. The same home is the same one, opened again."""

    home: Path
    storage: Storage
    bus: Bus
    limits: Limits = field(default_factory=Limits)
    system: System = field(default_factory=RealSystem)
    stopped: list[Api] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.blobs = BlobStore(self.home / "blobs")
        place = Place(self.storage, self.blobs, self.bus, self.system, self.home / "uploads")
        self.open: Publications = make_publications(
            place,
            Listings(self.system, self.blobs.read),
            partial(read_manifest, build=manifest_from),
            self._stop,
            limits=self.limits,
            runs=lambda user_id: True,
        )

    async def account(self, number: int, handle: str) -> "Account":
        """The same number is the same account."""
        user = User(UserId(an_id(number)), handle, NOON)
        if await self.storage.read(lambda tx: tx.accounts.by_handle(handle)) is None:
            await self.storage.write(lambda tx: tx.accounts.add(user))
        account = Account(self, user, hashlib.sha256(handle.encode()).digest())
        await self.open.keys.register(
            Caller(user, is_machine=False), "laptop", encoded(public_key_of(account.private_key))
        )
        return account

    async def _stop(self, api: Api) -> None:
        self.stopped.append(api)


@dataclass
class Account:
    market: Market
    user: User
    private_key: bytes

    def head(self, slug: str, files: Mapping[str, bytes], semver: str, **more: Any) -> dict[str, Any]:
        """A whole request, signed; `more` falsifies or changes parts of it before that, and `forged` after."""
        forged = more.pop("forged", {})
        tree = more.pop("tree", None) or tree_of(files)
        base: Tree | None = more.pop("base", None)
        known = base.entries if base else {}
        put = [
            {"path": path, "sha256": entry.sha256, "size_bytes": entry.size_bytes, "mode": 644}
            for path, entry in tree.entries.items()
            if known.get(path) != entry
        ]
        visibility = more.pop("visibility", "private")
        manifest = manifest_document(a_manifest(slug, visibility=visibility))
        head = {
            "op": f"op-{hashlib.sha256(repr((slug, semver, tree.digest, more)).encode()).hexdigest()[:20]}",
            "semver": semver,
            "base_tree": base.digest if base else None,
            "put": put,
            "delete": sorted(known.keys() - tree.entries.keys()),
            "tree": tree.digest,
            "if_head_rev": 0,
            "parents": [],
            "manifest": json.loads(json.dumps(manifest)),
            "openapi": None,
            "signer": signer_id(public_key_of(self.private_key)),
            **more,
        }
        document = version_document(
            f"{self.user.handle}/{slug}", head["semver"], head["tree"], head["parents"], head["manifest"]
        )
        signed = sign(self.private_key, self.market.open.marketplace_id, version_id(document))
        return {**head, "signature": encoded(signed), **forged}

    async def send(
        self, slug: str, head: Mapping[str, Any], contents: Sequence[bytes] = (), owner: str = ""
    ) -> Outcome | Missing:
        pack = a_pack(head, [make_frame(content) for content in contents])
        return await self.market.open.intake.publish(self.user, owner or self.user.handle, slug, in_pieces(pack))

    async def upon(self, slug: str, files: Mapping[str, bytes], semver: str, **more: Any) -> dict[str, Any]:
        """A request upon whatever is the head now."""
        refs = await self.market.storage.read(lambda tx: tx.published.refs(self.user.handle, slug))
        if refs is not None:
            more = {"if_head_rev": refs.head_rev, "parents": [refs.head.version] if refs.head else []} | more
        return self.head(slug, files, semver, **more)

    async def publish(self, slug: str, files: Mapping[str, bytes], semver: str = "1.0.0", **more: Any) -> Outcome:
        """Upon whatever is the head now. Fails where blobs are missing, as all are sent."""
        head = await self.upon(slug, files, semver, **more)
        base: Tree | None = more.get("base")
        known = {entry.sha256 for entry in base.entries.values()} if base else set()
        lacking = [content for content in dict.fromkeys(files.values()) if TreeEntry.of(content).sha256 not in known]
        done = await self.send(slug, head, lacking)
        assert isinstance(done, Outcome), done
        return done


def frames_of(contents: Iterable[bytes]) -> list[Frame]:
    return [make_frame(content) for content in contents]


def a_pack(head: Mapping[str, Any], frames: Sequence[Frame] = ()) -> bytes:
    blobs = [
        {
            "sha256": frame.blob.sha256, "size_bytes": frame.blob.size_bytes, "packed_bytes": frame.blob.packed_bytes,
            "base_path": frame.blob.base_path, "prefix_bytes": frame.blob.prefix_bytes,
            "suffix_bytes": frame.blob.suffix_bytes,
        }
        for frame in frames
    ]  # fmt: skip
    return write_pack(json.dumps({"blobs": blobs, **head}).encode(), frames)


OpenMarket = Callable[..., Awaitable[Market]]


STORES = ("sqlite", *(pytest.param(name, marks=pytest.mark.postgres) for name in ("postgres15", "postgres18")))


@pytest.fixture(params=STORES)
def database(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """The URL of the database of that name, empty at first; "" stands for a file of SQLite's. A test has one name on
    PostgreSQL."""
    if request.param == "sqlite":
        return lambda name: ""
    cluster: Cluster = request.getfixturevalue(request.param)
    made: dict[str, str] = {}

    def url_of(name: str) -> str:
        if name not in made:
            assert not made
            made[name] = cluster.database()
        return made[name]

    return url_of


async def open_store(url: str, home: Path, publish: Callable[[Event], None]) -> Storage:
    if url:
        return await PostgresStorage.open(url, publish)
    return await SqliteStorage.open(home / "registry.db", publish)


@pytest.fixture
async def open_market(tmp_path: Path, database: Callable[[str], str]) -> AsyncIterator[OpenMarket]:
    opened: list[Storage] = []

    async def one(name: str = "market", **more: Any) -> Market:
        home = tmp_path / name
        home.mkdir(exist_ok=True)
        bus = Bus()
        opened.append(await open_store(database(name), home, bus.publish))
        return Market(home, opened[-1], bus, **more)

    yield one
    for storage in opened:
        await storage.close()


@pytest.fixture
async def market(open_market: OpenMarket) -> Market:
    return await open_market()


@pytest.fixture
async def ana(market: Market) -> Account:
    return await market.account(1, "ana")


@pytest.fixture
async def bob(market: Market) -> Account:
    return await market.account(2, "bob")
