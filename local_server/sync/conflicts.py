"""Settles what two machines published apart: shown side by side, and made one version again.

Whatever is chosen, nothing published is rewritten: the outcome is a new version after the marketplace's head, or none.
The files in the API's directory always follow, so that the next publish cannot take the other side's changes back.
"""

import asyncio
from dataclasses import dataclass, replace
from typing import Literal

from local_server.domain.contract_changes import Bump, comes_after, next_version
from local_server.domain.ids import Digest
from local_server.domain.manifest import MANIFEST_NAME
from local_server.domain.manifest_toml import render
from local_server.domain.merge import Choices, TreeMerge, merge_trees
from local_server.domain.outbox import ALLOWED, Head, OutboxState, Outgoing, RemoteRef
from local_server.domain.publish_errors import ConflictUnsettled, NoConflict, VersionTaken
from local_server.domain.registry import Api
from local_server.domain.trees import Tree, TreeEntry
from local_server.failpoints import failpoint
from local_server.storage.base import Storage, Tx
from local_server.storage.blobs import BlobStore
from local_server.sync.marketplaces import Marketplaces
from local_server.sync.ports import SyncPorts
from local_server.sync.publishing import Publishing
from local_server.sync.pulling import Pulling
from local_server.system import System

How = Literal["merge", "mine", "theirs"]
EMPTY = Tree({})


@dataclass(frozen=True, slots=True)
class Conflict:
    ref: RemoteRef
    head: Head
    pending: tuple[Outgoing, ...]
    """What was to be published, oldest first."""
    base: Tree
    mine: Tree
    theirs: Tree
    next_version: str

    @property
    def newest(self) -> Outgoing | None:
        return self.pending[-1] if self.pending else None


@dataclass(frozen=True, slots=True)
class Resolved:
    how: str
    tree: Tree
    entry: Outgoing | None
    written: bool


