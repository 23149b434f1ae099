"""Takes one outgoing version to its marketplace, as far as one attempt goes.

Every step is written down before the next begins, and what the marketplace holds is asked of it after every break: so
an attempt may end anywhere, by a cut line or by the end of the process, and the next one sends only what is not there.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from local_server.client.errors import ApimarketClientError
from local_server.client.marketplace import PIECE_BYTES, MarketplaceClient
from local_server.domain.events import OutboxChanged
from local_server.domain.ids import Digest
from local_server.domain.outbox import Head, OutboxState, Outgoing, PublishedVersion, RemoteRef, Trouble
from local_server.domain.trees import Tree
from local_server.failpoints import failpoint
from local_server.storage.base import Storage, Tx
from local_server.storage.blobs import BlobStore
from local_server.sync.answers import Meaning, meaning_of, trouble_of
from local_server.sync.known import known_now
from local_server.sync.packing import batch_pack, publish_pack
from local_server.sync.plan import PushPlan, batched, plan_push
from local_server.system import System
from local_server.wire.sync import PublishedView


@dataclass(frozen=True, slots=True)
class Lacking:
    """The marketplace waits for blobs."""

    upload_id: str
    missing: Sequence[str]
    base_known: bool = True


Reached = Outgoing | tuple[Outgoing, Lacking]
"""Where an entry is after an answer: at an end, or waiting for blobs to be sent."""


class Push:
    """`moved` hears of every step and of progress in between."""

    def __init__(
        self,
        storage: Storage,
        blobs: BlobStore,
        system: System,
        market: MarketplaceClient,
        public_key: bytes,
        moved: Callable[[Outgoing], None] = lambda entry: None,
    ) -> None:
        self._storage = storage
        self._blobs = blobs
        self._system = system
        self._market = market
        self._public_key = public_key
        self._moved = moved
        self._told: tuple[PushPlan | None, Tree | None] = None, None
        """How the tree was told in this attempt; batches after a break must do without bases."""

    async def attempt(self, entry: Outgoing) -> Outgoing:
        """How far it came: applied, in conflict or rejected. Raises ApimarketClientError for what may be over at the
        next attempt; what was reached by then is written down."""
        tree = await self._tree(entry.tree)
        reached = await self._begin(entry, tree)
        while isinstance(reached, tuple):
            waiting, lacking = reached
            reached = await self._answered(waiting, self._supply(waiting, lacking, tree))
        return reached

    # -- Steps -------------------------------------------------------------------------------------------------

    async def _begin(self, entry: Outgoing, tree: Tree) -> Reached:
        if entry.state is OutboxState.QUEUED:
            return await self._request(entry, tree)
        known = await self._market.operation(entry.op)
        if known.state == "committed" and known.published is not None:
            return await self._apply(entry, known.published)
        if known.state == "staged" and known.upload_id is not None:
            return await self._lacks(entry, Lacking(known.upload_id, known.missing))
        return await self._request(await self._save(entry.moved(OutboxState.QUEUED, self._now())), tree)

    async def _request(self, entry: Outgoing, tree: Tree, *, whole: bool = False) -> Reached:
        """Say what is to be published, small blobs included. `whole`: without reference to a base."""
        ref = await self._storage.read(lambda tx: tx.remotes.ref(entry.remote, entry.owner, entry.slug))
        head = ref.head if ref else None
        if (head.version if head else None) != (entry.parents[0] if entry.parents else None):
            return await self._save(entry.moved(OutboxState.CONFLICT, self._now(), trouble=_head_moved(entry, head)))
        base = await self._storage.read(lambda tx: tx.deployments.tree(head.tree)) if head and not whole else None
        plan = plan_push(tree, base)
        if entry.state is OutboxState.QUEUED:
            totals = {"total_bytes": plan.bytes, "total_blobs": len(plan.sizes), "sent_bytes": 0, "sent_blobs": 0}
            entry = await self._save(entry.moved(OutboxState.SENDING, self._now(), **totals))
        failpoint("outbox.sending")
        self._told = plan, base
        pack = await asyncio.to_thread(publish_pack, entry, plan, base, head.revision if head else 0, self._blobs)
        reached = await self._answered(entry, self._market.publish(entry.owner, entry.slug, pack))
        if isinstance(reached, tuple) and not reached[1].base_known and not whole:
            return await self._request(reached[0], tree, whole=True)
        return reached

    async def _supply(self, entry: Outgoing, lacking: Lacking, tree: Tree) -> PublishedView:
        """Send what is missing, then commit."""
        entry = await self._save(entry.moved(OutboxState.UPLOADING, self._now()))
        failpoint("outbox.uploading")
        sizes = {one.sha256: one.size_bytes for one in tree.entries.values()}
        batches = batched(lacking.missing, sizes)
        progress = _Progress(sum(sizes[sha256] for sha256 in lacking.missing), len(lacking.missing))
        for group in batches.together:
            pack = await asyncio.to_thread(batch_pack, group, *self._told, self._blobs)
            await self._market.send_blobs(lacking.upload_id, pack)
            progress.add(sum(sizes[sha256] for sha256 in group), len(group))
            entry = await self._save(progress.of(entry))
            failpoint("outbox.batch-sent")
        for sha256 in batches.alone:
            await self._send_alone(lacking.upload_id, sha256, sizes[sha256], entry, progress)
            progress.add(0, 1)
            entry = await self._save(progress.of(entry))
            failpoint("outbox.blob-sent")
        entry = await self._save(entry.moved(OutboxState.COMMITTING, self._now()))
        failpoint("outbox.committing")
        return await self._market.commit(lacking.upload_id)

    async def _send_alone(
        self, upload_id: str, sha256: str, size_bytes: int, entry: Outgoing, progress: "_Progress"
    ) -> None:
        """A large blob, from where it stopped."""
        offset = await self._market.blob_offset(upload_id, sha256)
        progress.bytes += offset

        async def pieces() -> AsyncIterator[bytes]:
            with self._blobs.open(sha256) as file:
                file.seek(offset)
                while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
                    yield piece
                    progress.bytes += len(piece)
                    self._moved(progress.of(entry))

        await self._market.send_part(upload_id, sha256, offset, size_bytes - offset, pieces())

    # -- Answers -----------------------------------------------------------------------------------------------

    async def _answered(self, entry: Outgoing, answer: Awaitable[PublishedView]) -> Reached:
        try:
            published = await answer
        except ApimarketClientError as error:
            return await self._refused(await self._stored(entry), error)
        failpoint("outbox.answered")
        return await self._apply(await self._stored(entry), published)

    async def _refused(self, entry: Outgoing, error: ApimarketClientError) -> Reached:
        match meaning_of(error, entry.attempts):
            case Meaning.MISSING:
                missing = [str(sha256) for sha256 in error.extra.get("missing") or []]
                base_known = error.extra.get("base_known") is not False
                return await self._lacks(entry, Lacking(str(error.extra.get("upload_id")), missing, base_known))
            case Meaning.EXISTS if error.extra.get("version") == entry.version:
                return await self._apply(entry, await self._existing(entry))
            case Meaning.EXISTS | Meaning.CONFLICT:
                ref = await self._look_again(entry)
                if ref.head is not None and ref.head.version not in entry.parents[:1]:
                    trouble = _head_moved(entry, ref.head)
                    return await self._save(entry.moved(OutboxState.CONFLICT, self._now(), trouble=trouble))
            case Meaning.AFRESH:
                await self._save(entry.moved(OutboxState.QUEUED, self._now()))
                raise error
            case Meaning.AGAIN:
                raise error
        return await self._save(entry.moved(OutboxState.REJECTED, self._now(), trouble=trouble_of(error)))

    async def _lacks(self, entry: Outgoing, lacking: Lacking) -> tuple[Outgoing, Lacking]:
        if entry.state is not OutboxState.NEED_BLOBS:
            entry = await self._save(entry.moved(OutboxState.NEED_BLOBS, self._now(), upload_id=lacking.upload_id))
        failpoint("outbox.missing")
        return entry, lacking

    async def _existing(self, entry: Outgoing) -> PublishedView:
        """The same version, published under another operation: by this machine before it lost its outbox."""
        found = (await self._market.api(entry.owner, entry.slug)).refs
        return PublishedView(
            api=entry.name, version=entry.version, semver=entry.semver, tree=entry.tree, head_rev=found.head_rev,
            change=0, replayed=True,
        )  # fmt: skip

    async def _look_again(self, entry: Outgoing) -> RemoteRef:
        """What the marketplace has now; it is noted, so that both sides can be shown. Where that is another head than
        the entry was made upon, the two are in conflict, also if they only took the same number."""
        refs = (await self._market.api(entry.owner, entry.slug)).refs

        def act(tx: Tx) -> RemoteRef:
            known = tx.remotes.ref(entry.remote, entry.owner, entry.slug)
            ref = known_now(entry.remote, refs, known, entry.api_id)
            tx.remotes.put_ref(ref)
            return ref

        return await self._storage.write(act)

    async def _apply(self, entry: Outgoing, published: PublishedView) -> Outgoing:
        """The marketplace has it: write down that this machine's state is made upon it."""
        if entry.state is not OutboxState.COMMITTED:
            entry = await self._save(entry.moved(OutboxState.COMMITTED, self._now()))
        failpoint("outbox.committed")
        done = entry.moved(OutboxState.APPLIED, self._now(), sent_bytes=entry.total_bytes, sent_blobs=entry.total_blobs)
        head = Head(entry.version, entry.semver, entry.tree, published.head_rev)

        def act(tx: Tx) -> None:
            known = tx.remotes.ref(entry.remote, entry.owner, entry.slug)
            ref = known or RemoteRef(entry.remote, entry.owner, entry.slug, entry.api_id, None, None)
            newer = ref.head is not None and ref.head.revision > head.revision
            tx.remotes.put_ref(replace(ref, api_id=entry.api_id, head=ref.head if newer else head, base=head))
            tx.remotes.add_version(_as_published(entry, self._public_key))
            tx.outbox.save(done)
            tx.outbox.prune()
            tx.emit(OutboxChanged(entry.api_id, entry.op))

        await self._storage.write(act)
        failpoint("outbox.applied")
        return done

    # -- Small parts -------------------------------------------------------------------------------------------

    async def _save(self, entry: Outgoing) -> Outgoing:
        def act(tx: Tx) -> None:
            tx.outbox.save(entry)
            tx.emit(OutboxChanged(entry.api_id, entry.op))

        await self._storage.write(act)
        return entry

    async def _stored(self, entry: Outgoing) -> Outgoing:
        """As it was last written down: supplying blobs moves it on."""
        return await self._storage.read(lambda tx: tx.outbox.get(entry.op)) or entry

    async def _tree(self, digest: Digest) -> Tree:
        tree = await self._storage.read(lambda tx: tx.deployments.tree(digest))
        assert tree is not None, "an entry that is not finished keeps its tree"
        return tree

    def _now(self) -> datetime:
        return self._system.now()


