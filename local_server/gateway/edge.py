"""The outermost application: who may talk to this server at all, and to which half of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_server.domain.errors import ApimarketError
from local_server.domain.gateway_errors import HostRefused, MalformedRequest, OriginRefused
from local_server.gateway.current import Current, current
from local_server.gateway.http_date import http_date
from local_server.gateway.problems import send_problem
from local_server.gateway.request_head import RequestHead, framing_problem, read_head
from local_server.gateway.scope import local_port, raw_path_of
from local_server.gateway.trace_context import trace_of

if TYPE_CHECKING:
    from local_server.gateway.asgi import Gateway
    from local_server.gateway.asgi_types import ASGIApp, Message, Receive, Scope, Send

METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

_GUARDS = (
    (b"content-security-policy", b"frame-ancestors 'none'"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


class Edge:
    """HTTP and WebSocket alike: exactly one Host, on the allow-list; then the control API or the gateway.

    `gateway.hosts` holds the allow-list, `gateway.reserved` what is the control API's. What is neither HTTP nor
    WebSocket (lifespan) goes to `control`.
    """

    def __init__(self, control: ASGIApp, gateway: Gateway) -> None:
        self._control = control
        self.gateway = gateway
        self._hosts = gateway.hosts
        self._reserved = frozenset(name.encode() for name in gateway.reserved)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            await self._control(scope, receive, send)
            return
        head = read_head(scope["headers"])
        port = local_port(scope)
        site = self._hosts.site(head.host, port) if head.hosts == 1 else None
        if site is None:
            await self._refuse(self._host_refused(head, port), kind, send)
        elif problem := framing_problem(head):
            await self._refuse(MalformedRequest(problem), kind, send)
        elif kind == "http" and raw_path_of(scope) == b"*":
            await self._tell_methods(send)
        elif not site.is_server or not self._is_control(raw_path_of(scope)):
            await self.gateway.serve(scope, receive, send, head, site)
        elif refusal := self._origin_refused(head, port):
            await self._refuse(refusal, kind, send)
        else:
            request_id = self.gateway.system.new_id()
            current.set(Current(request_id, trace_of(head)))
            await self._control(scope, receive, _guarded(send, request_id) if kind == "http" else send)

    async def _tell_methods(self, send: Send) -> None:
        """`OPTIONS *` asks about the server as a whole (RFC 9110, 9.3.7); the protocol lets no other method have it."""
        headers = [
            (b"allow", METHODS),
            (b"date", http_date()),
            (b"x-request-id", self.gateway.system.new_id().encode()),
        ]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def _refuse(self, error: ApimarketError, kind: str, send: Send) -> None:
        await send_problem(send, error, self.gateway.system.new_id(), websocket=kind == "websocket")

    def _host_refused(self, head: RequestHead, port: int) -> HostRefused:
        if head.hosts == 1:
            what = f"The Host header says {head.host.decode('latin-1')[:200]!r}"
        else:
            what = f"The request has {head.hosts} Host headers, not one"
        return HostRefused(
            what,
            hint=f"Allowed are: {self._hosts.allowed(port)}. Another name goes into APIMARKET_ALLOWED_HOSTS.",
        )

    def _origin_refused(self, head: RequestHead, port: int) -> OriginRefused | None:
        """The control API is for the server's own pages and for programs, which send no Origin."""
        if not head.origins:
            return None
        if head.origins == 1 and self._hosts.is_own_origin(head.origin, port):
            return None
        return OriginRefused(
            f"A web page of the origin {head.origin.decode('latin-1')[:200]!r} called the control API",
            hint="Only pages of this server itself may; use a program, the TUI or the command line.",
        )

    def _is_control(self, raw_path: bytes) -> bool:
        """Whether a path on the server's own host belongs to the control API. Decided on the path as sent: an encoded
        `/%61pi` is nobody's."""
        return raw_path == b"/" or raw_path[1:].partition(b"/")[0] in self._reserved


def _guarded(send: Send, request_id: str) -> Send:
    """Give answers of the control API the Date and the X-Request-Id that the gateway's have (uvicorn would give both a
    second Date), and what keeps pages of other origins from framing them or loading them as an image or a script."""

    async def send_guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", []), *_GUARDS, (b"x-request-id", request_id.encode())]
            if not any(name.lower() == b"date" for name, _ in headers):
                headers.append((b"date", http_date()))
            message = {**message, "headers": headers}
        await send(message)

    return send_guarded
