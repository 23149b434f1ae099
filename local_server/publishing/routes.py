"""Publishing and pulling over HTTP, on the side of the marketplace (docs/sync.md)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response

from local_server.domain.access_tokens import PublishScope
from local_server.domain.accounts import Caller
from local_server.domain.ids import UserId
from local_server.domain.manifest import Visibility
from local_server.domain.packs import MEDIA_TYPE
from local_server.domain.publishing import Missing, Outcome
from local_server.domain.registry import User
from local_server.domain.sync_errors import BlobsMissing, RevisionRequired
from local_server.publishing import views
from local_server.publishing.blob_response import blob_response
from local_server.publishing.collection import Collection
from local_server.publishing.keys import SigningKeys
from local_server.publishing.reading import Reading
from local_server.publishing.refs import RefChanges
from local_server.publishing.service import Intake
from local_server.publishing.tokens import AccessTokens
from local_server.storage.blobs import BlobStore
from local_server.wire import sync as wire

LONGEST_WAIT_S = 60
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_PACK: dict[str, Any] = {"requestBody": {"required": True, "content": {MEDIA_TYPE: _BINARY}}}
_BYTES: dict[str, Any] = {"requestBody": {"required": True, "content": {"application/octet-stream": _BINARY}}}
_PACK_ANSWER: dict[int | str, Any] = {200: {"description": "A pack", "content": {MEDIA_TYPE: _BINARY}}}
_PART: dict[int | str, Any] = {
    200: {"description": "The blob", "content": {"application/octet-stream": _BINARY}},
    206: {"description": "A part of the blob", "content": {"application/octet-stream": _BINARY}},
}

Hash = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str | None, Query(max_length=200, description="owner/name, for an API that is unlisted.")]
IfMatch = Annotated[str, Header(description="The revision that was read, in quotes.")]


@dataclass(frozen=True, slots=True)
class Publications:
    """The services of what is published here."""

    marketplace_id: str
    intake: Intake
    reading: Reading
    refs: RefChanges
    keys: SigningKeys
    tokens: AccessTokens
    collection: Collection
    blobs: BlobStore
    runs: Callable[[UserId], bool]
    """Of which accounts what they publish is run here, too."""


@dataclass(frozen=True, slots=True)
class PublishingPorts:
    publications: Callable[[Request], Publications]
    caller: Callable[[Request], Caller]
    """Who was let in."""

    def user(self, request: Request) -> User:
        return self.caller(request).user

    def only(self, request: Request) -> PublishScope | None:
        """The one API that the caller's access token is for; None: it has a session."""
        token = self.caller(request).token
        return token.scope if token is not None else None


class Pack(Response):
    media_type = MEDIA_TYPE


def make_router(ports: PublishingPorts) -> APIRouter:
    """Below `/api/v1/sync`."""
    router = APIRouter(prefix="/sync", tags=["sync"])
    _add_marketplace(router, ports)
    _add_publishing(router, ports)
    _add_uploads(router, ports)
    _add_apis(router, ports)
    _add_objects(router, ports)
    _add_refs(router, ports)
    return router


def _add_marketplace(router: APIRouter, ports: PublishingPorts) -> None:
    @router.get("")
    async def sync_info(request: Request) -> wire.SyncInfo:
        """Which marketplace this is, who you are to it, where its feed stands, and what it takes."""
        here = ports.publications(request)
        return wire.SyncInfo(
            marketplace_id=here.marketplace_id,
            account=ports.user(request).handle,
            cursor=str(await here.reading.feed_end()),
            limits=views.limits_view(here.intake.limits),
            runs=here.runs(ports.user(request).id),
        )

    @router.get("/keys")
    async def list_signing_keys(request: Request) -> list[wire.SigningKeyView]:
        """Your signing keys, newest first."""
        found = await ports.publications(request).keys.of(ports.caller(request))
        return [views.key_view(key) for key in found]

    @router.post("/keys", status_code=201)
    async def register_signing_key(request: Request, body: wire.RegisterSigningKey) -> wire.SigningKeyView:
        """Make known which key you sign with. The same key again is no other."""
        keys = ports.publications(request).keys
        return views.key_view(await keys.register(ports.caller(request), body.name, body.public_key))

    @router.delete("/keys/{signer}", status_code=204)
    async def revoke_signing_key(request: Request, signer: str) -> Response:
        """Nothing new that the key signs is taken; what it signed before stays."""
        await ports.publications(request).keys.revoke(ports.user(request), signer)
        return Response(status_code=204)


