"""One WebSocket, carried from the client's to one of our own at the API."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING

from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.http11 import Response
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from local_server.domain.errors import ApimarketError
from local_server.domain.executions import CallOutcome, outcome_of_status
from local_server.domain.gateway_errors import UpstreamFailed, UpstreamTimeout
from local_server.gateway.access_log import outcome_of_refusal
from local_server.gateway.admission import LOGS_HINT, full_name
from local_server.gateway.connecting import CONNECT_TIMEOUT_S, ConnectFailed
from local_server.gateway.hold import ClientGone, Replay
from local_server.gateway.problems import send_problem
from local_server.gateway.response_head import full_headers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local_server.gateway.access_log import Trace
    from local_server.gateway.admission import Admission
    from local_server.gateway.asgi_types import Message, RawHeaders
    from local_server.gateway.lane import Lane
    from local_server.gateway.request import Request
    from local_server.gateway.table import Entry

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""From the API; uvicorn's `ws_max_size` holds the same for the client."""
CLOSE_TIMEOUT_S = 2.0

Ending = tuple[int, str]
"""A close code (RFC 6455, 7.4) and a reason."""

_GOING_AWAY: Ending = (1001, "")
_REPLACED: Ending = (1012, "the API was replaced or stopped")
_KEY_ENDED: Ending = (1008, "the API key was revoked or has expired")
_BAD_GATEWAY: Ending = (1014, "the API broke the connection")
# Reserved for "there was no close frame", so never sent in one.
_NO_STATUS, _ABNORMAL = 1005, 1006


