"""Learns what marketplaces have, and brings it here: fetched and checked first, then stored in one transaction.

What this machine's own state is made upon (the base) moves only together with the files: when the directory holds
exactly the base, nothing waits to be published, and the user asked for the files to be written, or they are the same.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from local_server.client.errors import ApimarketClientError
from local_server.client.marketplace import MarketplaceClient
from local_server.domain.events import Event, PullMoved
from local_server.domain.merge import Choices
from local_server.domain.outbox import Head, Remote, RemoteRef
from local_server.domain.publish_errors import NotPublished
from local_server.domain.registry import Api
from local_server.domain.trees import Tree
from local_server.failpoints import failpoint
from local_server.storage.base import Storage, Tx
from local_server.storage.blobs import BlobStore
from local_server.sync.clones import update_of
from local_server.sync.fetch import Fetch, Fetched, Told
from local_server.sync.known import known_now
from local_server.sync.marketplaces import Marketplaces
from local_server.sync.ports import SyncPorts
from local_server.wire.sync import RefsView


@dataclass(frozen=True, slots=True)
class Pulled:
    ref: RemoteRef
    head: Head
    fetched_bytes: int
    new_versions: Sequence[str]
    moved: bool
    written: bool
    conflict: bool
    api: Api | None
    kept: Sequence[str] = ()
    """Of a clone that was here: paths that are as they were changed here, or merged with that."""
    updated: bool = False
    """It was a clone that was here."""


@dataclass(frozen=True, slots=True)
class FetchedNew:
    """Somebody's version, here and checked, and no API yet."""

    ref: RemoteRef
    revision: int
    fetched: Fetched
    mine: bool
    pinned: bool
    new: Sequence[str]
    """Versions that the machine did not know of, newest first."""


