"""Answers of the gateway's own that are here whole, in the bytes they are sent in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from local_server.gateway.cache_hit import tell
from local_server.gateway.problems import problem_body, problem_headers
from local_server.gateway.response_head import as_lines

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local_server.domain.errors import ApimarketError
    from local_server.gateway.access_log import Trace
    from local_server.gateway.asgi_types import RawHeaders
    from local_server.gateway.cache_hit import Hit
    from local_server.gateway.lane import Lane
    from local_server.gateway.table import Entry


def kept(hit: Hit, entry: Entry, lane: Lane, trace: Trace, added: RawHeaders, *, by_path: bool) -> bytes:
    """The whole of an answer from what is kept; `trace` is told."""
    trace.cached, trace.generation, trace.version = True, lane.generation, lane.version
    status, headers, body = hit.answer(
        trace.method == "HEAD", [], added, entry.headers, trace.request_id, by_path=by_path
    )
    tell(trace, status, headers, body)
    return b"".join((STATUS_LINE[status], as_lines(headers), b"\r\n", body))


def refusal(
    error: ApimarketError, trace: Trace, extra: Iterable[tuple[bytes, bytes]] = (), *, keep_alive: bool = True
) -> bytes:
    """The whole of an answer that says `error`; `trace` is told."""
    body = problem_body(error, trace.request_id)
    trace.status, trace.bytes_out = error.status, len(body)
    headers = [*problem_headers(error, trace.request_id, body), *extra]
    lines = [b"%b: %b\r\n" % item for item in headers]
    if not keep_alive:
        lines.append(b"connection: close\r\n")
    content = b"" if trace.method == "HEAD" else body
    return b"".join((STATUS_LINE[error.status], *lines, b"\r\n", content))