class Tunnel:
    """Runs one WebSocket to its end. Pings are answered on each side by its own connection."""

    def __init__(
        self, admission: Admission, entry: Entry, request: Request, trace: Trace, subprotocols: Sequence[str]
    ) -> None:
        self._admission = admission
        self._entry = entry
        self._request = request
        self._trace = trace
        self._subprotocols = subprotocols
        self._receive = Replay(request.receive)
        self._broken_off: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        """What the client is told where neither it nor the API ends it."""
        self._accepted = False

    async def run(self) -> None:
        lane: Lane | None = None
        upstream: ClientConnection | None = None
        try:
            lane, upstream = await self._open()
            await self._carry(upstream)
        except ApimarketError as error:
            self._trace.outcome = outcome_of_refusal(error)
            await self._refuse(error)
        except InvalidStatus as refused:
            await self._pass_refusal(refused)
        except (ClientGone, OSError):  # uvicorn's error for a client that is gone is an OSError
            self._trace.outcome = CallOutcome.ABORTED
        finally:
            if upstream is not None:
                upstream.transport.abort()
            if lane is not None:
                lane.leave(self)

    async def _refuse(self, error: ApimarketError) -> None:
        self._trace.status = error.status
        if self._trace.capture is not None:
            self._trace.capture.take_refusal(error, self._trace.request_id)
        self._trace.bytes_out = await send_problem(
            self._request.send, error, self._trace.request_id, websocket=True, extra=self._request.said
        )

    def break_off(self) -> None:
        """The lane closes."""
        self._end(_REPLACED)

    def tick(self, _now: float) -> None:
        if self._admission.callers.outlived(self._trace):
            self._end(_KEY_ENDED)

    def _end(self, ending: Ending) -> None:
        if not self._broken_off.done():
            self._broken_off.set_result(ending)

    # -- Opening ------------------------------------------------------------------------------------------------------

    async def _open(self) -> tuple[Lane, ClientConnection]:
        while True:
            if self._entry.lane is None:
                self._entry = await self._admission.hold(self._entry, self._trace, self._receive)
            lane = self._entry.lane
            assert lane is not None
            self._admission.pass_breaker(lane, self, self._entry.route)
            lane.enter(self)
            try:
                upstream = await self._connect(lane)
                lane.reached(self)
                return lane, upstream
            except ConnectFailed as error:
                lane.missed(self, str(error))
                lane.leave(self)
                if not lane.others:
                    self._entry = await self._admission.after_connect_failure(self._entry.route, lane, error)
            except BaseException as error:
                if isinstance(error, InvalidStatus):
                    lane.reached(self)
                elif isinstance(error, ApimarketError):
                    lane.missed(self, "did not take up a WebSocket")
                lane.breaker.let_go(self)
                lane.leave(self)
                raise

    async def _connect(self, lane: Lane) -> ClientConnection:
        if lane.closed:
            raise ConnectFailed("was replaced")
        protocol = ClientProtocol(
            self._uri(),
            subprotocols=[Subprotocol(name) for name in self._subprotocols] or None,
            max_size=MAX_MESSAGE_BYTES,
        )
        loop = asyncio.get_running_loop()
        self._trace.sent_s = perf_counter()
        address = lane.seat(self)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                # No pings of ours: on this machine a dead peer closes its socket, and a busy one must not be cut off.
                _, upstream = await loop.create_connection(
                    lambda: ClientConnection(protocol, ping_interval=None, close_timeout=CLOSE_TIMEOUT_S),
                    *address,
                )
        except OSError as error:
            raise ConnectFailed(error.strerror or "did not answer") from None
        self._trace.generation, self._trace.version = lane.generation, lane.version
        await self._handshake(upstream)
        return upstream

    async def _handshake(self, upstream: ClientConnection) -> None:
        route = self._entry.route
        try:
            async with asyncio.timeout(route.timeout_s):
                await upstream.handshake(additional_headers=self._headers(), user_agent_header=None)
        except TimeoutError:
            upstream.transport.abort()
            raise UpstreamTimeout(
                f"{full_name(route)} has not accepted the WebSocket in {route.timeout_s:g} s",
                hint=LOGS_HINT.format(route.slug),
            ) from None
        except InvalidStatus:
            upstream.transport.abort()
            raise
        except (InvalidHandshake, ConnectionClosed, OSError, EOFError) as error:
            upstream.transport.abort()
            raise UpstreamFailed(
                f"{full_name(route)} did not complete the WebSocket handshake: {error}",
                hint=LOGS_HINT.format(route.slug),
            ) from None
        self._trace.first_byte_s = perf_counter()

    def _uri(self) -> WebSocketURI:
        """Made by hand, since parsing would lose `;parameters` of the path. The host is what the caller said."""
        path, _, query = self._request.target.decode("latin-1").partition("?")
        host, separator, port = self._request.head.host.decode("latin-1").rpartition(":")
        if not separator or not port.isdigit():
            host, port = self._request.head.host.decode("latin-1"), "80"
        return WebSocketURI(False, host.strip("[]"), int(port), path, query, None, None)

    def _headers(self) -> Headers:
        """The caller's headers and ours, without those of the handshake itself."""
        headers = Headers()
        lines = self._request.head.lines
        for index in range(0, len(lines), 4):
            name, value = lines[index], lines[index + 2]
            if name != b"host" and not name.startswith(b"sec-websocket-"):
                headers[name.decode("latin-1")] = value.decode("latin-1")
        for line in self._request.forwarded:
            name, _, value = line.rstrip(b"\r\n").partition(b": ")
            headers[name.decode("latin-1")] = value.decode("latin-1")
        return headers

    # -- Carrying -----------------------------------------------------------------------------------------------------

    async def _carry(self, upstream: ClientConnection) -> None:
        await self._accept(upstream)
        to_api = asyncio.create_task(self._client_to_api(upstream), name="gateway-ws-up")
        to_client = asyncio.create_task(self._api_to_client(upstream), name="gateway-ws-down")
        tasks = {to_api, to_client}
        if self._trace.key_id is not None:
            self._admission.ticker.add(self)
        try:
            done, _ = await asyncio.wait({*tasks, self._broken_off}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._admission.ticker.discard(self)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._trace.outcome = CallOutcome.OK
        if to_client in done:
            ending = to_client.result()
            if ending == _BAD_GATEWAY:
                self._trace.outcome = CallOutcome.UPSTREAM_FAILED
            await self._close_client(ending)
        elif to_api in done:
            await upstream.close(*to_api.result())
        else:
            await self._close_client(self._broken_off.result())
            await upstream.close(*_GOING_AWAY)

    async def _accept(self, upstream: ClientConnection) -> None:
        response = upstream.response
        assert response is not None
        headers = [item for item in self._headers_of(response) if not item[0].startswith(b"sec-websocket-")]
        message: Message = {"type": "websocket.accept", "subprotocol": upstream.subprotocol, "headers": headers}
        if (await self._receive())["type"] != "websocket.connect":
            raise ClientGone
        self._trace.status = 101
        if self._trace.capture is not None:
            self._trace.capture.response_headers = headers
        self._accepted = True
        await self._request.send(message)

    def _headers_of(self, response: Response) -> RawHeaders:
        """What the client is told above the API's answer to the handshake."""
        raw: RawHeaders = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.raw_items()
        ]
        request = self._request
        lane = self._entry.seen_at(request.site).headers
        return full_headers(
            response.status_code, raw, [], request.added, lane, self._trace.request_id, by_path=request.by_path
        )

    async def _client_to_api(self, upstream: ClientConnection) -> Ending:
        """Return how the client ended it."""
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return _client_ending(message)
            data: str | bytes | None = message.get("bytes")
            if data is None:
                data = message.get("text") or ""
            self._trace.bytes_in += len(data)
            if self._trace.capture is not None:
                self._trace.capture.messages_in += 1
            try:
                await upstream.send(data)
            except ConnectionClosed:
                await asyncio.Event().wait()  # the other direction tells how it ended

    async def _api_to_client(self, upstream: ClientConnection) -> Ending:
        """Return how the API ended it."""
        send = self._request.send
        while True:
            try:
                data = await upstream.recv()
            except ConnectionClosed:
                return _upstream_ending(upstream)
            self._trace.bytes_out += len(data)
            if self._trace.capture is not None:
                self._trace.capture.messages_out += 1
            kind = "text" if isinstance(data, str) else "bytes"
            try:
                await send({"type": "websocket.send", kind: data})
            except OSError:
                await asyncio.Event().wait()  # the client is gone: the other direction tells

    async def _close_client(self, ending: Ending) -> None:
        await self._request.send({"type": "websocket.close", "code": ending[0], "reason": ending[1]})

    async def _pass_refusal(self, refused: InvalidStatus) -> None:
        """The API answered the handshake with an ordinary answer: so does the gateway."""
        response = refused.response
        self._trace.status = response.status_code
        self._trace.outcome = outcome_of_status(response.status_code)
        self._trace.bytes_out = len(response.body)
        headers = [item for item in self._headers_of(response) if item[0] != b"content-length"]
        headers.append((b"content-length", b"%d" % len(response.body)))
        if self._trace.capture is not None:
            self._trace.capture.response_headers = headers
            self._trace.capture.take_response(bytes(response.body))
        send = self._request.send
        await send({"type": "websocket.http.response.start", "status": response.status_code, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": response.body, "more_body": False})


def _client_ending(message: Message) -> Ending:
    code, reason = message.get("code", _NO_STATUS), message.get("reason") or ""
    if code == _ABNORMAL or (code == _NO_STATUS and "reason" not in message):
        return _GOING_AWAY  # it vanished
    return (1000, "") if code == _NO_STATUS else (code, reason)


def _upstream_ending(upstream: ClientConnection) -> Ending:
    code, reason = upstream.close_code, upstream.close_reason or ""
    if code is None or code == _ABNORMAL:
        return _BAD_GATEWAY
    return (1000, "") if code == _NO_STATUS else (code, reason)
