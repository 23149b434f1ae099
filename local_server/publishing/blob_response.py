"""A blob as an HTTP answer, whole or one range of it (RFC 9110, 14.2)."""

import asyncio
import re
from collections.abc import AsyncIterator

from starlette.responses import Response, StreamingResponse

from local_server.domain.sync_errors import RangeBeyond
from local_server.storage.blobs import BlobStore

PIECE_BYTES = 256 * 1024
_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{0,18})")


def blob_response(blobs: BlobStore, sha256: str, size_bytes: int, wanted: str | None) -> Response:
    """What asks for several ranges, or for something else than bytes, gets the whole blob, as if it had not. Raises
    RangeBeyond."""
    headers = {"Accept-Ranges": "bytes", "ETag": f'"{sha256}"', "Cache-Control": "private, no-transform"}
    found = _RANGE.fullmatch(wanted) if wanted else None
    first = int(found[1]) if found else 0
    last = min(int(found[2]) if found and found[2] else size_bytes, size_bytes - 1)
    if found and (first >= size_bytes or last < first):
        raise RangeBeyond(wanted or "", size_bytes)
    if found:
        headers["Content-Range"] = f"bytes {first}-{last}/{size_bytes}"
    headers["Content-Length"] = str(last - first + 1)
    return StreamingResponse(
        _pieces(blobs, sha256, first, last + 1),
        status_code=206 if found else 200,
        headers=headers,
        media_type="application/octet-stream",
    )


async def _pieces(blobs: BlobStore, sha256: str, first: int, end: int) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(blobs.open, sha256)
    with file:
        file.seek(first)
        while first < end and (piece := await asyncio.to_thread(file.read, min(PIECE_BYTES, end - first))):
            first += len(piece)
            yield piece
