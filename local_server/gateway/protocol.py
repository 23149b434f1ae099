"""uvicorn's HTTP protocol with limits that come too late in an ASGI application, and the fork of the two ways.

By the time an application runs, a head has been read whole, however large and slow it was. So size, count and time of
heads are limited here. Exactly one valid Host is `Edge`'s rule; Content-Length beside Transfer-Encoding, bare line
feeds and folded headers are refused by the parser.

A request that has come whole, while no other is under way, is offered to the short way (express.py) before uvicorn
makes a task of it; `_parts` holds its body until then. One whose header fields the connection has sent before
(fields.py) is offered before it is even parsed.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from local_server.domain.errors import ApimarketError
from local_server.domain.gateway_errors import HeadTooLarge, MalformedRequest, RequestStalled
from local_server.domain.ids import uuid7
from local_server.gateway.client_clocks import ReaderClock, RestClock
from local_server.gateway.express import express
from local_server.gateway.fields import Fields, fields_of
from local_server.gateway.malformed import line_refusal, parser_refusal
from local_server.gateway.problems import problem_body, problem_headers

if TYPE_CHECKING:
    from asyncio import TimerHandle

    from uvicorn._types import HTTPScope

    from local_server.gateway.asgi import Gateway
    from local_server.gateway.express_exchange import Express

HEAD_DEADLINE_S = 5.0
HEAD_LIMIT_BYTES = 32 * 1024
HEAD_LIMIT_FIELDS = 100


class HardenedProtocol(HttpToolsProtocol):
    """A connection must send each head within five seconds of its first byte (the first: of connecting)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = False
        self._head_bytes = 0
        self._waiting_bytes = 0
        self._fields = 0
        self._deadline: TimerHandle | None = None
        self._rest_clock = RestClock(self.loop, self.timeout_keep_alive)
        self._reader_clock = ReaderClock(self.loop)
        self._refusal: ApimarketError | None = None
        self._gateway: Gateway | None = getattr(self.app, "gateway", None)
        self._parts: list[bytes] | None = None
        """Of a request that may yet take the short way: what has come of its body."""
        self._short: Express | None = None
        """The exchange on the short way; another message may have come behind it meanwhile."""
        self._answered = False
        self._known: Fields | None = None
        """The fields that this connection sent last on the short way."""
        self._between = True
        """The parser stands between two messages."""
        self._whole: bytes | None = None
        """What came, while it is being parsed, if it began between two messages and holds the beginning of one."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._reader_clock.stop()
        self._rest_clock.stop()
        if self._short is not None:
            self._short.client_lost()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reader_clock.start(self.transport)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._reader_clock.stop()
        if self._short is not None:
            self._short.client_reads()

    def data_received(self, data: bytes) -> None:
        if self._known is not None and self._take_known(data):
            return
        self._answered = False
        self._whole = data if self._between else None
        super().data_received(data)
        self._whole = None
        if self._parts is not None:
            self._leave_short_way()  # the rest of its body is still to come
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            self._disarm()  # over, or a WebSocket's from now on
        elif self._in_head:
            # A single field that never ends reaches no callback; its bytes count as they come.
            self._waiting_bytes += len(data)
            if self._waiting_bytes > HEAD_LIMIT_BYTES:
                self._refuse(self._too_large())
            else:
                self._arm()
        elif self._answered:
            self._disarm()  # its keep-alive clock runs
        elif self.cycle is None or self.cycle.response_complete:
            self._arm()  # empty lines: they stop uvicorn's own clock, and begin nothing
        else:
            self._disarm()

    # -- The parser's callbacks ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._between = False
        self._head_bytes = self._waiting_bytes = self._fields = 0

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += 1
        self._count(len(name) + len(value) + 4)
        if self._in_head:  # else it is a trailer, which uvicorn would add to the headers of the request
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._gateway is not None and self.url.startswith(b"/") and self._may_be_short():
            self._parts = []
            return
        self._refusal = line_refusal(self.parser.get_method(), self.url, self.parser.get_http_version(), self.headers)
        if self._refusal is not None:
            raise self._refusal
        other_protocol = self.parser.should_upgrade() and not self._should_upgrade()
        if other_protocol and self._announces_body():
            self._refusal = MalformedRequest("asks for another protocol, and has a body; send it without Upgrade")
            raise self._refusal
        super().on_headers_complete()
        if other_protocol:  # as `curl --http2`: it is answered in this one, and the parser goes no further
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        if self._parts is None:
            super().on_body(body)
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        self._between = self.parser.should_keep_alive()
        whole, self._whole = self._whole, None
        if self._parts is not None and not self._took_short_way(self._parts, whole):
            self._leave_short_way()
        if self._parts is None:
            super().on_message_complete()
        self._parts = None

    def _announces_body(self) -> bool:
        return any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers)

    # -- The short way ------------------------------------------------------------------------------------------------

    def _may_be_short(self) -> bool:
        parser, cycle = self.parser, self.cycle
        return (
            (cycle is None or cycle.response_complete)
            and not self.expect_100_continue
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
        )

    def _took_short_way(self, parts: list[bytes], whole: bytes | None) -> bool:
        assert self._gateway is not None
        assert self.scheme is not None
        if b"#" in self.url:
            return False
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        fields = fields_of(self.headers, self._gateway.hosts, self.client, self.scheme, self.server)
        if fields is None or fields.head.length != len(body):
            return False
        method, traceparent = self.parser.get_method().decode("ascii"), fields.head.traceparent
        if not express(self._gateway, self, fields, method, self.url, body, traceparent):
            return False
        if whole is not None and fields.learn(whole, len(self.headers)):
            self._known = fields
        return True

    def _take_known(self, data: bytes) -> bool:
        """Whether `data` is a whole request with the fields of the last one, and the short way took it."""
        known, gateway = self._known, self._gateway
        assert known is not None
        assert gateway is not None
        if not self._between or not (self.cycle is None or self.cycle.response_complete):
            return False
        request = known.request(data)
        if request is None or not express(gateway, self, known, *request):
            return False
        self._disarm()
        return True

    def _leave_short_way(self) -> None:
        """Let uvicorn have the request as if it came only now."""
        parts, self._parts = self._parts or [], None
        super().on_headers_complete()
        for part in parts:
            super().on_body(part)

    def carry(self, exchange: Express) -> None:
        """An exchange on the short way has begun."""
        self._rest_clock.wakes()
        self._short = exchange
        self.cycle = exchange  # type: ignore[assignment]  # as far as uvicorn looks at one

    def answer(self, message: bytes) -> None:
        """A whole answer to a request that needed no exchange."""
        self._answered = True
        self.transport.write(message)
        self.on_response_complete()

    def carried(self) -> None:
        """The exchange on the short way is over."""
        self._short = None
        self.on_response_complete()

    def long_way(self, given_up: Express) -> None:
        """Go on with a request that the short way could not carry to its end, and of which nothing was answered."""
        assert self._gateway is not None
        self._short = None
        cycle = RequestResponseCycle(
            scope=cast("HTTPScope", {"method": given_up.trace.method}),  # all that it looks at
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=[],
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=given_up.keep_alive,
            on_response=self.on_response_complete,
        )
        cycle.body, cycle.more_body = bytearray(given_up.body), False
        cycle.message_event.set()
        if cast("object", self.cycle) is given_up:
            self.cycle = cycle
        gateway = self._gateway

        async def go_on(_scope: Any, receive: Any, send: Any) -> None:
            await gateway.resume(given_up, receive, send)

        self._start_asgi_task(cycle, go_on)

    def _count(self, size_bytes: int) -> None:
        self._head_bytes += size_bytes
        if self._head_bytes > HEAD_LIMIT_BYTES or self._fields > HEAD_LIMIT_FIELDS:
            self._refusal = self._too_large()
            raise self._refusal  # the parser stops and `data_received` answers through `send_400_response`

    def _too_large(self) -> HeadTooLarge:
        return HeadTooLarge(HEAD_LIMIT_BYTES, HEAD_LIMIT_FIELDS)

    # -- Time ---------------------------------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        if self.pipeline:
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()
            self._rest_clock.rests(self.transport)

    def _unset_keepalive_if_required(self) -> None:
        """Called by uvicorn whenever something comes."""
        self._rest_clock.wakes()

    def _arm(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_DEADLINE_S, self._late)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        if self._in_head:
            self._refuse(RequestStalled(HEAD_DEADLINE_S, "head"))
        elif self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    # -- Refusing -----------------------------------------------------------------------------------------------------

    def send_400_response(self, msg: str) -> None:
        """uvicorn's answer to what its parser refused, called while that error is handled; ours says why."""
        self._refuse(self._refusal or parser_refusal(sys.exception(), self._whole or b""))

    def _refuse(self, error: ApimarketError) -> None:
        self._disarm()
        self._parts = None  # nothing of the request goes on
        if self.transport.is_closing():
            return
        if not self._may_answer():
            self.transport.close()
            return
        request_id = uuid7(time.time_ns() // 1_000_000, os.urandom(10))
        body = problem_body(error, request_id)
        lines = [b"%b: %b\r\n" % item for item in problem_headers(error, request_id, body)]
        self.transport.write(b"".join([STATUS_LINE[error.status], *lines, b"connection: close\r\n\r\n", body]))
        self.transport.close()

    def _may_answer(self) -> bool:
        """Whether what is written now is the answer to the request that is refused: no other one's is under way, and
        none has begun of its own, whose body it is that cannot be read."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return True
        own = isinstance(cycle, RequestResponseCycle) and cycle.more_body and not self.pipeline
        if not own or cycle.response_started:
            return False
        cycle.disconnected = True  # what the application still says goes nowhere
        return True
