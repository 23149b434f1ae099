"""Publishes what runs: plans it, and puts it into the outbox, signed."""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local_server.domain.contract_changes import Bump, Change, bump_of, comes_after, next_version, release_of
from local_server.domain.events import OutboxChanged
from local_server.domain.ids import Digest, OpId
from local_server.domain.manifest import MANIFEST_NAME, Manifest, Visibility
from local_server.domain.manifest_toml import parse
from local_server.domain.openapi_diff import contract_changes
from local_server.domain.outbox import OutboxState, Outgoing, Remote, RemoteRef, going
from local_server.domain.publish_errors import (
    ConflictWaits,
    NotAVersion,
    NothingNew,
    NothingServed,
    VersionTaken,
    VersionWaits,
)
from local_server.domain.registry import Api
from local_server.domain.signatures import sign
from local_server.domain.sync_errors import ApiRemovedForGood
from local_server.domain.trees import Tree
from local_server.domain.version_documents import version_document, version_id
from local_server.failpoints import failpoint
from local_server.storage.base import ReadTx, Storage, Tx
from local_server.storage.blobs import BlobStore
from local_server.storage.lasting import flush_blobs
from local_server.sync.marketplaces import Marketplaces
from local_server.sync.packing import publish_pack
from local_server.sync.plan import FileChange, PushPlan, file_changes, plan_push
from local_server.sync.ports import Serving, SyncPorts
from local_server.system import System

FIRST_VERSION = "0.1.0"


@dataclass(frozen=True, slots=True)
class Basis:
    """What a new version is made upon."""

    owner: str
    slug: str
    version: Digest | None
    semver: str | None
    tree: Tree | None
    openapi: bytes | None
    taken: Mapping[str, Digest]
    """Version numbers that are known to be used, and the tree of each."""

    @property
    def name(self) -> str:
        return f"{self.owner}/{self.slug}"


@dataclass(frozen=True, slots=True)
class PublishPlan:
    entry: Outgoing
    """As it would be put into the outbox."""
    generation: int | None
    published: str | None
    push: PushPlan
    files: Sequence[FileChange]
    total_files: int
    total_bytes: int
    send_bytes: int
    contract_known: bool
    contract: Sequence[Change]
    bump: Bump | None
    asked_version: str | None
    warnings: Sequence[str]
    visibility: Visibility


class Publishing:
    def __init__(
        self,
        storage: Storage,
        blobs: BlobStore,
        system: System,
        markets: Marketplaces,
        ports: SyncPorts,
        wake: Callable[[], None],
    ) -> None:
        self._storage = storage
        self._blobs = blobs
        self._system = system
        self._markets = markets
        self._ports = ports
        self._wake = wake

    async def plan(self, api: Api, version: str | None = None, remote: str | None = None) -> PublishPlan:
        """What publishing now would do: the tree that serves, and the number it gets. Raises NothingServed, NothingNew,
        ConflictWaits, ApiRemovedForGood, VersionTaken, NotAVersion, NoRemote, and what meeting a marketplace for the
        first time does."""
        serving = await self._ports.serving(api)
        if serving.tree is None:
            raise NothingServed(api.slug, serving.why_not or "does not serve now")
        tree = await self._storage.read(lambda tx: tx.deployments.tree(serving.tree or Digest("")))
        if tree is None:
            raise NothingServed(api.slug, "does not serve now")
        where = await self._markets.remote(await self._markets.url_for(remote, api.id))
        basis = await self._storage.read(lambda tx: basis_of(tx, api, where))
        if basis.tree is not None and basis.tree.digest == tree.digest:
            raise NothingNew(basis.name, basis.semver or "", where.url, serving.unserved)
        if version is not None and basis.taken.get(version) == tree.digest:
            raise NothingNew(basis.name, version, where.url, serving.unserved, newest=False)
        openapi = await self._ports.openapi(api, serving.generation)
        return await asyncio.to_thread(self._planned, api, where, basis, tree, openapi, version, serving)

    async def queue(self, plan: PublishPlan) -> Outgoing:
        """Put it into the outbox: from here on it will be published, whatever happens to this machine."""
        await self.add(plan.entry, plan.push.sizes)
        return plan.entry

    async def add(self, entry: Outgoing, blobs: Iterable[str], first: Callable[[Tx], None] = lambda tx: None) -> None:
        """`first` runs in the same transaction. The tree is there already; of what it holds, `blobs` are flushed to the
        disk, and then the entry. What was refused before it is given up. Raises StorageFull."""
        await asyncio.to_thread(flush_blobs, self._blobs, blobs)

        def act(tx: Tx) -> None:
            first(tx)
            pending = tx.outbox.pending(entry.api_id, entry.remote)
            ahead = going(pending)
            for other in ahead:
                if other.semver == entry.semver and other.name == entry.name:
                    raise VersionWaits(entry.name, entry.semver, other.state)
            for replaced in pending[len(ahead) :]:
                tx.outbox.save(replaced.moved(OutboxState.CANCELED, entry.created_at))
                tx.emit(OutboxChanged(replaced.api_id, replaced.op))
            tx.outbox.add(entry)
            tx.emit(OutboxChanged(entry.api_id, entry.op))

        await self._storage.write(act, lasting=True)
        failpoint("outbox.queued")
        self._wake()

    def signed(
        self, api: Api, where: Remote, owner: str, slug: str, semver: str, tree: Tree, parents: Sequence[Digest],
        openapi: bytes | None,
    ) -> Outgoing:  # fmt: skip
        """An entry, with the exact bytes that will be sent. Blocking. Raises InvalidManifest."""
        manifest = json.loads(json.dumps(self._ports.manifest_document(self.manifest_of(tree, api))))
        document = version_document(f"{owner}/{slug}", semver, tree.digest, parents, manifest)
        version = version_id(document)
        now = self._system.now()
        return Outgoing(
            op=OpId(self._system.new_id()),
            api_id=api.id,
            remote=where.url,
            owner=owner,
            slug=slug,
            semver=semver,
            tree=tree.digest,
            version=version,
            parents=tuple(parents),
            document=document,
            signature=sign(self._markets.device_key, where.marketplace_id, version),
            signer=self._markets.signer,
            openapi=openapi,
            created_at=now,
            updated_at=now,
        )

    def manifest_of(self, tree: Tree, api: Api) -> Manifest:
        """What the tree's own apimarket.toml says; the registered one where it has none. Blocking."""
        entry = tree.entries.get(MANIFEST_NAME)
        if entry is None:
            return api.manifest
        with self._blobs.open(entry.sha256) as file:
            return parse(file.read().decode("utf-8", "replace"))

    def _planned(
        self, api: Api, where: Remote, basis: Basis, tree: Tree, openapi: bytes | None, version: str | None,
        serving: Serving,
    ) -> PublishPlan:  # fmt: skip
        known = basis.openapi is not None and openapi is not None
        changes = contract_changes(_parsed(basis.openapi), _parsed(openapi)) if known else ()
        bump = bump_of(changes) if basis.semver and known else None
        asked = next_version(basis.semver, bump or Bump.PATCH) if basis.semver else None
        manifest = self.manifest_of(tree, api)
        semver = _chosen(basis, version, manifest.version, asked)
        parents = [basis.version] if basis.version else []
        entry = self.signed(api, where, basis.owner, basis.slug, semver, tree, parents, openapi)
        push = plan_push(tree, basis.tree)
        send_bytes = len(publish_pack(entry, push, basis.tree, 0, self._blobs))
        return PublishPlan(
            entry=entry,
            generation=serving.generation,
            published=basis.semver,
            push=push,
            files=file_changes(tree, basis.tree),
            total_files=len(tree.entries),
            total_bytes=tree.size_bytes,
            send_bytes=send_bytes + (0 if push.inline else push.bytes),
            contract_known=known,
            contract=changes,
            bump=bump,
            asked_version=asked,
            warnings=_warnings(semver, basis, asked, manifest, known, serving),
            visibility=manifest.visibility,
        )


