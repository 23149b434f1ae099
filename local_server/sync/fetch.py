"""Fetches one version from a marketplace, and believes nothing: every hash and the signature are checked before
anything is stored. Blobs are stored as they come (they are named by what they hold, so a false one has nowhere to go);
the version and its tree are handed back, to be stored in one transaction."""

import asyncio
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from local_server.client.marketplace import MarketplaceClient
from local_server.domain.errors import ApimarketError
from local_server.domain.ids import Digest
from local_server.domain.outbox import PublishedVersion
from local_server.domain.packs import Frame, PackedBlob, read_frame
from local_server.domain.publish_errors import AnswerDamaged
from local_server.domain.publishing import Limits, TreeDelta
from local_server.domain.signatures import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, decoded, is_signed, signer_id
from local_server.domain.trees import Tree, TreeEntry
from local_server.domain.version_documents import canonical, version_id
from local_server.storage.base import Storage
from local_server.storage.blobs import BlobStore
from local_server.wire.sync import PublishedVersionView, PutFile, TreeView, WantBlobs

MAX_WANTED = 5_000


@dataclass(frozen=True, slots=True)
class Fetched:
    version: PublishedVersion
    tree: Tree
    bytes: int
    """Of blobs, as they came over the network."""


Told = Callable[[int, int], None]
"""How much of the contents that were not here has come, and how much there is of them; in steps of a hundredth."""


