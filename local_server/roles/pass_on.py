"""What a gateway is asked for and does not do itself, passed on whole to the server that does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx2

from local_server.domain.gateway_errors import ServiceAway
from local_server.gateway.current import current
from local_server.gateway.problems import send_problem
from local_server.gateway.scope import raw_path_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from typing import Any

    from local_server.gateway.asgi_types import ASGIApp, RawHeaders, Receive, Scope, Send

OWN = frozenset({b"/health", b"/ready", b"/metrics"})
"""What the gateway says of itself."""
CONNECT_S = 5.0
IDLE_S = 2.0
"""An idle connection is left before the other side leaves it."""

_OF_ONE_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"expect"}
)
_ANSWERED_FOR = frozenset({b"host", b"origin"})
"""The edge has found them to be the gateway's own, and they would be strange to the service."""
_OURS = frozenset(
    {
        b"content-security-policy",
        b"cross-origin-opener-policy",
        b"cross-origin-resource-policy",
        b"referrer-policy",
        b"x-content-type-options",
        b"x-request-id",
    }
)
"""Of an answer: the edge gives each its own."""


class PassOn:
    """In place of the control API: `own` for what is the gateway's, one of the services for everything else."""

    def __init__(self, own: ASGIApp, executor_url: str, analytics_url: str) -> None:
        self._own = own
        self._urls = {"executor": executor_url, "analytics": analytics_url}
        self._client = httpx2.AsyncClient(
            timeout=httpx2.Timeout(None, connect=CONNECT_S),
            limits=httpx2.Limits(max_connections=None, keepalive_expiry=IDLE_S),
            trust_env=False,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            try:
                await self._own(scope, receive, send)
            finally:
                await self.close()
        elif raw_path_of(scope) in OWN:
            await self._own(scope, receive, send)
        else:
            await self._pass_on(scope, receive, send)

    async def close(self) -> None:
        """Once nobody asks any more. May be called twice."""
        await self._client.aclose()

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = raw_path_of(scope)
        service = "analytics" if path.startswith(b"/analytics/") else "executor"
        url, query = self._urls[service], scope["query_string"]
        request = self._client.build_request(
            scope["method"],
            httpx2.URL(url).copy_with(raw_path=path + (b"?" + query if query else b"")),
            headers=_headers(scope, urlsplit(url).netloc),
            content=_body(receive) if _has_body(scope) else None,
        )
        try:
            answer = await self._client.send(request, stream=True)
        except httpx2.HTTPError as error:
            reason = (
                "cannot be reached" if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout) else "broke off"
            )
            await send_problem(send, ServiceAway(service, url, reason), current.get().request_id)
            return
        try:
            await _while_wanted(_answer(answer, send), receive)
        finally:
            await answer.aclose()


def _has_body(scope: Scope) -> bool:
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise httpx2.WriteError("the client hung up")
        more = message.get("more_body", False)
        yield message.get("body", b"")


def _headers(scope: Scope, host: str) -> RawHeaders:
    """Of the request, as a proxy passes them on."""
    kept = [(name, value) for name, value in scope["headers"] if name not in _OF_ONE_HOP | _ANSWERED_FOR]
    client = scope.get("client")
    asked = next((value for name, value in scope["headers"] if name == b"host"), b"")
    return [
        (b"host", host.encode()),
        *kept,
        (b"x-forwarded-for", client[0].encode() if client else b"unknown"),
        (b"x-forwarded-host", asked),
        (b"x-forwarded-proto", scope.get("scheme", "http").encode()),
    ]


async def _answer(answer: httpx2.Response, send: Send) -> None:
    kept = [(name.lower(), value) for name, value in answer.headers.raw]
    headers = [(name, value) for name, value in kept if name not in _OF_ONE_HOP and name not in _OURS]
    await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
    try:
        async for chunk in answer.aiter_raw():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except httpx2.HTTPError:
        return  # ending without the last message makes the server cut the connection: never a clean end
    await send({"type": "http.response.body", "body": b""})


async def _while_wanted(sending: Coroutine[Any, Any, None], receive: Receive) -> None:
    """Send until the client hangs up: an event stream may have nothing to say for hours."""
    sender, gone = asyncio.create_task(sending), asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait({sender, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sender, gone):
            task.cancel()
        outcomes = await asyncio.gather(sender, gone, return_exceptions=True)
    if isinstance(outcomes[0], Exception):
        raise outcomes[0]


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