def basis_of(tx: ReadTx | Tx, api: Api, where: Remote) -> Basis:
    """The last of what waits in the outbox, else what the marketplace is known to have. Raises ConflictWaits,
    ApiRemovedForGood."""
    refs = [ref for ref in tx.remotes.refs_of(api.id) if ref.remote == where.url]
    ref = refs[0] if refs else RemoteRef(where.url, where.account, api.slug, api.id, None, None)
    if ref.deleted:
        raise ApiRemovedForGood(ref.name)
    pending = tx.outbox.pending(api.id, where.url)
    conflict = any(entry.state is OutboxState.CONFLICT for entry in pending)
    pending = going(pending)
    if conflict or (not pending and ref.is_ahead):
        raise ConflictWaits(ref.name, api.slug)
    versions = tx.remotes.versions(where.url, ref.owner, ref.slug)
    taken = {one.semver: one.tree for one in versions} | {entry.semver: entry.tree for entry in pending}
    if pending:
        last = pending[-1]
        tree = tx.deployments.tree(last.tree)
        return Basis(last.owner, last.slug, last.version, last.semver, tree, last.openapi, taken)
    if ref.base is None:
        return Basis(ref.owner, ref.slug, None, None, None, None, taken)
    published = tx.remotes.version(where.url, ref.base.version)
    tree = tx.deployments.tree(ref.base.tree)
    openapi = published.openapi if published else None
    return Basis(ref.owner, ref.slug, ref.base.version, ref.base.semver, tree, openapi, taken)


def _chosen(basis: Basis, given: str | None, of_manifest: str, asked: str | None) -> str:
    """The number named, else the manifest's if it is new, else the one the changes ask for."""
    if given is None:
        if basis.semver is None or asked is None:
            return of_manifest
        return of_manifest if comes_after(of_manifest, basis.semver) and of_manifest not in basis.taken else asked
    try:
        next_version(given, Bump.PATCH)
    except ValueError:
        raise NotAVersion(basis.name, given, asked or of_manifest) from None
    if given in basis.taken:
        raise VersionTaken(basis.name, given, asked or next_version(given, Bump.PATCH))
    return given


def _warnings(
    semver: str, basis: Basis, asked: str | None, manifest: Manifest, known: bool, serving: Serving
) -> list[str]:
    warnings = []
    if serving.unserved:
        warnings.append(f"the last save does not serve: {serving.unserved}; g{serving.generation} is what is published")
    if asked is not None and basis.semver is not None:
        if not comes_after(semver, basis.semver):
            warnings.append(f"{semver} does not come after {basis.semver}, and becomes the newest all the same")
        elif known and comes_after(asked, release_of(semver)):
            warnings.append(f"the changes ask for {asked}; {semver} promises callers more than it keeps")
    if manifest.version != semver:
        warnings.append(f"{MANIFEST_NAME} says version {manifest.version}; it is published as {semver}")
    return warnings


def _parsed(openapi: bytes | None) -> Mapping[str, Any]:
    found = json.loads(openapi) if openapi else {}
    return found if isinstance(found, dict) else {}