class Fetch:
    def __init__(
        self,
        storage: Storage,
        blobs: BlobStore,
        market: MarketplaceClient,
        marketplace_id: str,
        remote: str,
        told: Told = lambda done_bytes, total_bytes: None,
    ) -> None:
        self._storage = storage
        self._blobs = blobs
        self._market = market
        self._marketplace_id = marketplace_id
        self._remote = remote
        self._told = told
        self._bytes = 0
        self._done_bytes = self._told_bytes = self._total_bytes = 0

    async def version(self, owner: str, slug: str, semver: str, base: Digest | None = None) -> Fetched:
        """`base` is a tree of that API that this machine has. Raises AnswerDamaged, ApimarketClientError,
        StorageFull."""
        outline = await self.outline(owner, slug, semver, base)
        with self._damage_named():
            await self._fill(outline.tree, outline.version, base)
        return replace(outline, bytes=self._bytes)

    async def outline(self, owner: str, slug: str, semver: str, base: Digest | None = None) -> Fetched:
        """The version and the names and hashes of its files, without their contents."""
        view = await self._market.version(owner, slug, semver)
        version = self._checked(view, owner, slug, semver)
        with self._damage_named():
            tree = await self._tree(version, base)
        return Fetched(version, tree, 0)

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        """What hashes and limits refuse is the marketplace's fault here."""
        try:
            yield
        except ApimarketError as error:
            if error.status in (413, 422):
                raise AnswerDamaged(self._market.url, error.detail) from error
            raise

    # -- The version -------------------------------------------------------------------------------------------

    def _checked(self, view: PublishedVersionView, owner: str, slug: str, semver: str) -> PublishedVersion:
        document = view.document
        content = canonical(document)
        public_key = decoded(view.public_key, PUBLIC_KEY_BYTES)
        signature = decoded(view.signature, SIGNATURE_BYTES)
        if version_id(content) != view.id:
            raise self._damaged(f"version {semver} is not what its id says")
        if document.get("api") != f"{owner}/{slug}" or document.get("semver") != semver:
            raise self._damaged(f"{document.get('api')} {document.get('semver')} came for {owner}/{slug} {semver}")
        if public_key is None or signature is None or signer_id(public_key) != view.signer:
            raise self._damaged(f"the signer of version {semver} is not the one it names")
        if not is_signed(public_key, signature, self._marketplace_id, Digest(view.id)):
            raise self._damaged(f"the signature of version {semver} is not valid")
        openapi = None if view.openapi is None else canonical(view.openapi)
        return PublishedVersion(
            self._remote, Digest(view.id), owner, slug, semver, Digest(str(document.get("tree"))), content, view.signer,
            public_key, signature, openapi,
        )  # fmt: skip

    # -- Its tree ----------------------------------------------------------------------------------------------

    async def _tree(self, version: PublishedVersion, base: Digest | None) -> Tree:
        known = await self._storage.read(lambda tx: tx.deployments.tree(version.tree))
        if known is not None:
            return known
        ours = await self._storage.read(lambda tx: tx.deployments.tree(base)) if base else None
        view = await self._market.tree(version.tree, ours.digest if ours else None, f"{version.owner}/{version.slug}")
        delta = _delta(view)
        if view.base is not None and (ours is None or view.base != ours.digest):
            raise self._damaged(f"the tree of version {version.semver} is told from another than was asked for")
        delta.check(Limits())
        return delta.applied(ours if view.base else None, version.tree, Limits())

    # -- Its blobs ---------------------------------------------------------------------------------------------

    async def _fill(self, tree: Tree, version: PublishedVersion, base: Digest | None) -> None:
        """Fetch what this machine lacks."""
        sizes = {entry.sha256: entry.size_bytes for entry in tree.entries.values()}
        lacking = await asyncio.to_thread(lambda: [sha256 for sha256 in sorted(sizes) if not self._blobs.has(sha256)])
        ours = await self._storage.read(lambda tx: tx.deployments.tree(base)) if base else None
        api = f"{version.owner}/{version.slug}"
        self._total_bytes = sum(sizes[sha256] for sha256 in lacking)
        while lacking:
            asked, rest = lacking[:MAX_WANTED], lacking[MAX_WANTED:]
            pack = await self._market.blobs(
                WantBlobs(tree=version.tree, base=ours.digest if ours else None, want=asked, api=api)
            )
            if pack.head.missing:
                raise self._damaged(f"the tree of version {version.semver} lacks blobs there")
            self._bytes += sum(len(frame.data) for frame in pack.frames)
            stored = await asyncio.to_thread(self._store, pack.frames, ours, sizes)
            self._came(sum(sizes[sha256] for sha256 in stored))
            for sha256 in set(pack.head.alone) & set(asked):
                await self._fetch_alone(version, sha256, sizes[sha256], api)
                stored.add(sha256)
            left = [sha256 for sha256 in asked if sha256 not in stored]
            if len(left) == len(asked):
                raise self._damaged(f"blobs of version {version.semver} do not come")
            lacking = [*left, *rest]

    def _store(self, frames: Sequence[Frame], base: Tree | None, sizes: dict[str, int]) -> set[str]:
        stored = set()
        for frame in frames:
            if sizes.get(frame.blob.sha256) != frame.blob.size_bytes:
                raise self._damaged(f"the blob {frame.blob.sha256} is not one of the tree's")
            self._blobs.put(read_frame(frame, self._base_of(frame.blob, base)))
            stored.add(frame.blob.sha256)
        return stored

    def _base_of(self, blob: PackedBlob, base: Tree | None) -> bytes | None:
        entry = base.entries.get(blob.base_path) if base and blob.base_path is not None else None
        if entry is None:
            return None
        with self._blobs.open(entry.sha256) as file:
            return file.read()

    async def _fetch_alone(self, version: PublishedVersion, sha256: str, size_bytes: int, api: str) -> None:
        """A large blob, piece by piece to a file beside the blobs; taken over once it is what its hash says."""
        hasher = hashlib.sha256()
        with tempfile.NamedTemporaryFile(dir=self._blobs.root / "tmp") as file:
            async for piece in self._market.blob(version.tree, sha256, 0, api):
                hasher.update(piece)
                self._bytes += len(piece)
                if file.tell() + len(piece) > size_bytes:
                    raise self._damaged(f"the blob {sha256} is longer than the tree says")
                await asyncio.to_thread(file.write, piece)
                self._came(len(piece))
            file.flush()
            if hasher.hexdigest() != sha256:
                raise self._damaged(f"the blob {sha256} is not what its hash says")
            await asyncio.to_thread(self._blobs.put_file, Path(file.name))

    def _came(self, count: int) -> None:
        self._done_bytes += count
        if self._done_bytes - self._told_bytes >= self._total_bytes // 100 or self._done_bytes == self._total_bytes:
            self._told_bytes = self._done_bytes
            self._told(self._done_bytes, self._total_bytes)

    def _damaged(self, what: str) -> AnswerDamaged:
        return AnswerDamaged(self._market.url, what)


def _delta(view: TreeView) -> TreeDelta:
    put = {one.path: _entry(one) for one in view.put}
    return TreeDelta(Digest(view.base) if view.base else None, put, frozenset(view.delete))


def _entry(one: PutFile) -> TreeEntry:
    return TreeEntry(one.sha256, one.size_bytes, 0o755 if one.mode == 755 else 0o644)
