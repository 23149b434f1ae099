"""HTTP of publishing and pulling. It is this machine's owner's: what is sent are its sessions, its keys, its files."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from local_server.client.errors import ApimarketClientError, ServerUnreachableError
from local_server.domain.ids import OpId
from local_server.domain.merge import Choice, Choices
from local_server.domain.merge_choices import Edited, Side
from local_server.domain.publish_errors import MarketplaceRefused, MarketplaceUnreachable
from local_server.domain.registry import Api
from local_server.registry.reference import register_convertor
from local_server.storage.blobs import BlobStore
from local_server.sync.asked import while_asked
from local_server.sync.service import Sync
from local_server.sync.views import (
    conflict_view,
    entry_view,
    outbox_view,
    plan_view,
    pulled_view,
    ref_view,
    resolved_view,
)
from local_server.wire.outbox import (
    ChoiceBody,
    ConflictView,
    ForgetMarketplace,
    OutboxEntryView,
    OutboxView,
    PublishApi,
    PublishView,
    PullApi,
    PulledView,
    PullVersion,
    RemoteApiView,
    ResolveConflict,
    ResolvedView,
    YankVersion,
)

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


@dataclass(frozen=True, slots=True)
class SyncRoutePorts:
    """What the routes are handed by the composition root."""

    sync: Callable[[Request], Sync]
    blobs: Callable[[Request], BlobStore]
    find: Callable[[Request, str], Awaitable[Api]]
    """By id, slug or owner/slug. Raises ApiNotFound."""
    start: Callable[[Request, Api], Awaitable[object]]
    """Have it run, if it does not."""


class _PassingOn(APIRoute):
    """A marketplace's refusal is answered as what it is here: somebody else's."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def passing_on(request: Request) -> Response:
            try:
                return await handle(request)
            except ServerUnreachableError as error:
                raise MarketplaceUnreachable(error.detail) from error
            except ApimarketClientError as error:
                raise MarketplaceRefused(error.detail, error.hint, error.code, error.status) from error

        return passing_on


def make_router(ports: SyncRoutePorts) -> APIRouter:
    """Below `/api/v1`."""
    register_convertor()
    router = APIRouter(tags=["publishing"], route_class=_PassingOn)
    _publishing(router, ports)
    _pulling(router, ports)
    _conflicts(router, ports)
    return router


def _publishing(router: APIRouter, ports: SyncRoutePorts) -> None:
    @router.post("/apis/{id:api}/publish", status_code=202, operation_id="publish_api")
    async def publish(request: Request, id: str, wanted: PublishApi) -> PublishView:
        """Publish what serves now: the very tree that ran. It goes into the outbox, and from there to the marketplace,
        over however many breaks of the line. With `dry_run` nothing is sent or queued."""
        api = await ports.find(request, id)
        publishing = ports.sync(request).publishing
        plan = await publishing.plan(api, wanted.version, wanted.remote)
        entry = None if wanted.dry_run else await publishing.queue(plan)
        return PublishView(plan=plan_view(plan), entry=entry_view(entry, api) if entry else None)

    @router.post("/apis/{id:api}/yank", operation_id="yank_version")
    async def yank(request: Request, id: str, wanted: YankVersion) -> RemoteApiView:
        """Nobody gets the version unasked any more; with `undo` everybody does again. It is not deleted: who pinned
        it keeps it."""
        api = await ports.find(request, id)
        reason = None if wanted.undo else wanted.reason
        return ref_view(await ports.sync(request).yank(api, wanted.version, reason, wanted.remote), api)

    @router.get("/outbox", operation_id="outbox")
    async def outbox(request: Request) -> OutboxView:
        """What is on its way to marketplaces, how far it is, and what they have."""
        sync = ports.sync(request)
        return outbox_view(await sync.overview(), sync.markets)

    @router.post("/outbox/{op}/retry", status_code=202, operation_id="retry_outgoing")
    async def retry(request: Request, op: str) -> OutboxEntryView:
        """Try again now, also what was rejected."""
        sync = ports.sync(request)
        await sync.retry(OpId(op))
        return entry_view(*await sync.entry(OpId(op)))

    @router.post("/outbox/{op}/cancel", operation_id="cancel_outgoing")
    async def cancel(request: Request, op: str) -> OutboxEntryView:
        """Give it up, if the marketplace does not have it yet."""
        sync = ports.sync(request)
        await sync.cancel(OpId(op))
        return entry_view(*await sync.entry(OpId(op)))


