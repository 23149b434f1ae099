"""The gateway's own refusals on the wire: RFC 9457 `application/problem+json`."""

import json

from local_server.domain.account_errors import RateLimited
from local_server.domain.errors import ApimarketError
from local_server.domain.gateway_errors import ApiUnavailable, MalformedRequest
from local_server.domain.quota_errors import QuotaExceeded, QuotaUncounted
from local_server.gateway.asgi_types import RawHeaders, Send
from local_server.gateway.http_date import http_date

_RETRIED = (ApiUnavailable, QuotaExceeded, QuotaUncounted, RateLimited)
"""They say when to try again."""
_RESERVED = ("type", "title", "status", "detail", "instance", "code", "hint")


def problem_body(error: ApimarketError, request_id: str) -> bytes:
    """The JSON of `error`; its `extra` never covers a field of the format."""
    fields = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "instance": request_id,
        "code": error.code,
        "hint": error.hint,
    }
    extra = {name: value for name, value in error.extra.items() if name not in _RESERVED}
    return json.dumps({**fields, **extra}, ensure_ascii=False).encode(errors="replace")


def problem_headers(error: ApimarketError, request_id: str, body: bytes) -> RawHeaders:
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"date", http_date()),
        (b"x-request-id", request_id.encode()),
    ]
    if isinstance(error, _RETRIED):
        headers.append((b"retry-after", b"%d" % error.retry_after_s))
    if error.status == 401:  # RFC 9110, 15.5.2
        headers.append((b"www-authenticate", b"Bearer"))
    return headers


async def send_problem(
    send: Send, error: ApimarketError, request_id: str, *, websocket: bool = False, extra: RawHeaders | None = None
) -> int:
    """Answer with `error`, also in place of a WebSocket handshake. Returns the bytes of the body."""
    body = problem_body(error, request_id)
    headers = problem_headers(error, request_id, body) + (extra or [])
    if isinstance(error, MalformedRequest):  # where the next one begins is not clear either (RFC 9112, 6.3)
        headers.append((b"connection", b"close"))
    kind = "websocket.http.response" if websocket else "http.response"
    await send({"type": f"{kind}.start", "status": error.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body, "more_body": False})
    return len(body)
