"""Publishes a directory from a pipeline: the code that empties a laptop's outbox, over a store that is gone afterwards.

Nothing of the machine is used but the directory: the account is the token's, and the version is signed with a key made
for this one run, which the marketplace knows by the token.
"""

import asyncio
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from local_server.client.errors import ApimarketClientError
from local_server.domain.account_errors import AccessTokenInvalid
from local_server.domain.ids import ApiId, UserId
from local_server.domain.manifest import MANIFEST_NAME
from local_server.domain.manifest_document import manifest_document
from local_server.domain.manifest_toml import parse
from local_server.domain.outbox import UNFINISHED, Outgoing, RemoteRef
from local_server.domain.publish_errors import NothingServed, NotLoggedIn
from local_server.domain.registry import Api, ApiStage
from local_server.domain.trees import Tree
from local_server.registry.checkout import read_tree
from local_server.registry.manifest_file import edit
from local_server.registry.source import check_directory
from local_server.storage.base import Storage, Tx
from local_server.storage.blobs import BlobStore
from local_server.storage.sqlite import SqliteStorage
from local_server.sync.fetch import Fetch
from local_server.sync.known import known_now
from local_server.sync.marketplaces import Marketplaces
from local_server.sync.ports import Serving, SyncPorts
from local_server.sync.publishing import Publishing
from local_server.sync.views import entry_view, plan_view
from local_server.sync.worker import Worker
from local_server.system import RealSystem
from local_server.wire.outbox import PublishView

if TYPE_CHECKING:
    from local_server.client.outbox_documents import PublishDocument

PATIENCE_S = 600.0


def publish_directory(
    directory: str, remote: str, token: str, version: str | None, *, dry_run: bool = False
) -> "PublishDocument":
    """What `publish` of a server would answer, once it is published, refused, or ten minutes are over. Raises
    UnusableDirectory, InvalidManifest, NothingNew, NoRemote, AccessTokenInvalid, ApimarketClientError."""
    with tempfile.TemporaryDirectory(prefix="apimarket-") as home:
        view = asyncio.run(_publish(Path(directory).absolute(), Path(home), remote, token, version, dry_run))
    return cast("PublishDocument", json.loads(view.model_dump_json()))


async def _publish(
    directory: Path, home: Path, remote: str, token: str, version: str | None, dry_run: bool
) -> PublishView:
    root = check_directory(directory)
    storage = await SqliteStorage.open(home / "registry.db", lambda event: None)
    try:
        run = _Run(root, storage, BlobStore(home / "blobs"), token)
        url = await run.markets.url_for(remote)
        try:
            await run.learn(url, version)
        except NotLoggedIn as error:
            reason = f"says nothing at {url}: it is mistyped, expired, revoked, or of another marketplace"
            raise AccessTokenInvalid(reason) from error
        plan = await run.publishing.plan(run.api, version, url)
        if dry_run:
            return PublishView(plan=plan_view(plan))
        done = await run.through(await run.publishing.queue(plan))
        return PublishView(plan=plan_view(plan), entry=entry_view(done, run.api))
    finally:
        await storage.close()


class _Run:
    def __init__(self, root: Path, storage: Storage, blobs: BlobStore, token: str) -> None:
        system = RealSystem()
        self._storage = storage
        self._blobs = blobs
        self._tree = read_tree(root, blobs)
        if MANIFEST_NAME not in self._tree.entries:
            raise NothingServed(root.name, f"has no {MANIFEST_NAME}, which says its name and runtime")
        manifest = parse((root / MANIFEST_NAME).read_text("utf-8"), str(root / MANIFEST_NAME))
        now = system.now()
        self.api = Api(
            ApiId(system.new_id()), UserId(""), "", manifest.name, str(root), manifest, ApiStage.DRAFT, 1, now, now
        )
        self.markets = Marketplaces(storage, system, os.urandom(32), lambda url: token, list)
        ports = SyncPorts(
            serving=self._serving,
            openapi=_no_contract,
            manifest_document=manifest_document,
            read_directory=lambda api: self._tree,
            write_directory=_never_written,
            add_directory=_never_added,
            edit_manifest=edit,
            projects=root.parent,
        )
        self.worker = Worker(storage, blobs, system, self.markets, lambda event: None)
        self.publishing = Publishing(storage, blobs, system, self.markets, ports, self.worker.wake)

    async def learn(self, url: str, version: str | None) -> None:
        """What is published there is what the next version is made upon: a pipeline builds the newest source. `version`
        may be there already, from an earlier run."""
        async with self.markets.visit(url) as (client, remote):
            ref = RemoteRef(url, remote.account, self.api.slug, self.api.id, None, None)
            try:
                view = await client.api(ref.owner, ref.slug)
            except ApimarketClientError as error:
                if error.status != 404:
                    raise
                return
            ref = known_now(url, view.refs, ref)
            if ref.head is None:
                return
            fetch = Fetch(self._storage, self._blobs, client, remote.marketplace_id, url)
            known = [await fetch.outline(ref.owner, ref.slug, ref.head.semver)]
            if version in {line.semver for line in view.versions} - {ref.head.semver}:
                known.append(await fetch.outline(ref.owner, ref.slug, version or ""))

        def act(tx: Tx) -> None:
            for one in known:
                tx.deployments.add_tree(one.tree)
                tx.remotes.add_version(one.version)
            tx.remotes.put_ref(replace(ref, base=ref.head))

        await self._storage.write(act)

    async def through(self, entry: Outgoing) -> Outgoing:
        """Until nothing more can be done."""
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE_S
        op = entry.op
        while entry.state in UNFINISHED and loop.time() < end:
            delay_s = await self.worker.begin()
            await self.worker.settle()
            found: Outgoing | None = await self._storage.read(lambda tx: tx.outbox.get(op))
            entry = found or entry
            if entry.state in UNFINISHED and entry.trouble is not None:
                await asyncio.sleep(min(delay_s, 5.0))
        return entry

    async def _serving(self, api: Api) -> Serving:
        await self._storage.write(lambda tx: tx.deployments.add_tree(self._tree))
        return Serving(None, self._tree.digest)


async def _no_contract(api: Api, generation: int | None) -> bytes | None:
    """Nothing runs here that could be asked."""
    return None


def _never_written(api: Api, tree: Tree, known: Tree | None) -> bool:
    raise AssertionError("a pipeline's directory is only read")


async def _never_added(directory: Path, tree: Tree, start: bool) -> Api:
    raise AssertionError("a pipeline's directory is only read")
