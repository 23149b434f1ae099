"""The outermost application: nothing behind it is reached without the right Host, Origin and cookie."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from local_server.domain.errors import ApimarketError
from local_server.domain.gateway_errors import HostRefused, MalformedRequest, OriginRefused
from local_server.domain.ids import uuid7
from local_server.domain.web_errors import LinkNeeded
from local_server.gateway.hosts import Hosts
from local_server.gateway.problems import send_problem
from local_server.gateway.request_head import framing_problem, read_head
from local_server.gateway.scope import local_port
from local_server.web.links import HOME, PARAMETER
from local_server.web.refusal import refusal_page, wants_page

if TYPE_CHECKING:
    from local_server.gateway.asgi_types import ASGIApp, Message, RawHeaders, Receive, Scope, Send
    from local_server.gateway.request_head import RequestHead
    from local_server.web.links import Links

# All of the page comes from here, and nothing else may frame it, hold its window, or load a part of it. The terminal
# sets styles of its own in the document.
_GUARDS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; "
        b"img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
_HINT = "Open the link that apimarket web printed in its terminal."


class Door:
    """HTTP and WebSocket alike: exactly one Host, this machine's own; no page of another origin; then the cookie, or a
    link in exchange for it. What is neither HTTP nor WebSocket (lifespan) goes to `room`."""

    def __init__(self, room: ASGIApp, links: Links) -> None:
        self._room, self._links, self._hosts = room, links, Hosts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._room(scope, receive, send)
            return
        head = read_head(scope["headers"])
        if refusal := self._stranger(scope, head):
            await _refuse(refusal, scope, send)
        elif self._links.knows(value for name, value in scope["headers"] if name == b"cookie"):
            await self._room(scope, receive, _guarded(send))
        elif scope["type"] == "http" and scope["path"] == "/":
            await _lead_home(send)  # tells nothing; the cookie does not come here
        elif (link := _link_of(scope)) and self._links.take(link):
            await self._room(scope, receive, _guarded(send, (b"set-cookie", self._links.cookie().encode())))
        else:
            await _refuse(LinkNeeded(used=bool(link)), scope, send)

    def _stranger(self, scope: Scope, head: RequestHead) -> ApimarketError | None:
        """Why the request may not come from a page of ours at all."""
        site = self._hosts.site(head.host, local_port(scope)) if head.hosts == 1 else None
        if site is None or not site.is_server:
            said = head.host.decode("latin-1")[:200]
            what = f"The Host header says {said!r}" if head.hosts == 1 else f"There are {head.hosts} Host headers"
            return HostRefused(what, hint=_HINT)
        if problem := framing_problem(head):
            return MalformedRequest(problem)
        # Browsers always say where the page that opens a WebSocket is from; what says nothing is no browser.
        if head.origins or scope["type"] == "websocket":
            if head.origins == 1 and head.origin == b"http://" + head.host:
                return None
            said = head.origin.decode("latin-1")[:200]
            return OriginRefused(
                f"The request comes from a page of {said!r}" if said else "It has no Origin", hint=_HINT
            )
        return None


def _link_of(scope: Scope) -> str:
    if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != HOME:
        return ""
    query: bytes = scope["query_string"]
    return parse_qs(query.decode("latin-1")).get(PARAMETER, [""])[0]


async def _refuse(error: ApimarketError, scope: Scope, send: Send) -> None:
    if scope["type"] == "http" and wants_page(scope):
        body = refusal_page(error)
        headers: RawHeaders = [(b"content-type", b"text/html; charset=utf-8"), (b"content-length", b"%d" % len(body))]
        await _guarded(send)({"type": "http.response.start", "status": error.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        return
    request_id = uuid7(time.time_ns() // 1_000_000, os.urandom(10))
    await send_problem(send, error, request_id, websocket=scope["type"] == "websocket", extra=list(_GUARDS))


async def _lead_home(send: Send) -> None:
    headers = [(b"location", HOME.encode()), (b"content-length", b"0"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _guarded(send: Send, *more: tuple[bytes, bytes]) -> Send:
    async def send_guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [item for item in message["headers"] if item[0] != b"cache-control"]
            message = {**message, "headers": [*kept, *_GUARDS, (b"cache-control", b"no-store"), *more]}
        await send(message)

    return send_guarded