class Pulling:
    def __init__(
        self,
        storage: Storage,
        blobs: BlobStore,
        markets: Marketplaces,
        ports: SyncPorts,
        publish: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self._storage = storage
        self._blobs = blobs
        self._markets = markets
        self._ports = ports
        self._publish = publish

    # -- News --------------------------------------------------------------------------------------------------

    async def refresh(self, url: str, wait_s: int = 0) -> int:
        """Read the marketplace's feed to its end; how many of the APIs of interest changed. Raises HistoryRewritten
        and what reaching it raises; then the cursor stays where it was."""
        async with self._markets.visit(url) as (client, remote):
            changed = 0
            while True:
                try:
                    page = await client.changes(remote.cursor, wait_s)
                except ApimarketClientError as error:
                    if error.code != "cursor_gone":
                        raise
                    return changed + await self._start_over(client, remote)
                latest = {(change.refs.owner, change.refs.slug): change.refs for change in page.changes}
                remote = replace(remote, cursor=page.cursor)
                changed += await self._note(remote, list(latest.values()))
                if not page.more:
                    return changed
                wait_s = 0

    async def _start_over(self, client: MarketplaceClient, remote: Remote) -> int:
        """The cursor is of a feed that is no more: read how everything stands."""
        after: str | None = None
        cursor = ""
        changed = 0
        while True:
            page = await client.snapshot(after)
            cursor = cursor or page.cursor
            changed += await self._note(remote, page.apis)
            if page.next is None:
                await self._note(replace(remote, cursor=cursor), [])
                return changed
            after = page.next

    async def _note(self, remote: Remote, refs: Sequence[RefsView]) -> int:
        def act(tx: Tx) -> int:
            tx.remotes.put(remote)
            changed = 0
            for view in refs:
                known = tx.remotes.ref(remote.url, view.owner, view.slug)
                if known is None and view.owner != remote.account:
                    continue  # other people's APIs are the catalogue's business
                now = known_now(remote.url, view, known)
                if now != known:
                    tx.remotes.put_ref(now)
                    changed += 1
            return changed

        return await self._storage.write(act)

    # -- One API -----------------------------------------------------------------------------------------------

    async def pull(self, api: Api, remote: str | None = None, *, write: bool = False) -> Pulled:
        """Bring the newest version here. Raises NotPublished, AnswerDamaged, DirectoryNotClean."""
        url = await self._markets.url_for(remote, api.id)
        ref = await self._ref_of(api, url)
        async with self._markets.visit(url) as (client, where):
            known = await _published(client, ref, api.slug)
            ref = known_now(url, known[0], ref, api.id)
            assert ref.head is not None
            base = ref.base.tree if ref.base else None
            fetch = Fetch(self._storage, self._blobs, client, where.marketplace_id, url, self._teller(url, ref.name))
            fetched = await fetch.version(ref.owner, ref.slug, ref.head.semver, base)
        failpoint("pull.fetched")
        return await self._take_over(api, ref, ref.head, fetched, _newer(known[1], ref.base), write=write)

    async def _take_over(
        self, api: Api, ref: RemoteRef, head: Head, fetched: Fetched, new: Sequence[str], *, write: bool
    ) -> Pulled:
        pending = await self._storage.read(lambda tx: tx.outbox.pending(api.id, ref.remote))
        was = ref.base
        base = await self._storage.read(lambda tx: tx.deployments.tree(was.tree)) if was else None
        local = await asyncio.to_thread(self._ports.read_directory, api) if api.directory else base
        same = local is not None and local.digest == head.tree
        clean = local is not None and base is not None and local.digest == base.digest
        written = False
        if write and ref.is_ahead and not pending and not same:
            written = await asyncio.to_thread(self._ports.write_directory, api, fetched.tree, base)
        moved = ref.is_ahead and not pending and (same or written)
        failpoint("pull.written")
        await self._keep(replace(ref, base=head if moved else ref.base), fetched)
        conflict = ref.is_ahead and not moved and (bool(pending) or not clean)
        return Pulled(ref, head, fetched.bytes, new, moved, written, conflict, api)

    async def fetch_head(self, url: str, ref: RemoteRef) -> Tree:
        """The newest version's tree, stored here if it was not. Raises NotPublished, AnswerDamaged."""
        assert ref.head is not None
        head = ref.head
        known = await self._storage.read(lambda tx: tx.deployments.tree(head.tree))
        version = await self._storage.read(lambda tx: tx.remotes.version(url, head.version))
        if known is not None and version is not None:
            return known
        async with self._markets.visit(url) as (client, where):
            fetch = Fetch(self._storage, self._blobs, client, where.marketplace_id, url)
            fetched = await fetch.version(ref.owner, ref.slug, head.semver, ref.base.tree if ref.base else None)
        await self._keep(ref, fetched)
        return fetched.tree

    # -- Other people's ----------------------------------------------------------------------------------------

    async def pull_new(
        self, name: str, remote: str | None = None, directory: Path | None = None, *, start: bool = False,
        follow: bool = False, choices: Choices | None = None,
    ) -> Pulled:  # fmt: skip
        """A version one may read (`owner/name`, or `owner/name@1.2.3`) as an API of this machine: same files, same
        manifest. Raises NotPublished, AnswerDamaged, NameTaken, UnusableDirectory, CloneClashes, DirectoryNotClean."""
        new = await self.fetch_new(name, remote, follow=follow)
        return await self.add_new(new, directory, start=start, choices=choices)

    async def fetch_new(self, name: str, remote: str | None = None, *, follow: bool = False) -> FetchedNew:
        """The first half: nothing is changed that shows. A version that is named is stayed at, unless `follow`. Raises
        NotPublished, AnswerDamaged."""
        full_name, _, pinned = name.partition("@")
        owner, _, slug = full_name.partition("/")
        url = await self._markets.url_for(remote)
        async with self._markets.visit(url) as (client, where):
            known = await self._storage.read(lambda tx: tx.remotes.ref(url, owner, slug))
            refs, lines = await _published(client, known or RemoteRef(url, owner, slug, None, None, None), full_name)
            ref = known_now(url, refs, known)
            assert ref.head is not None
            wanted = pinned or (ref.head.semver if owner == where.account else _newest(lines, ref))
            line = next((line for line in lines if line.semver == wanted), None)
            if line is None:
                raise NotPublished(name, url, [line.semver for line in lines])
            fetch = Fetch(self._storage, self._blobs, client, where.marketplace_id, url, self._teller(url, name))
            fetched = await fetch.version(owner, slug, line.semver, ref.base.tree if ref.base else None)
        stays = bool(pinned) and not follow
        return FetchedNew(ref, ref.head.revision, fetched, owner == where.account, stays, _newer(lines, ref.base))

    async def add_new(
        self, new: FetchedNew, directory: Path | None, *, start: bool, choices: Choices | None = None
    ) -> Pulled:
        """The second half: a new API, or the clone that is here already brought to this version in its place. Raises
        NameTaken, UnusableDirectory; of a clone CloneClashes, DirectoryNotClean."""
        ref, fetched, version = new.ref, new.fetched, new.fetched.version
        await self._keep(ref, fetched)
        clone = await self._clone(ref)
        if clone is not None and directory in (None, Path(clone.directory)):
            return await self._update(clone, new, choices or Choices())
        target = directory or self._ports.projects / version.slug
        api = await self._ports.add_directory(target, fetched.tree, start)
        head = Head(version.id, version.semver, version.tree, new.revision)
        if new.mine:
            ref = replace(ref, api_id=api.id, base=head)
        else:
            ref = replace(ref, clone=api.id, base=head, pinned=new.pinned)
        await self._keep(ref, fetched)
        return Pulled(ref, head, fetched.bytes, [version.semver], new.mine, True, False, api)

    async def _clone(self, ref: RemoteRef) -> Api | None:
        """What somebody's API is here, unless it was removed."""
        clone, base = ref.clone, ref.base
        if clone is None or base is None:
            return None
        return await self._storage.read(lambda tx: tx.registry.get(clone))

    async def _update(self, clone: Api, new: FetchedNew, choices: Choices) -> Pulled:
        """First the files, then what they are made upon: broken off between them, the next pull finds its own changes
        on both sides, and they are one."""
        ref, fetched, version = new.ref, new.fetched, new.fetched.version
        assert ref.base is not None
        was = ref.base.tree
        base = await self._storage.read(lambda tx: tx.deployments.tree(was))
        assert base is not None, "refs keep their trees"
        mine = await asyncio.to_thread(self._ports.read_directory, clone)
        update = await asyncio.to_thread(
            update_of, ref.name, version.semver, base, mine, fetched.tree, self._content, choices
        )
        for content in update.merge.made.values():
            await asyncio.to_thread(self._blobs.put, content)
        written = await asyncio.to_thread(self._ports.write_directory, clone, update.merge.tree, mine)
        failpoint("pull.written")
        moved = ref.base.version != version.id
        head = Head(version.id, version.semver, version.tree, new.revision)
        ref = replace(ref, base=head, pinned=new.pinned)
        await self._keep(ref, fetched)
        news = new.new if moved else ()
        return Pulled(ref, head, fetched.bytes, news, moved, written, False, clone, update.kept, updated=True)

    # -- Small parts -------------------------------------------------------------------------------------------

    def _content(self, sha256: str) -> bytes:
        with self._blobs.open(sha256) as file:
            return file.read()

    def _teller(self, url: str, name: str) -> Told:
        return lambda done_bytes, total_bytes: self._publish(PullMoved(url, name, done_bytes, total_bytes))

    async def _keep(self, ref: RemoteRef, fetched: Fetched) -> None:
        def act(tx: Tx) -> None:
            tx.deployments.add_tree(fetched.tree)
            tx.remotes.add_version(fetched.version)
            tx.remotes.put_ref(ref)

        await self._storage.write(act)
        failpoint("pull.stored")

    async def _ref_of(self, api: Api, url: str) -> RemoteRef:
        refs = await self._storage.read(lambda tx: tx.remotes.refs_of(api.id))
        found = [ref for ref in refs if ref.remote == url]
        if found:
            return found[0]
        where = await self._markets.remote(url)
        return RemoteRef(url, where.account, api.slug, api.id, None, None)


async def _published(client: MarketplaceClient, ref: RemoteRef, name: str) -> "tuple[RefsView, list[_Line]]":
    try:
        view = await client.api(ref.owner, ref.slug)
    except ApimarketClientError as error:
        if error.status == 404:
            raise NotPublished(name, client.url) from error
        raise
    if view.refs.head is None or view.refs.removed:
        raise NotPublished(name, client.url)
    return view.refs, [_Line(line.semver, line.id) for line in view.versions]


@dataclass(frozen=True, slots=True)
class _Line:
    semver: str
    id: str


def _newest(lines: Sequence[_Line], ref: RemoteRef) -> str:
    """That nobody took out of sight, if there is one. Of one's own it is the head in any case: the next is made upon
    it."""
    assert ref.head is not None
    return next((line.semver for line in lines if line.semver not in ref.yanked), ref.head.semver)


def _newer(lines: Sequence[_Line], base: Head | None) -> list[str]:
    """Those before the base, newest first."""
    found = []
    for line in lines:
        if base is not None and line.id == base.version:
            break
        found.append(line.semver)
    return found
