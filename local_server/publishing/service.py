"""Takes published versions in: what is asked for is checked, its blobs are received, and then it becomes visible."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from local_server.domain.access_tokens import PublishScope
from local_server.domain.ids import UserId
from local_server.domain.manifest import Manifest
from local_server.domain.publishing import LEASE, Limits, Missing, Outcome, PublishRequest, Upload, sizes
from local_server.domain.registry import User
from local_server.domain.sync_errors import (
    BlobUnwanted,
    NotYours,
    PublishRefused,
    TooMuchStaged,
    UploadNotFound,
)
from local_server.domain.trees import Tree
from local_server.failpoints import failpoint
from local_server.publishing.commit import Committing, Ready, standing
from local_server.publishing.incoming import Incoming, Taking
from local_server.publishing.parts import Parts
from local_server.publishing.request import Draft, draft_of, read_batch, read_publish
from local_server.storage.base import ReadTx, Storage, Tx
from local_server.storage.blobs import BlobStore
from local_server.system import System

ReadManifest = Callable[[Mapping[str, Any]], Manifest]
"""A manifest from its document. Raises PublishRefused for anything but what a client's would write."""


@dataclass(frozen=True, slots=True)
class OpState:
    """How far an operation is: over, waiting for blobs, or not known."""

    outcome: Outcome | None = None
    upload: Upload | None = None
    received: Sequence[str] = ()
    missing: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Wanted:
    """An upload's blobs, as far as its base has not got them."""

    upload: Upload
    base: Tree | None
    sizes: Mapping[str, int]


