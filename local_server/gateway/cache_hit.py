"""A kept answer on its way to a caller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_server.domain.executions import outcome_of_status
from local_server.gateway.response_head import full_headers

if TYPE_CHECKING:
    from local_server.gateway.access_log import Trace
    from local_server.gateway.asgi_types import RawHeaders
    from local_server.gateway.cache import Shelf
    from local_server.gateway.cache_rules import Ask, Instant, Stored
    from local_server.gateway.request import Request

_WITH_304 = frozenset(
    {b"cache-control", b"content-location", b"date", b"etag", b"expires", b"last-modified", b"vary", b"cache-status"}
)
"""RFC 9110, 15.4.5, and what a client may compare by."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A kept answer that is given to `ask`."""

    stored: Stored
    ask: Ask
    now: Instant
    how: bytes
    """What `Cache-Status` (RFC 9211) says of it."""

    def answer(
        self,
        is_head: bool,
        cors: RawHeaders,
        added: RawHeaders,
        lane: RawHeaders,
        request_id: str,
        *,
        by_path: bool,
    ) -> tuple[int, RawHeaders, bytes]:
        """Status, headers and body as this caller gets them; 304 if it has them already."""
        stored, ask = self.stored, self.ask
        status, headers, body = stored.status, stored.headers, stored.body
        if ask.conditional and ask.has(stored):
            status, body = 304, b""
            headers = [item for item in headers if item[0] in _WITH_304]
        age_s = stored.age_s(self.now)
        full = full_headers(status, headers, cors, added, lane, request_id, by_path=by_path)
        full.append((b"age", b"%d" % age_s))
        full.append((b"cache-status", b"apimarket; %b; ttl=%d" % (self.how, stored.lifetime_s - age_s)))
        return status, full, b"" if is_head else body


def find_hit(shelf: Shelf, ask: Ask, how: bytes = b"hit") -> Hit | None:
    """What may be given without asking the API; None: it has to be asked. Changes nothing."""
    stored = None if ask.passed_by else shelf.find(ask)
    if stored is None:
        return None
    now = shelf.cache.now()
    return Hit(stored, ask, now, how) if ask.content_with(stored, now) else None


async def give(hit: Hit, request: Request, trace: Trace, lane: RawHeaders) -> None:
    """Answer with it."""
    is_head = request.method == "HEAD"
    status, headers, body = hit.answer(
        is_head, request.cors, request.added, lane, trace.request_id, by_path=request.by_path
    )
    tell(trace, status, headers, body)
    await request.send({"type": "http.response.start", "status": status, "headers": headers})
    await request.send({"type": "http.response.body", "body": body, "more_body": False})


def tell(trace: Trace, status: int, headers: RawHeaders, body: bytes) -> None:
    """The log of a whole answer."""
    trace.status, trace.outcome, trace.bytes_out = status, outcome_of_status(status), len(body)
    if trace.capture is not None:
        trace.capture.response_headers = headers
        trace.capture.take_response(body)
