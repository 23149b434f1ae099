"""A kept request once more, through the same code that carried it, with nobody at the other end but a buffer."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from time import perf_counter
from typing import TYPE_CHECKING

from local_server.domain.exchanges import BODY_BYTES, Answer, Body, header
from local_server.gateway.access_log import Trace
from local_server.gateway.hosts import SERVER, Site
from local_server.gateway.proxy import Exchange
from local_server.gateway.request import Request
from local_server.gateway.request_head import RequestHead

if TYPE_CHECKING:
    from local_server.domain.exchanges import Exchange as Kept
    from local_server.gateway.admission import Admission
    from local_server.gateway.asgi_types import Message
    from local_server.gateway.table import Entry

LONGEST_S = 60.0
"""A stream without an end is cut off then."""
MARK = b"x-apimarket-replay: 1\r\n"
"""What the API can tell a replay by; no caller can send it."""


class _Audience:
    """Takes the answer in the client's place."""

    def __init__(self, content: bytes) -> None:
        self._content: bytes | None = content
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.kept = bytearray()
        self.size = 0
        self.digest = hashlib.sha256()
        self.complete = False

    async def receive(self) -> Message:
        if self._content is None:
            await asyncio.Event().wait()  # it never hangs up
        content, self._content = self._content, None
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message["headers"]
            return
        body = message.get("body", b"")
        self.kept += body[: BODY_BYTES - len(self.kept)]
        self.size += len(body)
        self.digest.update(body)
        self.complete = not message.get("more_body", False)


def head_of(kept: Kept) -> RequestHead:
    """The request's head as the gateway read it then."""
    head = RequestHead()
    for name, value in kept.request_headers:
        head.lines += (name.encode("latin-1"), b": ", value.encode("latin-1"), b"\r\n")
    head.host = header(kept.request_headers, "host").encode("latin-1")
    head.length = kept.request_body.size
    head.chunked = bool(head.length) and not header(kept.request_headers, "content-length")
    return head


async def replay(
    admission: Admission, entry: Entry, kept: Kept, head: RequestHead, forwarded: tuple[bytes, ...], request_id: str
) -> Answer:
    """Returns when the answer is whole, has broken off, or has gone on for `LONGEST_S`."""
    audience = _Audience(kept.request_body.content)
    started_s = perf_counter()
    trace = Trace(
        request_id,
        entry.route.api_id,
        kept.execution.method,
        kept.path.encode("latin-1"),
        kept.execution.started_at,
        started_s,
    )
    target = kept.target.encode("latin-1")
    route, host = entry.route, head.host.decode("latin-1")
    request = Request(
        kept.execution.method, target, head, (*forwarded, MARK), audience.receive, audience.send, [],
        site=SERVER if kept.prefix else Site(route.slug, route.owner, host[host.rfind("localhost") :]),
    )  # fmt: skip
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LONGEST_S):
            await Exchange(admission, entry, request, trace).run()
    return Answer(
        generation=trace.generation,
        status=audience.status or trace.status,
        headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in audience.headers),
        body=Body(bytes(audience.kept), audience.size),
        digest=audience.digest.hexdigest(),
        total_us=int((perf_counter() - started_s) * 1_000_000),
        complete=audience.complete,
        version=trace.version,
    )
