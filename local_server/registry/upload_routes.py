"""The upload of code over HTTP."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect

from local_server.domain.registry import Api
from local_server.domain.registry_errors import UploadRefused
from local_server.registry.reference import register_convertor
from local_server.registry.service import Registry
from local_server.registry.upload import Uploads, check_length
from local_server.wire.apis import ApiView, UploadView

_BINARY = {"type": "string", "format": "binary"}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "Files in fields named by their paths, or one archive.",
        "content": {
            "multipart/form-data": {"schema": {"type": "object", "additionalProperties": _BINARY}},
            "application/zip": {"schema": _BINARY},
            "application/gzip": {"schema": _BINARY},
        },
    }
}


def add_upload_route(
    router: APIRouter,
    registry_of: Callable[[Request], Registry],
    view: Callable[[Request, Api], Awaitable[ApiView]],
) -> None:
    register_convertor()
    uploads = Uploads()

    # The body is not a parameter: FastAPI would read all of it before it asks for the token.
    @router.post("/apis/{id:api}/upload", openapi_extra=_BODY)
    async def upload_api(request: Request, id: str, replace: bool = False) -> UploadView:
        """Write files into the API's directory, all or none: the files of a form, each in a field named by its path
        (or in fields called `file`, named by their file names), or one .zip or .tar.gz. Hot reload takes it from
        there. With `replace`, files that are not in the upload are removed (never ignored ones, apimarket.toml or
        ignore files)."""
        registry = registry_of(request)
        api = await registry.resolve(id)
        length = request.headers.get("content-length", "")
        check_length(int(length) if length.isdigit() else 0)
        content_type = request.headers.get("content-type", "")
        api, uploaded = await uploads.take(registry, api, content_type, _chunks(request), replace=replace)
        return UploadView(
            api=await view(request, api),
            written=list(uploaded.written),
            removed=list(uploaded.removed),
            bytes=uploaded.size_bytes,
        )


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect:
        raise UploadRefused("The upload broke off", "Send it again, whole.") from None