@dataclass(slots=True)
class _Progress:
    """Of content, counted from what the marketplace has already."""

    total_bytes: int
    total_blobs: int
    bytes: int = 0
    blobs: int = 0

    def add(self, bytes: int, blobs: int) -> None:
        self.bytes += bytes
        self.blobs += blobs

    def of(self, entry: Outgoing) -> Outgoing:
        return replace(
            entry,
            sent_bytes=self.bytes,
            sent_blobs=self.blobs,
            total_bytes=max(self.total_bytes, self.bytes),
            total_blobs=self.total_blobs,
        )


def _head_moved(entry: Outgoing, head: Head | None) -> Trouble:
    what = f"{head.semver}, which this was not made upon" if head else "none of the version that this was made upon"
    return Trouble(
        "head_moved",
        f"The marketplace has {what}: somebody else published meanwhile",
        f"See both sides: apimarket sync --resolve {entry.slug}"
        "  then choose with --merge, --mine, --theirs or --fork NEW-NAME",
    )


def _as_published(entry: Outgoing, public_key: bytes) -> PublishedVersion:
    return PublishedVersion(
        entry.remote, entry.version, entry.owner, entry.slug, entry.semver, entry.tree, entry.document, entry.signer,
        public_key, entry.signature, entry.openapi,
    )  # fmt: skip