def _add_publishing(router: APIRouter, ports: PublishingPorts) -> None:
    # Bodies are not parameters: FastAPI would read them whole before it asks for the token.
    @router.post(
        "/apis/{owner}/{slug}/publish",
        status_code=201,
        openapi_extra=_PACK,
        responses={200: {"description": "It had been committed before", "model": wire.PublishedView}},
    )
    async def publish_version(request: Request, response: Response, owner: str, slug: str) -> wire.PublishedView:
        """Publish a version, small blobs included. Nothing is visible until all of it is here."""
        intake = ports.publications(request).intake
        done = await intake.publish(ports.user(request), owner, slug, request.stream(), ports.only(request))
        return _published(done, response)

    @router.post(
        "/uploads/{upload}/commit",
        status_code=201,
        responses={200: {"description": "It had been committed before", "model": wire.PublishedView}},
    )
    async def commit_upload(request: Request, response: Response, upload: str) -> wire.PublishedView:
        """Publish what the upload waited with; answers as publishing does."""
        return _published(
            await ports.publications(request).intake.commit(ports.user(request), upload, ports.only(request)), response
        )

    @router.get("/ops/{op}")
    async def read_op(request: Request, op: str) -> wire.OpView:
        """What became of a publish of yours."""
        return views.op_view(
            op, await ports.publications(request).intake.operation(ports.user(request), op, ports.only(request))
        )


def _add_uploads(router: APIRouter, ports: PublishingPorts) -> None:
    @router.post("/uploads/{upload}/blobs", openapi_extra=_PACK)
    async def upload_blobs(request: Request, upload: str) -> wire.BatchView:
        """Some blobs of an upload, in one pack."""
        intake = ports.publications(request).intake
        stored, missing = await intake.receive(ports.user(request), upload, request.stream(), ports.only(request))
        return wire.BatchView(stored=list(stored), missing=list(missing))

    @router.head("/uploads/{upload}/blobs/{sha256}", response_class=Response)
    async def upload_offset(request: Request, upload: str, sha256: Hash) -> Response:
        """How many bytes of the blob are here, in `Upload-Offset`."""
        offset = await ports.publications(request).intake.offset(
            ports.user(request), upload, sha256, ports.only(request)
        )
        return Response(headers={"Upload-Offset": str(offset), "Cache-Control": "no-store"})

    @router.patch("/uploads/{upload}/blobs/{sha256}", openapi_extra=_BYTES)
    async def upload_part(
        request: Request, upload: str, sha256: Hash, upload_offset: Annotated[int, Header(ge=0, le=2**62)]
    ) -> wire.BlobReceived:
        """Go on with a large blob, from where it stopped."""
        offset, complete = await ports.publications(request).intake.append(
            ports.user(request), upload, sha256, upload_offset, request.stream(), ports.only(request)
        )
        return wire.BlobReceived(offset=offset, complete=complete)


def _add_apis(router: APIRouter, ports: PublishingPorts) -> None:
    @router.get("/apis/{owner}/{slug}")
    async def read_published_api(request: Request, owner: str, slug: str) -> wire.PublishedApiView:
        """What moves of an API, and its versions, newest first."""
        return views.api_view(*await ports.publications(request).reading.api(ports.user(request), owner, slug))

    @router.get("/apis/{owner}/{slug}/versions/{semver}")
    async def read_published_version(request: Request, owner: str, slug: str, semver: str) -> wire.PublishedVersionView:
        """One version, with what proves it."""
        reading = ports.publications(request).reading
        return views.version_view(*await reading.version(ports.user(request), owner, slug, semver))

    @router.get("/changes")
    async def read_changes(
        request: Request,
        since: Annotated[str, Query(max_length=100)] = "",
        wait: Annotated[int, Query(ge=0, le=LONGEST_WAIT_S, description="Seconds to wait for a first change.")] = 0,
    ) -> wire.ChangesView:
        """What happened since, in order."""
        return views.changes_view(await ports.publications(request).reading.changes(ports.user(request), since, wait))

    @router.get("/snapshot")
    async def read_snapshot(request: Request, after: Annotated[str, Query(max_length=100)] = "") -> wire.SnapshotView:
        """How everything stands that you may read, page by page."""
        page, following, cursor = await ports.publications(request).reading.snapshot(ports.user(request), after)
        return wire.SnapshotView(apis=[views.refs_view(refs) for refs in page], next=following, cursor=str(cursor))


