"""An answer's headers: what the client gets of what the API said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_server.gateway.http_date import http_date

if TYPE_CHECKING:
    from local_server.gateway.asgi_types import RawHeaders

_DROPPED = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        # Said by the gateway:
        b"x-request-id",
        b"x-apimarket-generation",
        b"x-apimarket-version",
        b"x-apimarket-pending-error",
    }
)
# By path an API shares its origin with the console at /docs, where its owner may have typed the token: with these an
# API's page would keep hold of a window of the console, or be asked before each request of it.
_DROPPED_BY_PATH = _DROPPED | {b"service-worker-allowed", b"cross-origin-opener-policy"}


def answer_headers(status: int, upstream: RawHeaders, cors: RawHeaders, *, by_path: bool = False) -> RawHeaders:
    """A new list: the upstream's headers (names in lower case) without those that end here, with a Date.

    204 and 304 lose their Content-Length: neither has a body, and what a server does with one there differs.
    """
    has_date = False
    dropped = _DROPPED_BY_PATH if by_path else _DROPPED
    headers: RawHeaders = []
    named: set[bytes] = set()
    for item in upstream:
        name = item[0]
        if name in dropped:
            if name == b"connection":
                named.update(token.strip().lower() for token in item[1].split(b","))
            continue
        if name == b"date":
            has_date = True
        headers.append(item)
    if named and not named <= {b"close", b"keep-alive"}:
        headers = [item for item in headers if item[0] not in named or item[0] == b"content-length"]
    if not has_date:
        headers.append((b"date", http_date()))
    if status == 304 or status == 204:
        headers = [item for item in headers if item[0] != b"content-length"]
    if cors:
        headers = [item for item in headers if item[0] != b"access-control-allow-origin"] + cors
    return headers


def full_headers(
    status: int,
    upstream: RawHeaders,
    cors: RawHeaders,
    added: RawHeaders,
    lane: RawHeaders,
    request_id: str,
    *,
    by_path: bool,
) -> RawHeaders:
    """All that the client is told: the API's headers, and what the gateway has to say in their place (`added`), of the
    `lane`, and of the request."""
    headers = answer_headers(status, upstream, cors, by_path=by_path)
    if added:
        ours = {name for name, _ in added}
        headers = [item for item in headers if item[0] not in ours] + added
    headers += lane
    headers.append((b"x-request-id", request_id.encode()))
    return headers
