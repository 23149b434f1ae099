"""The client of a marketplace's sync endpoints: what this machine publishes and pulls with (docs/sync.md).

Bodies are packs, which the rest of the client knows nothing of. Answers are bounded before they are read: the other
side is not trusted with this machine's memory.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import quote, urlencode

import httpx2
from pydantic import BaseModel, ValidationError

from local_server.client.asynchronous import why
from local_server.client.errors import ApimarketClientError, ServerUnreachableError, problem_of, unexpected
from local_server.domain.packs import (
    MAX_FRAMES_BYTES,
    MAX_PACKED_HEAD_BYTES,
    MEDIA_TYPE,
    Frame,
    PackedBlob,
    PackReader,
)
from local_server.domain.sync_errors import PackDamaged, PackTooLarge
from local_server.wire.market import CatalogueFeed, SearchView
from local_server.wire.sync import (
    BatchView,
    BlobReceived,
    BlobsHead,
    ChangesView,
    OpView,
    PublishedApiView,
    PublishedVersionView,
    PublishedView,
    RefsView,
    SigningKeyView,
    SnapshotView,
    SyncInfo,
    TreeView,
    WantBlobs,
)

ROOT = "/api/v1/sync"
MAX_JSON_BYTES = 32 * 1024 * 1024
MAX_PACK_BYTES = MAX_PACKED_HEAD_BYTES + MAX_FRAMES_BYTES + 1024
PIECE_BYTES = 64 * 1024
_CONNECT_S = 5.0
_PATIENCE_S = 60.0
LONG_POLL_S = 25

M = TypeVar("M", bound=BaseModel)
Sent = Callable[[int], None]
"""Told how many bytes of a body went out."""


class BlobPack(NamedTuple):
    head: BlobsHead
    frames: list[Frame]


class MarketplaceClient:
    """Talks to the marketplace at `url`. Every method raises ApimarketClientError; ServerUnreachableError when none
    answers, or the line breaks. Redirects are not followed, nothing is taken from the environment."""

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url.rstrip("/")
        headers = {"User-Agent": "apimarket"}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx2.AsyncClient(
            headers=headers,
            timeout=httpx2.Timeout(_PATIENCE_S, connect=_CONNECT_S),
            trust_env=False,
            follow_redirects=False,
        )
        # They say what goes without saying (RFC 9110, 12.5.1; RFC 9112, 9.3), in each request again.
        del self._http.headers["accept"], self._http.headers["connection"]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """May be called twice."""
        await self._http.aclose()

    # -- The marketplace ---------------------------------------------------------------------------------------

    async def info(self) -> SyncInfo:
        return await self._ask("GET", "", SyncInfo)

    async def keys(self) -> list[SigningKeyView]:
        content = await self._content("GET", "/keys")
        return [_valid(SigningKeyView, one, self.url) for one in _list(content, self.url)]

    async def register_key(self, name: str, public_key: str) -> SigningKeyView:
        return await self._ask("POST", "/keys", SigningKeyView, {"name": name, "public_key": public_key})

    # -- Publishing --------------------------------------------------------------------------------------------

    async def publish(self, owner: str, slug: str, pack: bytes, sent: Sent = lambda count: None) -> PublishedView:
        return await self._send_pack(f"{_api(owner, slug)}/publish", pack, PublishedView, sent)

    async def operation(self, op: str) -> OpView:
        return await self._ask("GET", f"/ops/{_part(op)}", OpView)

    async def send_blobs(self, upload_id: str, pack: bytes, sent: Sent = lambda count: None) -> BatchView:
        return await self._send_pack(f"/uploads/{_part(upload_id)}/blobs", pack, BatchView, sent)

    async def blob_offset(self, upload_id: str, sha256: str) -> int:
        """How many bytes of a blob that is sent alone have arrived."""
        path = f"/uploads/{_part(upload_id)}/blobs/{_part(sha256)}"
        async with self._open("HEAD", path) as response:
            if response.status_code >= 300:
                # HEAD has no body to say why.
                raise problem_of(response.status_code, response.reason_phrase, b"", self.url + ROOT + path)
            return _whole(response.headers.get("upload-offset"), self.url)

    async def send_part(
        self, upload_id: str, sha256: str, offset: int, length: int, pieces: AsyncIterator[bytes]
    ) -> BlobReceived:
        """`length` bytes of the blob from `offset` on. Raises ApimarketClientError `wrong_offset`, with the true one in
        `extra`."""
        headers = {
            "Upload-Offset": str(offset),
            "Content-Length": str(length),
            "Content-Type": "application/octet-stream",
        }
        path = f"/uploads/{_part(upload_id)}/blobs/{_part(sha256)}"
        content = await self._content("PATCH", path, headers=headers, body=pieces)
        return _valid(BlobReceived, _json(content, self.url), self.url)

    async def commit(self, upload_id: str) -> PublishedView:
        return await self._ask("POST", f"/uploads/{_part(upload_id)}/commit", PublishedView)

    # -- Pulling -----------------------------------------------------------------------------------------------

    async def changes(self, since: str, wait_s: int = 0) -> ChangesView:
        query = urlencode({"since": since, "wait": wait_s})
        return await self._ask("GET", f"/changes?{query}", ChangesView, timeout_s=_PATIENCE_S + wait_s)

    async def snapshot(self, after: str | None = None) -> SnapshotView:
        query = f"?{urlencode({'after': after})}" if after else ""
        return await self._ask("GET", f"/snapshot{query}", SnapshotView)

    async def api(self, owner: str, slug: str) -> PublishedApiView:
        return await self._ask("GET", _api(owner, slug), PublishedApiView)

    async def version(self, owner: str, slug: str, semver: str) -> PublishedVersionView:
        return await self._ask("GET", f"{_api(owner, slug)}/versions/{_part(semver)}", PublishedVersionView)

    async def tree(self, tree: str, base: str | None = None, api: str | None = None) -> TreeView:
        query = urlencode({key: value for key, value in {"base": base, "api": api}.items() if value})
        return await self._ask("GET", f"/trees/{_part(tree)}{'?' if query else ''}{query}", TreeView)

    async def blobs(self, want: WantBlobs) -> BlobPack:
        """Raises PackDamaged too."""
        content = await self._content(
            "POST", "/blobs:batch", body=_encoded(want.model_dump(mode="json")), most=MAX_PACK_BYTES
        )
        return _read_pack(content, self.url)

    async def blob(self, tree: str, sha256: str, offset: int, api: str | None = None) -> AsyncIterator[bytes]:
        """The bytes of one blob from `offset` on, as they come."""
        query = f"?{urlencode({'api': api})}" if api else ""
        path = f"/trees/{_part(tree)}/blobs/{_part(sha256)}{query}"
        async with self._open("GET", path, headers={"Range": f"bytes={offset}-"} if offset else {}) as response:
            if response.status_code not in (200, 206) or (offset and response.status_code != 206):
                raise await self._refusal(response, path)
            async for piece in response.aiter_bytes():
                yield piece

    # -- The catalogue -----------------------------------------------------------------------------------------

    async def catalogue(self, since: int) -> CatalogueFeed:
        """What changed of the public catalogue after `since`. Needs no token."""
        path = f"/api/v1/marketplace/catalogue?{urlencode({'since': since})}"
        content = await self._content("GET", path, root="")
        # A thousand listings take some milliseconds to read, which are not the event loop's.
        return await asyncio.to_thread(lambda: _valid(CatalogueFeed, _json(content, self.url), self.url))

    async def search(self, query: str, timeout_s: float) -> SearchView:
        """`query` as in a URL. Needs no token."""
        path = f"/api/v1/marketplace/apis?{query}"
        content = await self._content("GET", path, root="", timeout_s=timeout_s)
        return _valid(SearchView, _json(content, self.url), self.url)

    # -- Refs --------------------------------------------------------------------------------------------------

    async def yank(self, owner: str, slug: str, semver: str, reason: str | None, revision: int) -> RefsView:
        """Without a reason it is put back in sight. `revision` is that of the yanked ones that was read. Raises
        ApimarketClientError `stale_ref`."""
        content = await self._content(
            "PATCH",
            f"{_api(owner, slug)}/yanked",
            headers={"If-Match": f'"{revision}"'},
            body=_encoded({"semver": semver, "yanked": reason is not None, "reason": reason or ""}),
        )
        return _valid(RefsView, _json(content, self.url), self.url)

    # -- Transport ---------------------------------------------------------------------------------------------

    async def _ask(
        self, method: str, path: str, model: type[M], body: Mapping[str, Any] | None = None, timeout_s: float = 0
    ) -> M:
        content = await self._content(
            method, path, body=None if body is None else _encoded(body), timeout_s=timeout_s or _PATIENCE_S
        )
        return _valid(model, _json(content, self.url), self.url)

    async def _send_pack(self, path: str, pack: bytes, model: type[M], sent: Sent) -> M:
        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(pack), PIECE_BYTES):
                piece = pack[start : start + PIECE_BYTES]
                yield piece
                sent(len(piece))

        headers = {"Content-Type": MEDIA_TYPE, "Content-Length": str(len(pack))}
        content = await self._content("POST", path, headers=headers, body=pieces())
        return _valid(model, _json(content, self.url), self.url)

    async def _content(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | AsyncIterator[bytes] | None = None,
        most: int = MAX_JSON_BYTES,
        timeout_s: float = _PATIENCE_S,
        root: str = ROOT,
    ) -> bytes:
        given = dict(headers or {})
        if isinstance(body, bytes):
            given.setdefault("Content-Type", "application/json")
        async with self._open(method, path, headers=given, body=body, timeout_s=timeout_s, root=root) as response:
            if response.status_code >= 300:
                raise await self._refusal(response, path)
            return await _bounded(response, most, self.url)

    async def _refusal(self, response: httpx2.Response, path: str) -> ApimarketClientError:
        content = await _bounded(response, MAX_JSON_BYTES, self.url)
        return problem_of(response.status_code, response.reason_phrase, content, self.url + ROOT + path)

    def _open(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | AsyncIterator[bytes] | None = None,
        timeout_s: float = _PATIENCE_S,
        root: str = ROOT,
    ) -> "_Exchange":
        timeout = httpx2.Timeout(timeout_s, connect=_CONNECT_S)
        stream = self._http.stream(
            method, f"{self.url}{root}{path}", headers=dict(headers or {}), content=body, timeout=timeout
        )
        return _Exchange(stream, self.url)


class _Exchange:
    """One request; whatever breaks it, before the answer or in the middle of it, is one error."""

    def __init__(self, stream: Any, url: str) -> None:
        self._stream = stream
        self._url = url

    async def __aenter__(self) -> httpx2.Response:
        try:
            response: httpx2.Response = await self._stream.__aenter__()
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise ServerUnreachableError(self._url, why(error), elsewhere=True) from error
        return response

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, at: Any) -> None:
        await self._stream.__aexit__(kind, error, at)
        if isinstance(error, httpx2.HTTPError):
            raise ServerUnreachableError(self._url, why(error), elsewhere=True) from error


async def _bounded(response: httpx2.Response, most: int, url: str) -> bytes:
    content = bytearray()
    async for piece in response.aiter_bytes():
        content += piece
        if len(content) > most:
            raise unexpected(response.status_code, f"{url} answered with more than {most:,} bytes")
    return bytes(content)


def _read_pack(content: bytes, url: str) -> BlobPack:
    """Raises PackDamaged, PackTooLarge, ApimarketClientError."""
    reader = PackReader()
    reader.feed(content)
    if reader.head is None:
        raise PackDamaged("it ends too early")
    head = _valid(BlobsHead, _json(reader.head, url), url)
    reader.expect([PackedBlob(**blob.model_dump()) for blob in head.blobs])
    frames = list(reader.frames())
    reader.finish()
    return BlobPack(head, frames)


def _valid(model: type[M], document: Any, url: str) -> M:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise unexpected(200, f"{url} did not answer with the JSON it should") from error


def _json(content: bytes, url: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise unexpected(200, f"{url} did not answer with JSON") from error


def _list(content: bytes, url: str) -> list[Any]:
    found = _json(content, url)
    if not isinstance(found, list):
        raise unexpected(200, f"{url} did not answer with the JSON it should")
    return found


def _whole(text: str | None, url: str) -> int:
    if text is None or not text.isascii() or not text.isdigit():
        raise unexpected(200, f"{url} did not say how many bytes it has")
    return int(text)


def _encoded(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def _api(owner: str, slug: str) -> str:
    return f"/apis/{_part(owner)}/{_part(slug)}"


def _part(text: str) -> str:
    return quote(text, safe="")


__all__ = ["LONG_POLL_S", "BlobPack", "MarketplaceClient", "PackDamaged", "PackTooLarge"]