def _add_objects(router: APIRouter, ports: PublishingPorts) -> None:
    @router.get("/trees/{tree}")
    async def read_tree(
        request: Request,
        tree: Hash,
        base: Annotated[str | None, Query(pattern=r"^[0-9a-f]{64}$")] = None,
        api: Name = None,
    ) -> wire.TreeView:
        """The files of a version, whole, or as what they are other than those of `base`."""
        return views.tree_view(
            *await ports.publications(request).reading.tree(ports.user(request), tree, base, api, ports.only(request))
        )

    @router.post("/blobs:batch", response_class=Pack, responses=_PACK_ANSWER)
    async def read_blobs(request: Request, body: wire.WantBlobs) -> Response:
        """Blobs of a tree, in one pack."""
        reading = ports.publications(request).reading
        return Pack(await reading.pack(ports.user(request), body.tree, body.base, body.want, body.api))

    @router.get("/trees/{tree}/blobs/{sha256}", response_class=Response, responses=_PART)
    async def read_blob(request: Request, tree: Hash, sha256: Hash, api: Name = None) -> Response:
        """One blob of a tree, or a part of it (`Range`)."""
        here = ports.publications(request)
        size_bytes = await here.reading.blob_size(ports.user(request), tree, sha256, api)
        return blob_response(here.blobs, sha256, size_bytes, request.headers.get("range"))


def _add_refs(router: APIRouter, ports: PublishingPorts) -> None:
    @router.patch("/apis/{owner}/{slug}/visibility")
    async def change_visibility(
        request: Request, owner: str, slug: str, body: wire.PatchVisibility, if_match: IfMatch = ""
    ) -> wire.RefsView:
        """Decide who sees the API."""
        refs, revision = ports.publications(request).refs, _revision(if_match)
        visibility = Visibility(body.visibility)
        return views.refs_view(await refs.show_to(ports.user(request), owner, slug, visibility, revision))

    @router.patch("/apis/{owner}/{slug}/yanked")
    async def change_yanked(
        request: Request, owner: str, slug: str, body: wire.PatchYanked, if_match: IfMatch = ""
    ) -> wire.RefsView:
        """Take a version back, or put it back. Who pinned it keeps it, and is told why."""
        refs, revision = ports.publications(request).refs, _revision(if_match)
        reason = body.reason if body.yanked else None
        return views.refs_view(await refs.yank(ports.user(request), owner, slug, body.semver, reason, revision))

    @router.delete("/apis/{owner}/{slug}")
    async def remove_published(request: Request, owner: str, slug: str, if_match: IfMatch = "") -> wire.RefsView:
        """Remove the API for good (`If-Match`: the head's revision). Its name stays reserved."""
        refs, revision = ports.publications(request).refs, _revision(if_match)
        return views.refs_view(await refs.remove(ports.user(request), owner, slug, revision))


def _published(done: Outcome | Missing, response: Response) -> wire.PublishedView:
    if isinstance(done, Missing):
        raise BlobsMissing(done.upload_id, done.missing, done.base_known)
    response.status_code = 200 if done.replayed else 201
    return views.published_view(done)


def _revision(if_match: str) -> int:
    """Raises RevisionRequired."""
    text = if_match.strip()
    number = text[1:-1]
    if len(text) < 3 or text[0] != '"' or text[-1] != '"' or not (number.isascii() and number.isdigit()):
        raise RevisionRequired(if_match)
    return int(number[:19])
