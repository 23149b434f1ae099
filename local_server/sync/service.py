"""Publishing and pulling as one thing: what the server holds, and its routes speak to."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from local_server.client.errors import ApimarketClientError
from local_server.domain.errors import ApimarketError
from local_server.domain.events import Event, OutboxChanged
from local_server.domain.ids import OpId
from local_server.domain.outbox import ALLOWED, UNFINISHED, OutboxState, Outgoing, Remote, RemoteRef
from local_server.domain.publish_errors import NotPublished, OutboxEntryNotFound, OutboxEntryStuck
from local_server.domain.registry import Api
from local_server.storage.base import ReadTx, Storage, Tx
from local_server.storage.blobs import BlobStore
from local_server.sync.conflicts import Conflicts
from local_server.sync.known import known_now
from local_server.sync.marketplaces import Marketplaces
from local_server.sync.ports import SyncPorts
from local_server.sync.publishing import Publishing
from local_server.sync.pulling import Pulling
from local_server.sync.worker import Worker
from local_server.system import System

logger = logging.getLogger("apimarket.sync")

NEWS_S = 60.0


@dataclass(frozen=True, slots=True)
class Overview:
    entries: list[Outgoing]
    remotes: list[Remote]
    refs: list[RemoteRef]
    """Of this machine's APIs."""
    clones: list[RemoteRef]
    """Of somebody else's that are here, by name."""
    apis: dict[str, Api]


class Sync:
    def __init__(
        self,
        storage: Storage,
        blobs: BlobStore,
        system: System,
        markets: Marketplaces,
        ports: SyncPorts,
        publish: Callable[[Event], None],
    ) -> None:
        self._storage = storage
        self._system = system
        self.markets = markets
        self.worker = Worker(storage, blobs, system, markets, publish)
        self.publishing = Publishing(storage, blobs, system, markets, ports, self.worker.wake)
        self.pulling = Pulling(storage, blobs, markets, ports, publish)
        self.conflicts = Conflicts(storage, blobs, system, markets, ports, self.publishing, self.pulling)

    async def follow_news(self) -> None:
        """Ask each known marketplace now and then what changed. Never returns."""
        while True:
            await asyncio.sleep(NEWS_S)
            await self.refresh()

    async def refresh(self) -> None:
        """Ask each known marketplace what changed; one that does not answer is noted as such."""
        for remote in await self._storage.read(lambda tx: tx.remotes.all()):
            try:
                await self.pulling.refresh(remote.url)
            except (ApimarketClientError, ApimarketError) as error:
                logger.info("%s could not be asked for news: %s", remote.url, error.detail)

    async def overview(self) -> Overview:
        def question(tx: ReadTx) -> Overview:
            remotes = list(tx.remotes.all())
            refs = [ref for remote in remotes for ref in tx.remotes.refs(remote.url)]
            return Overview(
                [self.worker.progress.get(entry.op, entry) for entry in tx.outbox.latest()],
                remotes,
                [ref for ref in refs if ref.api_id is not None],
                [ref for ref in refs if ref.clone is not None and ref.base is not None],
                {api.id: api for api in tx.registry.all()},
            )

        return await self._storage.read(question)

    async def entry(self, op: OpId) -> tuple[Outgoing, Api | None]:
        """As far as it has come. Raises OutboxEntryNotFound."""

        def question(tx: ReadTx) -> tuple[Outgoing | None, Api | None]:
            entry = tx.outbox.get(op)
            return entry, tx.registry.get(entry.api_id) if entry else None

        entry, api = await self._storage.read(question)
        if entry is None:
            raise OutboxEntryNotFound(op)
        return self.worker.progress.get(op, entry), api

    async def retry(self, op: OpId) -> None:
        """Try again now. Raises OutboxEntryNotFound, OutboxEntryStuck."""
        await self.entry(op)

        def act(tx: Tx) -> None:
            entry = tx.outbox.get(op)
            if entry is None or (entry.state not in UNFINISHED and OutboxState.QUEUED not in ALLOWED[entry.state]):
                raise OutboxEntryStuck(entry.semver if entry else "", entry.state if entry else "gone", "tried again")
            now = self._system.now()
            again = replace(entry, next_at=None) if entry.state in UNFINISHED else entry.moved(OutboxState.QUEUED, now)
            tx.outbox.save(again)
            tx.emit(OutboxChanged(entry.api_id, op))

        await self._storage.write(act)
        self.worker.wake()

    async def cancel(self, op: OpId) -> None:
        """Give it up, unless the marketplace has it already. Raises OutboxEntryNotFound, OutboxEntryStuck."""
        entry, _ = await self.entry(op)
        await self.worker.interrupt(entry)
        entry, _ = await self.entry(op)
        if entry.state in UNFINISHED and entry.state is not OutboxState.QUEUED:
            async with self.markets.visit(entry.remote) as (client, _):
                if (await client.operation(op)).state == "committed":
                    self.worker.wake()
                    raise OutboxEntryStuck(entry.semver, "published already", "canceled")

        def act(tx: Tx) -> None:
            entry = tx.outbox.get(op)
            if entry is None or OutboxState.CANCELED not in ALLOWED[entry.state]:
                raise OutboxEntryStuck(entry.semver if entry else "", entry.state if entry else "gone", "canceled")
            tx.outbox.save(entry.moved(OutboxState.CANCELED, self._system.now()))
            tx.emit(OutboxChanged(entry.api_id, op))

        await self._storage.write(act, lasting=True)
        self.worker.wake()

    async def yank(self, api: Api, semver: str, reason: str | None, remote: str | None = None) -> RemoteRef:
        """Nobody gets that version unasked any more; without a reason it is in sight again. Raises NotPublished,
        ApimarketClientError."""
        url = await self.markets.url_for(remote, api.id)
        refs = await self._storage.read(lambda tx: tx.remotes.refs_of(api.id))
        ref = next((ref for ref in refs if ref.remote == url), None)
        if ref is None or ref.head is None:
            raise NotPublished(api.slug, url)
        async with self.markets.visit(url) as (client, _):
            revision = (await client.api(ref.owner, ref.slug)).refs.yanked_rev
            view = await client.yank(ref.owner, ref.slug, semver, reason, revision)
        known = known_now(url, view, ref)
        await self._storage.write(lambda tx: tx.remotes.put_ref(known))
        return known