class Intake:
    """`marketplace_id` is what versions are signed for."""

    def __init__(
        self,
        storage: Storage,
        blobs: BlobStore,
        system: System,
        committing: Committing,
        parts: Parts,
        read_manifest: ReadManifest,
        marketplace_id: str,
        limits: Limits,
    ) -> None:
        self._storage = storage
        self._blobs = blobs
        self._system = system
        self._committing = committing
        self._parts = parts
        self._read_manifest = read_manifest
        self._marketplace_id = marketplace_id
        self.limits = limits

    # -- Publishing --------------------------------------------------------------------------------------------

    async def publish(
        self,
        user: User,
        owner: str,
        slug: str,
        pieces: AsyncIterator[bytes],
        only: PublishScope | None = None,
    ) -> Outcome | Missing:
        """`pieces` are a pack's (docs/sync.md). With `only`, here and below, nothing of any other API is looked at.
        Raises the refusals of sync_errors."""
        incoming = Incoming(pieces)
        request, packed = read_publish(await incoming.head(), user, owner, slug)
        incoming.expect(packed)
        async with incoming.read_out_when_refused():
            if owner != user.handle:
                raise NotYours(owner, user.handle)
            draft = await asyncio.to_thread(draft_of, request, self.limits)
            manifest = self._manifest(draft)
            incoming_bytes = sum(blob.size_bytes for blob in packed)
            known = await self._storage.read(lambda tx: self._examine(tx, draft, incoming_bytes, only))
            if isinstance(known, Outcome | Missing):
                await incoming.take(lambda frames: None)
                return known
            base = known.tree
            tree = await asyncio.to_thread(request.delta.applied, base, request.tree, self.limits)
            wanted = _lacking_in(base, request)
            taking = Taking(self._blobs, wanted, base)
            ready = Ready(draft, manifest, tree, wanted, frozenset(), taking.stored)
            async with self._keeping(ready):
                await taking.all_of(incoming)
                return await self._commit(ready)

    async def commit(self, user: User, upload_id: str, only: PublishScope | None = None) -> Outcome | Missing:
        """Raises UploadNotFound, and what `publish` raises."""
        wanted = await self._wanted(user, upload_id, only)
        request = wanted.upload.request
        draft = await asyncio.to_thread(draft_of, request, self.limits)
        if request.delta.base is not None and wanted.base is None:
            return Missing("none", (), base_known=False)
        tree = await asyncio.to_thread(request.delta.applied, wanted.base, request.tree, self.limits)
        return await self._commit(Ready(draft, self._manifest(draft), tree, wanted.sizes, frozenset(), {}))

    async def operation(self, user: User, op: str, only: PublishScope | None = None) -> OpState:
        def question(tx: ReadTx) -> OpState | Upload:
            done = tx.published.op(user.id, op)
            if done is None:
                return tx.uploads.of_op(user.id, op) or OpState()
            known = only is None or only.allows(*done.published.api.split("/"))
            return OpState(Outcome(done.published, replayed=True)) if known else OpState()

        found = await self._storage.read(question)
        if isinstance(found, OpState):
            return found
        try:
            wanted = await self._wanted(user, found.id, only)
        except UploadNotFound:
            return OpState()
        missing = await self._missing(user.id, wanted.sizes)
        return OpState(None, found, sorted(wanted.sizes.keys() - set(missing)), missing)

    # -- Blobs of an upload ------------------------------------------------------------------------------------

    async def receive(
        self, user: User, upload_id: str, pieces: AsyncIterator[bytes], only: PublishScope | None = None
    ) -> tuple[Sequence[str], Sequence[str]]:
        """A pack of blobs: (stored now, missing still). Raises UploadNotFound, BlobUnwanted, PackDamaged."""
        incoming = Incoming(pieces)
        packed = read_batch(await incoming.head())
        incoming.expect(packed)
        async with incoming.read_out_when_refused():
            wanted = await self._wanted(user, upload_id, only)
            taking = Taking(self._blobs, wanted.sizes, wanted.base)
            try:
                await taking.all_of(incoming)
            finally:
                await self._grant(user.id, taking.stored)
        failpoint("publish.batch-kept")
        return sorted(taking.stored), await self._missing(user.id, wanted.sizes)

    async def offset(self, user: User, upload_id: str, sha256: str, only: PublishScope | None = None) -> int:
        """How many bytes of the blob are here. Raises UploadNotFound, BlobUnwanted."""
        size_bytes = _size_in(await self._wanted(user, upload_id, only), sha256)
        if not await self._missing(user.id, {sha256: size_bytes}):
            return size_bytes
        here = await asyncio.to_thread(self._parts.offset, user.id, sha256)
        if here == size_bytes:  # the server ended before it was a blob
            await self._take_in(user.id, sha256, size_bytes)
        return here

    async def append(
        self,
        user: User,
        upload_id: str,
        sha256: str,
        offset: int,
        pieces: AsyncIterator[bytes],
        only: PublishScope | None = None,
    ) -> tuple[int, bool]:
        """(bytes here now, whether that is all). Raises UploadNotFound, BlobUnwanted, WrongOffset, BlobBusy,
        BlobMismatch."""
        size_bytes = _size_in(await self._wanted(user, upload_id, only), sha256)
        if not await self._missing(user.id, {sha256: size_bytes}):
            async for _ in pieces:
                pass
            return size_bytes, True
        here = await self._parts.append(user.id, sha256, size_bytes, offset, pieces)
        if here == size_bytes:
            await self._take_in(user.id, sha256, size_bytes)
        return here, here == size_bytes

    # -- Small parts -------------------------------------------------------------------------------------------

    def _examine(
        self, tx: ReadTx, draft: Draft, incoming_bytes: int, only: PublishScope | None
    ) -> "Outcome | Missing | _Base":
        """Before any blob is taken."""
        request = draft.request
        done = standing(tx, draft, self._marketplace_id, self._system.now())
        if done is not None:
            return done
        staged_bytes = tx.uploads.staged_bytes(request.user_id, self._system.now())
        if staged_bytes + incoming_bytes > self.limits.staged_bytes:
            raise TooMuchStaged("bytes", self.limits.staged_bytes)
        base = _base(tx, request, only)
        if request.delta.base is not None and base is None:
            return Missing("none", (), base_known=False)
        return _Base(base)

    async def _commit(self, ready: Ready) -> Outcome | Missing:
        present = await asyncio.to_thread(
            lambda: frozenset(sha256 for sha256 in ready.sizes if self._blobs.has(sha256))
        )
        known = replace(ready, present=present)
        failpoint("publish.blobs-here")
        done = await self._storage.write(lambda tx: self._committing.commit(tx, known, self._stage), lasting=True)
        failpoint("publish.committed" if isinstance(done, Outcome) else "publish.staged")
        return done

    def _stage(self, tx: Tx, ready: Ready, lacking: Sequence[str]) -> Missing:
        request = ready.draft.request
        now = self._system.now()
        known = tx.uploads.of_op(request.user_id, request.op)
        if known is None and tx.uploads.count(request.user_id) >= self.limits.uploads:
            raise TooMuchStaged("uploads", self.limits.uploads)
        wanted_bytes = sum(ready.sizes[sha256] for sha256 in lacking)
        if tx.uploads.staged_bytes(request.user_id, now) + wanted_bytes > self.limits.staged_bytes:
            raise TooMuchStaged("bytes", self.limits.staged_bytes)
        upload = Upload(known.id if known else self._system.new_id(), request, now, now + LEASE)
        tx.uploads.put(upload)
        tx.uploads.grant(request.user_id, ready.received, upload.expires_at)
        return Missing(upload.id, tuple(lacking))

    @asynccontextmanager
    async def _keeping(self, ready: Ready) -> AsyncIterator[None]:
        """What arrived is kept, also when the rest does not, or the version is refused."""
        try:
            yield
        except BaseException:
            await self._grant(ready.draft.request.user_id, ready.received)
            raise

    async def _grant(self, user_id: UserId, stored: Mapping[str, int]) -> None:
        if stored:
            until = self._system.now() + LEASE
            await self._storage.write(lambda tx: tx.uploads.grant(user_id, stored, until))

    async def _take_in(self, user_id: UserId, sha256: str, size_bytes: int) -> None:
        await self._parts.take_in(user_id, sha256, lambda: self._grant(user_id, {sha256: size_bytes}))

    async def _wanted(self, user: User, upload_id: str, only: PublishScope | None) -> _Wanted:
        def question(tx: ReadTx) -> tuple[Upload | None, Tree | None]:
            upload = tx.uploads.get(upload_id, user.id)
            return upload, _base(tx, upload.request, only) if upload else None

        upload, base = await self._storage.read(question)
        if upload is None or upload.expires_at <= self._system.now() or not _allowed(upload.request, only):
            raise UploadNotFound(upload_id)
        return _Wanted(upload, base, _lacking_in(base, upload.request))

    async def _missing(self, user_id: UserId, wanted: Mapping[str, int]) -> list[str]:
        """Which of them the account has not shown to have. That the server has them for somebody else says nothing."""
        now = self._system.now()
        granted = await self._storage.read(lambda tx: tx.uploads.granted(user_id, wanted, now))
        here = await asyncio.to_thread(lambda: {sha256 for sha256 in granted if self._blobs.has(sha256)})
        return sorted(wanted.keys() - here)

    def _manifest(self, draft: Draft) -> Manifest:
        """Raises PublishRefused."""
        manifest = self._read_manifest(draft.request.manifest)
        if manifest.name != draft.request.slug:
            raise PublishRefused("manifest", f"it is that of {manifest.name!r}, and not of {draft.request.slug!r}")
        return manifest


@dataclass(frozen=True, slots=True)
class _Base:
    tree: Tree | None


def _base(tx: ReadTx, request: PublishRequest, only: PublishScope | None) -> Tree | None:
    """The tree that the request tells the difference from, if it is one that may be used."""
    base = request.delta.base
    if base is None or not tx.published.may_read_tree(request.user_id, base):
        return None
    if only is not None and not tx.published.has_tree(only.owner, only.slug, base):
        return None
    return tx.deployments.tree(base)


def _allowed(request: PublishRequest, only: PublishScope | None) -> bool:
    return only is None or only.allows(request.owner, request.slug)


def _lacking_in(base: Tree | None, request: PublishRequest) -> Mapping[str, int]:
    """SHA-256 -> size of the blobs that are put and not in the base already."""
    held = {entry.sha256 for entry in base.entries.values()} if base else set()
    return {sha256: size for sha256, size in sizes(request.delta.put.values()).items() if sha256 not in held}


def _size_in(wanted: _Wanted, sha256: str) -> int:
    size_bytes = wanted.sizes.get(sha256)
    if size_bytes is None:
        raise BlobUnwanted(sha256)
    return size_bytes