class Conflicts:
    def __init__(
        self,
        storage: Storage,
        blobs: BlobStore,
        system: System,
        markets: Marketplaces,
        ports: SyncPorts,
        publishing: Publishing,
        pulling: Pulling,
    ) -> None:
        self._storage = storage
        self._blobs = blobs
        self._system = system
        self._markets = markets
        self._ports = ports
        self._publishing = publishing
        self._pulling = pulling

    async def read(self, api: Api, remote: str | None = None) -> Conflict:
        """Raises NoConflict, and what fetching the other side raises."""
        url = await self._markets.url_for(remote, api.id)
        refs = await self._storage.read(lambda tx: tx.remotes.refs_of(api.id))
        ref = next((ref for ref in refs if ref.remote == url), None)
        if ref is None or ref.head is None or not ref.is_ahead:
            raise NoConflict(api.slug)
        theirs = await self._pulling.fetch_head(url, ref)
        pending = tuple(await self._storage.read(lambda tx: tx.outbox.pending(api.id, url)))
        base = await self._tree(ref.base.tree) if ref.base else EMPTY
        if pending:
            mine = await self._tree(pending[-1].tree)
        else:
            mine = await asyncio.to_thread(self._ports.read_directory, api) if api.directory else base
        taken = [ref.head.semver, *(entry.semver for entry in pending)]
        newest = taken[0]
        for semver in taken:
            newest = semver if comes_after(semver, newest) else newest
        return Conflict(ref, ref.head, pending, base, mine, theirs, next_version(newest, Bump.PATCH))

    def merged(self, conflict: Conflict, choices: Choices | None = None) -> TreeMerge:
        """Blocking."""
        return merge_trees(conflict.base, conflict.mine, conflict.theirs, self._content, choices)

    async def resolve(
        self, api: Api, how: How, choices: Choices | None = None, version: str | None = None, remote: str | None = None
    ) -> Resolved:
        """Raises NoConflict, ConflictUnsettled, DirectoryNotClean, VersionTaken, InvalidManifest."""
        conflict = await self.read(api, remote)
        if how == "theirs":
            written = await self._write(api, conflict, conflict.theirs)
            await self._storage.write(lambda tx: self._give_up(tx, conflict))
            return Resolved(how, conflict.theirs, None, written)
        tree = conflict.mine if how == "mine" else await self._settled(conflict, choices)
        if tree.digest == conflict.theirs.digest:  # they came to the same
            written = await self._write(api, conflict, tree)
            await self._storage.write(lambda tx: self._give_up(tx, conflict))
            return Resolved(how, tree, None, written)
        entry = await self._entry(api, conflict, tree, version or conflict.next_version)
        written = await self._write(api, conflict, tree)
        failpoint("resolve.written")

        def first(tx: Tx) -> None:
            tx.deployments.add_tree(tree)
            self._give_up(tx, conflict)

        await self._publishing.add(entry, _blobs(tree), first)
        return Resolved(how, tree, entry, written)

    async def fork(
        self, api: Api, name: str, version: str | None = None, remote: str | None = None
    ) -> tuple[Resolved, Api]:
        """Mine goes on under another name, in a directory of its own; here theirs counts from now on. Raises as
        `resolve` does, and NameTaken, UnusableDirectory."""
        conflict = await self.read(api, remote)
        tree = await asyncio.to_thread(self._renamed, conflict.mine, api, name)
        written = await self._write(api, conflict, conflict.theirs)
        forked = await self._ports.add_directory(self._ports.projects / name, tree, True)
        where = await self._markets.remote(conflict.ref.remote)
        semver = version or (conflict.newest.semver if conflict.newest else conflict.next_version)
        entry = await asyncio.to_thread(
            self._publishing.signed, forked, where, where.account, name, semver, tree, [], None
        )

        def first(tx: Tx) -> None:
            tx.deployments.add_tree(tree)
            self._give_up(tx, conflict)

        await self._publishing.add(entry, _blobs(tree), first)
        return Resolved("fork", tree, entry, written), forked

    # -- Small parts -------------------------------------------------------------------------------------------

    async def _settled(self, conflict: Conflict, choices: Choices | None) -> Tree:
        merge = await asyncio.to_thread(self.merged, conflict, choices)
        if merge.conflicts:
            raise ConflictUnsettled(
                [_shown(found.path, [one.key for one in found.fields]) for found in merge.conflicts]
            )
        for content in merge.made.values():
            await asyncio.to_thread(self._blobs.put, content)
        return merge.tree

    async def _entry(self, api: Api, conflict: Conflict, tree: Tree, semver: str) -> Outgoing:
        """After their head; what was mine is named as the second parent, where it was a version already."""
        known = await self._storage.read(
            lambda tx: tx.remotes.versions(conflict.ref.remote, conflict.ref.owner, conflict.ref.slug)
        )
        if semver in {one.semver for one in known}:
            raise VersionTaken(conflict.ref.name, semver, conflict.next_version)
        where = await self._markets.remote(conflict.ref.remote)
        parents = [conflict.head.version]
        openapi = conflict.newest.openapi if conflict.newest and tree.digest == conflict.mine.digest else None
        return await asyncio.to_thread(
            self._publishing.signed, api, where, conflict.ref.owner, conflict.ref.slug, semver, tree, parents, openapi
        )

    async def _write(self, api: Api, conflict: Conflict, tree: Tree) -> bool:
        if not api.directory:
            return False
        return await asyncio.to_thread(self._ports.write_directory, api, tree, conflict.mine)

    def _give_up(self, tx: Tx, conflict: Conflict) -> None:
        """What was to be published is replaced, and the state here is made upon their head from now on."""
        now = self._system.now()
        for entry in tx.outbox.pending(conflict.pending[0].api_id, conflict.ref.remote) if conflict.pending else ():
            if OutboxState.CANCELED in ALLOWED[entry.state]:
                tx.outbox.save(entry.moved(OutboxState.CANCELED, now))
        ref = tx.remotes.ref(conflict.ref.remote, conflict.ref.owner, conflict.ref.slug) or conflict.ref
        tx.remotes.put_ref(replace(ref, base=conflict.head))

    def _renamed(self, tree: Tree, api: Api, name: str) -> Tree:
        """The same files, but for the name in apimarket.toml. Blocking."""
        entry = tree.entries.get(MANIFEST_NAME)
        if entry is None:
            text = render(replace(api.manifest, name=name))
        else:
            text = self._ports.edit_manifest(self._content(entry.sha256).decode(), {"api.name": name})
        sha256, size_bytes = self._blobs.put(text.encode())
        return Tree({**tree.entries, MANIFEST_NAME: TreeEntry(sha256, size_bytes, 0o644)})

    async def _tree(self, digest: Digest) -> Tree:
        tree = await self._storage.read(lambda tx: tx.deployments.tree(digest))
        assert tree is not None, "refs and entries keep their trees"
        return tree

    def _content(self, sha256: str) -> bytes:
        with self._blobs.open(sha256) as file:
            return file.read()


def _blobs(tree: Tree) -> set[str]:
    return {entry.sha256 for entry in tree.entries.values()}


def _shown(path: str, keys: list[str]) -> str:
    return f"{path} ({', '.join(keys)})" if keys else path
