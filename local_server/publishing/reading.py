"""Shows what is published to those who may read it. What is not there and what somebody may not read is one answer."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from local_server.domain.access_tokens import PublishScope
from local_server.domain.events import FeedMoved
from local_server.domain.ids import Digest
from local_server.domain.manifest import Visibility
from local_server.domain.packs import (
    MAX_BLOB_BYTES,
    MAX_CONTENT_BYTES,
    MAX_FRAMES_BYTES,
    Frame,
    make_frame,
    write_pack,
)
from local_server.domain.refs import START, Cursor, Refs
from local_server.domain.registry import User
from local_server.domain.sync_errors import BlobDamaged, CursorGone, ObjectNotFound
from local_server.domain.trees import Tree
from local_server.domain.versions import ApiVersion
from local_server.events.bus import Bus
from local_server.storage.base import ReadTx, Storage
from local_server.storage.blobs import BlobStore
from local_server.storage.publishing import Told
from local_server.wire.sync import BlobsHead, PackedBlobView

PAGE = 500
"""Changes, or APIs, in one answer."""
LOOK_S = 2.0
"""Another server on the same database tells this one nothing: who waits looks again."""


@dataclass(frozen=True, slots=True)
class Changes:
    told: Sequence[Told]
    cursor: Cursor
    more: bool


class Reading:
    def __init__(self, storage: Storage, blobs: BlobStore, bus: Bus) -> None:
        self._storage = storage
        self._blobs = blobs
        self._bus = bus

    # -- APIs and versions -------------------------------------------------------------------------------------

    async def api(self, reader: User, owner: str, slug: str) -> tuple[Refs, Sequence[ApiVersion]]:
        """Its versions, newest first. Raises ObjectNotFound."""

        def question(tx: ReadTx) -> tuple[Refs, Sequence[ApiVersion]]:
            refs = readable(tx, reader, owner, slug)
            return refs, tx.versions.of_api(refs.api_id)

        return await self._storage.read(question)

    async def version(self, reader: User, owner: str, slug: str, semver: str) -> tuple[ApiVersion, bytes | None]:
        """With its OpenAPI document. Raises ObjectNotFound."""

        def question(tx: ReadTx) -> tuple[ApiVersion, bytes | None]:
            refs = readable(tx, reader, owner, slug)
            found = tx.versions.by_semver(refs.api_id, semver)
            if found is None:
                raise ObjectNotFound("version", f"{owner}/{slug}@{semver}")
            return found, tx.versions.openapi(refs.api_id, semver)

        return await self._storage.read(question)

    # -- The feed ----------------------------------------------------------------------------------------------

    async def feed_end(self) -> Cursor:
        return await self._storage.read(lambda tx: tx.published.feed_end())

    async def changes(self, reader: User, since: str, wait_s: float = 0) -> Changes:
        """What happened after `since`; waits so long for the first. Raises CursorGone."""
        cursor = Cursor.parse(since)
        if cursor is None:
            raise CursorGone(since)
        end = asyncio.get_running_loop().time() + wait_s
        async with self._bus.subscribe() as events:
            while True:
                found = await self._storage.read(lambda tx: _changes(tx, reader, cursor))
                left_s = end - asyncio.get_running_loop().time()
                if found.told or left_s <= 0:
                    return found
                try:
                    async with asyncio.timeout(min(left_s, LOOK_S)):
                        while not isinstance(event := await events.next(), FeedMoved) and event is not None:
                            pass
                except TimeoutError:
                    pass

    async def snapshot(self, reader: User, after: str = "") -> tuple[Sequence[Refs], str | None, Cursor]:
        """A page, where the next one begins, and where the feed stood: read the feed from the first page's on."""

        def question(tx: ReadTx) -> tuple[Sequence[Refs], str | None, Cursor]:
            page = tx.published.readable(reader.id, after, PAGE)
            return page, page[-1].api_id if len(page) == PAGE else None, tx.published.feed_end()

        return await self._storage.read(question)

    # -- Trees and blobs ---------------------------------------------------------------------------------------

    async def tree(
        self, reader: User, digest: str, base: str | None, api: str | None, only: PublishScope | None = None
    ) -> tuple[Tree, Tree | None]:
        """The tree, and the other one where the reader may read it too; with `only`, trees of that API. Raises
        ObjectNotFound."""

        def question(tx: ReadTx) -> tuple[Tree, Tree | None]:
            if only is not None and not tx.published.has_tree(only.owner, only.slug, Digest(digest)):
                raise ObjectNotFound("tree", digest)
            return _tree(tx, reader, digest, api), None if only else _base(tx, reader, base, api)

        return await self._storage.read(question)

    async def pack(self, reader: User, tree: str, base: str | None, want: Sequence[str], api: str | None) -> bytes:
        """A pack of blobs of the tree. Raises ObjectNotFound, BlobDamaged."""
        held, ours = await self.tree(reader, tree, base, api)
        return await asyncio.to_thread(self._pack, held, ours, want)

    async def blob_size(self, reader: User, tree: str, sha256: str, api: str | None) -> int:
        """Of a blob of the tree, which is whole. Raises ObjectNotFound, BlobDamaged."""
        held, _ = await self.tree(reader, tree, None, api)
        size_bytes = next((one.size_bytes for one in held.entries.values() if one.sha256 == sha256), None)
        if size_bytes is None:
            raise ObjectNotFound("blob", sha256)
        if not await asyncio.to_thread(self._blobs.verify, sha256):
            raise BlobDamaged(sha256)
        return size_bytes

    def _pack(self, tree: Tree, base: Tree | None, want: Sequence[str]) -> bytes:
        sizes = {entry.sha256: entry.size_bytes for entry in tree.entries.values()}
        paths = {entry.sha256: path for path, entry in tree.entries.items()}
        known = [sha256 for sha256 in dict.fromkeys(want) if sha256 in sizes]
        alone = [sha256 for sha256 in known if sizes[sha256] > MAX_BLOB_BYTES]
        frames, more = self._frames([sha256 for sha256 in known if sha256 not in alone], sizes, paths, base)
        head = BlobsHead(
            blobs=[_described(frame) for frame in frames],
            missing=[sha256 for sha256 in dict.fromkeys(want) if sha256 not in sizes],
            more=more,
            alone=alone,
        )
        return write_pack(head.model_dump_json().encode(), frames)

    def _frames(
        self, wanted: Sequence[str], sizes: Mapping[str, int], paths: Mapping[str, str], base: Tree | None
    ) -> tuple[list[Frame], list[str]]:
        """As many as fit, and the others."""
        frames: list[Frame] = []
        content_bytes = frames_bytes = 0
        for place, sha256 in enumerate(wanted):
            content_bytes += sizes[sha256]
            if frames and content_bytes > MAX_CONTENT_BYTES:
                return frames, list(wanted[place:])
            frame = self._frame(sha256, paths[sha256], base)
            frames_bytes += len(frame.data)
            if frames and frames_bytes > MAX_FRAMES_BYTES:
                return frames, list(wanted[place:])
            frames.append(frame)
        return frames, []

    def _frame(self, sha256: str, path: str, base: Tree | None) -> Frame:
        before = base.entries.get(path) if base else None
        content = self._content(sha256)
        if before is None or before.size_bytes > MAX_BLOB_BYTES:
            return make_frame(content)
        return make_frame(content, path, self._content(before.sha256))

    def _content(self, sha256: str) -> bytes:
        """Checked: what is damaged is never handed out."""
        try:
            content = self._blobs.read(sha256, MAX_BLOB_BYTES)
        except FileNotFoundError:
            raise BlobDamaged(sha256) from None
        if hashlib.sha256(content).hexdigest() != sha256:
            raise BlobDamaged(sha256)
        return content


