"""What an ASGI scope says of a request and of who sent it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from local_server.gateway.request_head import forwarded_lines

if TYPE_CHECKING:
    from local_server.gateway.asgi_types import Scope
    from local_server.gateway.request_head import RequestHead


def raw_path_of(scope: Scope) -> bytes:
    """The path as it was sent, encoded slashes and all."""
    raw: bytes | None = scope.get("raw_path")
    return raw if raw is not None else quote(scope["path"], safe="/:@!$&'()*+,;=~-._").encode()


def address_of(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def local_port(scope: Scope) -> int:
    """The port the connection came in on."""
    server = scope.get("server")
    return server[1] or 0 if server else 0


def forwarded(
    scope: Scope, head: RequestHead, request_id: str, prefix: bytes, traceparent: bytes = b""
) -> tuple[bytes, ...]:
    """What the API is told about its caller and the request. `prefix` only by path, `traceparent` only of a trace."""
    about_caller = forwarded_lines(scope.get("client"), scope.get("scheme") or "http", head.host)
    lines = (*about_caller, b"x-request-id: %b\r\n" % request_id.encode())
    if traceparent:
        lines = (*lines, b"traceparent: %b\r\n" % traceparent)
    return (*lines, b"x-forwarded-prefix: %b\r\n" % prefix) if prefix else lines
