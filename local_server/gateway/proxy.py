"""One HTTP request on its way to an API and back: the long way, by a task of its own."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING

from local_server.domain.errors import ApimarketError
from local_server.domain.executions import CallOutcome, outcome_of_status
from local_server.domain.gateway_errors import MalformedRequest, RequestStalled, UpstreamFailed, UpstreamTimeout
from local_server.gateway.access_log import outcome_of_refusal
from local_server.gateway.admission import full_name
from local_server.gateway.cache import note_change
from local_server.gateway.cache_hit import give
from local_server.gateway.connecting import ConnectFailed
from local_server.gateway.failures import answer_patience_s, body_too_large, broken_off, late, stalled
from local_server.gateway.hold import ClientGone, Replay
from local_server.gateway.problems import send_problem
from local_server.gateway.request import REPEATABLE
from local_server.gateway.request_head import block_problem
from local_server.gateway.response_head import full_headers
from local_server.gateway.upstream import Broken, Connection

if TYPE_CHECKING:
    from local_server.gateway.access_log import Trace
    from local_server.gateway.admission import Admission
    from local_server.gateway.lane import Lane
    from local_server.gateway.request import Request
    from local_server.gateway.table import Entry

MAX_ATTEMPTS = 5
STALL_TIMEOUT_S = 60.0
"""How long a client may take over the next part of its body."""


class Exchange:
    """Runs one request to its end, whatever the end is; `trace` then tells it. `fresh`: not on a used connection."""

    def __init__(
        self, admission: Admission, entry: Entry, request: Request, trace: Trace, *, fresh: bool = False
    ) -> None:
        self._admission = admission
        self._entry = entry
        self._request = request
        self._trace = trace
        self._fresh = fresh
        self._asked_another = False
        """Whether it went on to another replica after one broke it off: not to all of them, one by one."""
        self._receive = request.receive
        self._connection: Connection | None = None
        self._task: asyncio.Task[object] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._first: bytes | None = None
        """The first part of the body, once read."""
        self._more = request.head.has_body
        """Whether the body goes on after what was read."""
        self._consumed = False
        """Whether more of the body was sent than `_first`: then it cannot be sent again."""
        self._started = False
        self._endless = False
        """The answer has begun, and has not said how long it is."""
        self._finished = False
        self._broken_off = False
        self._deadline_s = 0.0
        self._stall_s = 0.0
        self._idle_s = 0.0
        """Until when the API has to send more of its answer."""
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        self._task = asyncio.current_task()
        try:
            await self._run()
        except ApimarketError as error:
            await self._refuse(error)
        except ClientGone:
            self._trace.outcome = CallOutcome.ABORTED
        except asyncio.CancelledError:
            if not self._broken_off:
                raise
            if self._task is not None:
                self._task.uncancel()  # it was `break_off`, not the server: this ends as if the API had broken off
            self._trace.outcome = CallOutcome.UPSTREAM_FAILED

    async def _refuse(self, error: ApimarketError) -> None:
        self._trace.outcome = outcome_of_refusal(error)
        if self._started:
            return  # ending without the last message makes the server cut the connection: never a clean end
        self._trace.status = error.status
        request_id = self._trace.request_id
        if self._trace.capture is not None:
            self._trace.capture.take_refusal(error, request_id)
        self._trace.bytes_out = await send_problem(self._request.send, error, request_id, extra=self._request.said)

    async def _run(self) -> None:
        fresh = self._fresh
        for _ in range(MAX_ATTEMPTS):
            lane = await self._ready_lane()
            self._admission.pass_breaker(lane, self, self._entry.route)
            lane.enter(self)
            try:
                await self._through(lane, fresh)
                return
            except (ConnectFailed, Broken) as error:
                failure = error
                if self._tells_of_the_api:
                    lane.breaker.failed(self, str(error), self._loop.time())
            except UpstreamTimeout:
                if not self._started:
                    lane.breaker.failed(self, "was silent for too long", self._loop.time())
                raise
            finally:
                lane.breaker.let_go(self)
                lane.leave(self)
            fresh = await self._may_repeat(failure, lane)
        raise UpstreamFailed(
            f"{full_name(self._entry.route)} was replaced {MAX_ATTEMPTS} times while this request tried to reach it",
            hint="Send it again.",
        )

    # -- Which way ----------------------------------------------------------------------------------------------------

    async def _ready_lane(self) -> Lane:
        """The lane the API is on now, once the request can be sent there without waiting for its client."""
        while True:
            lane = self._entry.lane
            if lane is None:
                self._receive = receive = Replay(self._receive, self._request.head.length)
                self._entry = await self._admission.hold(self._entry, self._trace, receive)
            elif self._more and self._first is None:
                await self._read_first()
                self._entry = self._admission.current(self._entry.route)
            else:
                return lane

    async def _may_repeat(self, failure: ConnectFailed | Broken, lane: Lane) -> bool:
        """Prepare another attempt, and return whether it needs a fresh connection. Raises UpstreamFailed."""
        route = self._entry.route
        connection, self._connection = self._connection, None
        if isinstance(failure, ConnectFailed):
            self._entry = await self._admission.after_connect_failure(route, lane, failure)
            return False
        if connection is not None and not connection.answered and self._replayable:
            self._entry = self._admission.current(route)
            if self._entry.lane is not lane or connection.uses > 1:
                return True
            if lane.others and not self._asked_another:
                self._asked_another = True
                return True
        raise broken_off(route, failure, started=self._started)

    @property
    def _replayable(self) -> bool:
        return self._request.method in REPEATABLE and not self._consumed

    @property
    def _tells_of_the_api(self) -> bool:
        """Whether a failure is the API's own: not the end of a connection that had been left idle, after which the
        request is sent again."""
        connection = self._connection
        return not self._started and (connection is None or connection.uses == 1 or not self._replayable)

    # -- There --------------------------------------------------------------------------------------------------------

    async def _through(self, lane: Lane, fresh: bool) -> None:
        pool = lane.pool
        connection = None if fresh else pool.take(self._replayable and not self._more)
        if connection is None:
            connection = await pool.open()
        self._connection = connection
        try:
            self._send_request(connection, lane)
            await connection.head()
            await self._answer(connection, lane)
        finally:
            self._admission.ticker.discard(self)
            if self._reader is not None:
                self._reader.cancel()
                self._reader = None
            pool.give(connection)

    async def _read_first(self) -> None:
        try:
            async with asyncio.timeout(STALL_TIMEOUT_S):
                message = await self._receive()
        except TimeoutError:
            raise RequestStalled(STALL_TIMEOUT_S) from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        self._first = message.get("body", b"")
        self._more = message.get("more_body", False)
        self._trace.bytes_in += len(self._first)
        if self._trace.bytes_in > self._entry.route.max_body_bytes:
            raise body_too_large(self._entry.route)
        if self._trace.capture is not None:
            self._trace.capture.take_request(self._first, last=not self._more)

    def _send_request(self, connection: Connection, lane: Lane) -> None:
        request = self._request
        connection.begin(request.method == "HEAD")
        self._trace.sent_s = perf_counter()
        self._deadline_s = self._loop.time() + self._entry.route.timeout_s
        parts = [request.method.encode(), b" ", request.target, b" HTTP/1.1\r\n", *request.head.lines]
        more = request.fill.sent(lane) if request.fill is not None else ()
        parts += request.forwarded + more
        if request.head.chunked:
            parts.append(b"transfer-encoding: chunked\r\n")
        block = b"".join(parts)
        line_count = len(request.head.lines) // 4 + len(request.forwarded) + len(more) + 1 + request.head.chunked
        if problem := block_problem(block, line_count):
            raise MalformedRequest(problem)
        self._trace.generation, self._trace.version = lane.generation, lane.version
        if self._first is not None:
            connection.write(block + b"\r\n" + self._framed(self._first, last=not self._more))
        else:
            connection.write(block + b"\r\n")
        self._admission.ticker.add(self)
        if self._more:
            self._start_reader(connection)
        else:
            connection.request_done = True

    def _framed(self, data: bytes, last: bool) -> bytes:
        if not self._request.head.chunked:
            return data
        framed = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        return framed + b"0\r\n\r\n" if last else framed

    def _start_reader(self, connection: Connection) -> None:
        self._reader = asyncio.create_task(self._read_client(connection), name="gateway-client")

    async def _read_client(self, connection: Connection) -> None:
        """Pass the rest of the body on; then, or if there is none, notice when the client hangs up."""
        while True:
            if self._more:
                await connection.drain()
                self._stall_s = self._loop.time() + STALL_TIMEOUT_S
            message = await self._receive()
            self._stall_s = 0.0
            if self._finished:
                return
            if message["type"] == "http.disconnect":
                connection.break_off(ClientGone())
                return
            if self._more:
                body: bytes = message.get("body", b"")
                self._more = message.get("more_body", False)
                self._consumed = True
                self._trace.bytes_in += len(body)
                if self._trace.bytes_in > self._entry.route.max_body_bytes:
                    connection.break_off(body_too_large(self._entry.route))
                    return
                if self._trace.capture is not None:
                    self._trace.capture.take_request(body, last=not self._more)
                connection.write(self._framed(body, last=not self._more))
                self._deadline_s = self._loop.time() + self._entry.route.timeout_s
                connection.request_done = not self._more

    # -- Back ---------------------------------------------------------------------------------------------------------

    async def _answer(self, connection: Connection, lane: Lane) -> None:
        trace, send = self._trace, self._request.send
        trace.first_byte_s = perf_counter()
        trace.status = connection.status
        lane.reached(connection)
        request, fill = self._request, self._request.fill
        note_change(lane.shelf, self._entry.route, request.method, request.target, connection.status)
        confirmed = fill.begin(connection.status, connection.headers) if fill is not None else None
        if confirmed is not None:
            self._started = self._finished = True
            await give(confirmed, request, trace, self._entry.seen_at(request.site).headers)
            return
        headers = full_headers(
            connection.status,
            connection.headers,
            request.cors,
            request.added,
            self._entry.seen_at(request.site).headers,
            trace.request_id,
            by_path=request.by_path,
        )
        if fill is not None:
            headers.append((b"cache-status", fill.told()))
        self._started = True
        capture = trace.capture
        if capture is not None:
            capture.response_headers = headers
        await send({"type": "http.response.start", "status": connection.status, "headers": headers})
        patience_s = answer_patience_s(connection.headers)
        self._endless = not any(name == b"content-length" for name, _ in connection.headers)
        while True:
            self._idle_s = self._loop.time() + patience_s
            body = await connection.body()
            self._idle_s = 0.0
            complete = connection.complete
            trace.bytes_out += len(body)
            if capture is not None:
                capture.take_response(body)
            if fill is not None:
                fill.take(body, last=complete)
            self._finished = complete
            if complete:
                trace.outcome = outcome_of_status(connection.status)
            await send({"type": "http.response.body", "body": body, "more_body": not complete})
            if complete:
                return

    # -- Called from outside ------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        connection = self._connection
        if connection is None or self._finished:
            return
        if self._idle_s and now > self._idle_s:
            connection.break_off(stalled(self._entry.route))
        if self._endless and self._admission.callers.outlived(self._trace):
            connection.break_off(ClientGone())  # as far as the call goes: its key is no more
        if self._reader is None:
            self._start_reader(connection)
        if self._stall_s and now > self._stall_s:
            connection.break_off(RequestStalled(STALL_TIMEOUT_S))
        elif not connection.head_done and not self._stall_s and now > self._deadline_s:
            connection.break_off(late(self._entry.route))

    def break_off(self) -> None:
        """The lane closes."""
        if self._connection is not None:
            self._connection.break_off(Broken("was stopped"))
        if self._started and not self._finished and self._task is not None:
            self._broken_off = True  # it may be waiting for a client that does not read
            self._task.cancel()