def readable(tx: ReadTx, reader: User, owner: str, slug: str) -> Refs:
    """Raises ObjectNotFound for what is not there, and for what the reader may not read."""
    refs = tx.published.refs(owner, slug)
    if refs is None or not may_read(refs, reader):
        raise ObjectNotFound("API", f"{owner}/{slug}")
    return refs


def may_read(refs: Refs, reader: User) -> bool:
    """An unlisted API by whoever knows its name."""
    return refs.user_id == reader.id or (refs.visibility is not Visibility.PRIVATE and not refs.removed)


def _changes(tx: ReadTx, reader: User, since: Cursor) -> Changes:
    if since != START and tx.published.change_digest(since.number) != since.digest:
        raise CursorGone(str(since))
    told = tx.published.changes(reader.id, since.number, PAGE)
    more = len(told) == PAGE
    return Changes(told, told[-1].change.cursor if more else tx.published.feed_end(), more)


def _tree(tx: ReadTx, reader: User, digest: str, api: str | None) -> Tree:
    found = _base(tx, reader, digest, api)
    if found is None:
        raise ObjectNotFound("tree", digest)
    return found


def _base(tx: ReadTx, reader: User, digest: str | None, api: str | None) -> Tree | None:
    if digest is None or not tx.published.may_read_tree(reader.id, Digest(digest), _named(api)):
        return None
    return tx.deployments.tree(Digest(digest))


def _named(api: str | None) -> tuple[str, str] | None:
    if api is None:
        return None
    owner, _, slug = api.partition("/")
    return owner, slug


def _described(frame: Frame) -> PackedBlobView:
    blob = frame.blob
    return PackedBlobView(
        sha256=blob.sha256,
        size_bytes=blob.size_bytes,
        packed_bytes=blob.packed_bytes,
        base_path=blob.base_path,
        prefix_bytes=blob.prefix_bytes,
        suffix_bytes=blob.suffix_bytes,
    )