def _pulling(router: APIRouter, ports: SyncRoutePorts) -> None:
    @router.post("/sync/now", operation_id="sync_now")
    async def sync_now(request: Request) -> OutboxView:
        """Ask every known marketplace what is new, and send what waits without waiting longer."""
        sync = ports.sync(request)
        for entry in (await sync.overview()).entries:
            if entry.next_at is not None:
                await sync.retry(entry.op)
        sync.worker.wake()
        await sync.refresh()
        return outbox_view(await sync.overview(), sync.markets)

    @router.post("/sync/forget", operation_id="forget_marketplace")
    async def forget(request: Request, wanted: ForgetMarketplace) -> OutboxView:
        """Forget what is known of a marketplace: whose it is, and what it has. The next publish there begins anew."""
        sync = ports.sync(request)
        await sync.markets.forget(wanted.remote.rstrip("/"))
        return outbox_view(await sync.overview(), sync.markets)

    @router.post("/apis/{id:api}/pull", operation_id="pull_api")
    async def pull(request: Request, id: str, wanted: PullApi) -> PulledView:
        """Bring the newest version here; with `write` into the API's directory, if that holds nothing unpublished."""
        api = await ports.find(request, id)
        return pulled_view(await ports.sync(request).pulling.pull(api, wanted.remote, write=wanted.write))

    @router.post("/pull", status_code=201, operation_id="pull_version")
    async def pull_version(request: Request, wanted: PullVersion) -> PulledView:
        """A published version one may read, as an API of this machine: a new one, or where an earlier pull brought it
        that one, in its place. Who hangs up while it is fetched gives it up; what came until then need not be fetched
        again."""
        directory = Path(wanted.directory) if wanted.directory else None
        pulling = ports.sync(request).pulling
        fetched = await while_asked(request, pulling.fetch_new(wanted.name, wanted.remote, follow=wanted.follow))
        choices = _choices(wanted.choices)
        pulled = await pulling.add_new(fetched, directory, start=wanted.start, choices=choices)
        if wanted.start and pulled.updated and pulled.api is not None:
            await ports.start(request, pulled.api)
        return pulled_view(pulled)


def _conflicts(router: APIRouter, ports: SyncRoutePorts) -> None:
    @router.get("/apis/{id:api}/conflict", operation_id="read_conflict")
    async def read(request: Request, id: str, remote: str | None = None) -> ConflictView:
        """Both sides of a version that was made apart from the marketplace's newest, and what must be chosen."""
        api = await ports.find(request, id)
        conflicts = ports.sync(request).conflicts
        conflict = await conflicts.read(api, remote)
        merge = await asyncio.to_thread(conflicts.merged, conflict)
        return await asyncio.to_thread(conflict_view, conflict, merge, ports.blobs(request))

    @router.post("/apis/{id:api}/conflict", operation_id="resolve_conflict")
    async def resolve(request: Request, id: str, wanted: ResolveConflict) -> ResolvedView:
        """Settle it. The API's directory follows; it must hold nothing that was not published."""
        api = await ports.find(request, id)
        conflicts = ports.sync(request).conflicts
        if wanted.how == "fork":
            resolved, forked = await conflicts.fork(
                api, wanted.name or f"{api.slug}-fork", wanted.version, wanted.remote
            )
            return resolved_view(resolved, forked)
        choices = _choices(wanted.choices)
        return resolved_view(await conflicts.resolve(api, wanted.how, choices, wanted.version, wanted.remote), api)


def _choices(bodies: list[ChoiceBody]) -> Choices:
    files: dict[str, Choice] = {}
    fields: dict[str, Choice] = {}
    for body in bodies:
        if body.field is not None:
            fields[body.field] = Edited(body.value) if body.take == "edited" else Side(body.take)
        else:
            files[body.path] = Edited((body.text or "").encode()) if body.take == "edited" else Side(body.take)
    return Choices(files, fields)
