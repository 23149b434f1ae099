"""One exchange on the short way: the callbacks of two connections, the client's and the API's."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from local_server.domain.errors import ApimarketError
from local_server.domain.executions import CallOutcome, outcome_of_status
from local_server.domain.gateway_errors import MalformedRequest
from local_server.gateway.access_log import outcome_of_refusal
from local_server.gateway.answers import refusal
from local_server.gateway.cache import note_change
from local_server.gateway.failures import answer_patience_s, broken_off, late, stalled
from local_server.gateway.hold import ClientGone
from local_server.gateway.request import REPEATABLE
from local_server.gateway.response_head import AnswerHead
from local_server.gateway.upstream import Broken

if TYPE_CHECKING:
    from local_server.gateway.access_log import Trace
    from local_server.gateway.asgi import Gateway
    from local_server.gateway.fields import Fields
    from local_server.gateway.lane import Lane
    from local_server.gateway.policy import Terms
    from local_server.gateway.protocol import HardenedProtocol
    from local_server.gateway.table import Entry
    from local_server.gateway.upstream import Connection


class _Deaf:
    """Where uvicorn signals the task that an ordinary cycle has."""

    def set(self) -> None:
        return


class Express:
    """One exchange. To uvicorn it is the connection's cycle: `response_complete`, `disconnected`, `keep_alive`."""

    __slots__ = (
        "_chunked",
        "_connection",
        "_deadline_s",
        "_gateway",
        "_id_line",
        "_lane",
        "_out",
        "_protocol",
        "_started",
        "body",
        "disconnected",
        "entry",
        "fields",
        "keep_alive",
        "response_complete",
        "target",
        "terms",
        "trace",
    )
    message_event = _Deaf()
    more_body = False

    def __init__(
        self,
        gateway: Gateway,
        protocol: HardenedProtocol,
        entry: Entry,
        lane: Lane,
        connection: Connection,
        trace: Trace,
        fields: Fields,
        target: bytes,
        body: bytes,
        terms: Terms,
    ) -> None:
        self._gateway = gateway
        self._protocol = protocol
        self.entry = entry
        self._lane = lane
        self._connection = connection
        self.trace = trace
        self.fields = fields
        self.target = target
        self.body = body
        self.terms = terms
        self._chunked = False
        self._started = False
        self._id_line = b"x-request-id: %b\r\n" % trace.request_id.encode()
        """Both messages have it."""
        self._out = b""
        """What is to be written at the end of the loop's turn."""
        self._deadline_s = 0.0
        """Until when the next thing has to come from the API."""
        self.disconnected = False
        self.response_complete = False
        self.keep_alive = True

    # -- There --------------------------------------------------------------------------------------------------------

    def send(self) -> None:
        """Put the request on its connection."""
        connection, trace, entry, fields = self._connection, self.trace, self.entry, self.fields
        self._out = b"".join(
            (
                trace.method.encode(),
                b" ",
                self.target,
                b" HTTP/1.1\r\n",
                fields.block(),
                self._id_line,
                b"traceparent: %b\r\n" % trace.traceparent if trace.traceparent else b"",
                entry.prefix_line if fields.by_path else b"",
                b"\r\n",
                self.body,
            )
        )
        self._lane.enter(self)
        connection.begin(trace.method == "HEAD")
        connection.watcher = self
        trace.generation, trace.version = self._lane.generation, self._lane.version
        trace.bytes_in = len(self.body)
        trace.sent_s = trace.started_s
        self._deadline_s = self._protocol.loop.time() + entry.route.timeout_s
        self._gateway.ticker.add(self)
        if self._lane.in_flight > 1:
            self._gateway.turn.at_end(self._write_request)
        else:
            self._write_request()  # nobody's write could go along with it

    def _write_request(self) -> None:
        connection = self._connection
        if connection.watcher is not self:
            return  # it has ended in this very turn
        self.trace.sent_s = perf_counter()
        connection.request_done = True
        connection.write(self._out)

    # -- Back ---------------------------------------------------------------------------------------------------------

    def advanced(self) -> None:
        """Something came from the API, or its connection ended."""
        connection = self._connection
        if self._started:
            self._pass_on(b"")
        elif connection.head_done:
            self._started = True
            self._pass_on(self._answer_head())
        elif connection.error is not None:
            self._fail(connection.error)

    def _answer_head(self) -> bytes:
        connection, trace, entry, by_path = self._connection, self.trace, self.entry, self.fields.by_path
        trace.first_byte_s = perf_counter()
        head = connection.known or AnswerHead(connection.status, connection.headers)
        status = trace.status = head.status
        if self._lane.breaker.failures:
            self._lane.breaker.succeeded()
        if entry.route.cache_ttl_s:
            note_change(self._lane.shelf, entry.route, trace.method, self.target, status)
        ours = self.terms.names()
        if entry.declared:
            ours |= entry.declared
        lines = b"".join(
            (
                head.lines(ours, by_path),
                self.terms.lines(),
                entry.lines,
                self._id_line,
            )
        )
        if trace.capture is not None:
            trace.capture.response_lines = lines
        framing = b""
        if not self.keep_alive:
            framing = b"connection: close\r\n"
        if not head.framed and trace.method != "HEAD":
            self._chunked = True
            framing += b"transfer-encoding: chunked\r\n"
        return b"".join((STATUS_LINE[status], lines, framing, b"\r\n"))

    def _pass_on(self, head: bytes) -> None:
        """Write `head` and what there is of the body; where all of it is there, in one piece at the end of the turn."""
        connection, protocol = self._connection, self._protocol
        if protocol.flow.write_paused and not connection.complete and not head:
            if connection.error is not None:
                self._end(outcome_of_break(connection.error), cut=True)
            return  # what has come waits in the connection, which stops reading when that is too much
        body = connection.take()
        complete = connection.complete
        self.trace.bytes_out += len(body)
        if self.trace.capture is not None:
            self.trace.capture.take_response(body)
        if self._chunked:
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"0\r\n\r\n" if complete else b"")
        if head and complete and self.keep_alive:
            self._out = head + body
            self._let_go()
            if self._lane.in_flight:
                self._gateway.turn.at_end(self._write_answer)
            else:
                self._write_answer()
            return
        if head or body:
            protocol.transport.write(head + body)
        if complete:
            self._end(outcome_of_status(self.trace.status))
        elif connection.error is None:
            self._deadline_s = protocol.loop.time() + answer_patience_s(connection.headers)
        else:
            self._end(outcome_of_break(connection.error), cut=True)

    def _write_answer(self) -> None:
        """All of it. Until then it is under way, so that what is answered behind it comes behind it."""
        if not self.disconnected:
            self._protocol.transport.write(self._out)
        self._over(outcome_of_status(self.trace.status))

    def _end(self, outcome: CallOutcome, *, cut: bool = False) -> None:
        """The exchange is over. `cut`: the answer is not whole, and must not look as if it were."""
        self._let_go()
        self._over(outcome, cut=cut)

    def _let_go(self) -> None:
        """Of the API: others may have the connection."""
        connection = self._connection
        connection.watcher = None
        self._gateway.ticker.discard(self)
        self._lane.pool.give(connection)
        self._lane.leave(self)

    def _over(self, outcome: CallOutcome, *, cut: bool = False) -> None:
        """For the client, too."""
        trace, protocol = self.trace, self._protocol
        trace.outcome = outcome
        self.response_complete = True
        self._gateway.books.enter(trace)
        if cut or not self.keep_alive:
            protocol.transport.close()
        protocol.carried()

    # -- What goes wrong ----------------------------------------------------------------------------------------------

    def _fail(self, error: Exception) -> None:
        """Before anything of an answer was sent."""
        if isinstance(error, ClientGone):
            self._end(CallOutcome.ABORTED, cut=True)
        elif isinstance(error, ApimarketError):
            self._blame("was silent for too long")
            self.refuse(error)
        elif self._may_repeat():
            self._let_go()
            self._protocol.long_way(self)
        else:
            self._blame(str(error))
            self.refuse(broken_off(self.entry.route, error, started=False))

    def _blame(self, reason: str) -> None:
        """No answer began."""
        self._lane.breaker.failed(self, reason, self._protocol.loop.time())

    def _may_repeat(self) -> bool:
        """The same rule as on the long way: nothing was answered, nothing was asked yet or asking twice does no harm,
        and there is reason to think that another connection fares better."""
        connection = self._connection
        harmless = self.trace.method in REPEATABLE or not connection.request_done
        if connection.answered or not harmless or self.disconnected:
            return False
        entry = self._gateway.routing.lookup(self.entry.route.api_id, self.entry.route.version)
        return entry is not None and (entry.lane is not self._lane or connection.uses > 1)

    def refuse(self, error: ApimarketError) -> None:
        """Answer in the API's place."""
        self.keep_alive = self.keep_alive and not isinstance(error, MalformedRequest)
        if self.trace.capture is not None:
            self.trace.capture.take_refusal(error, self.trace.request_id)
        said = self.terms.headers()
        self._protocol.transport.write(refusal(error, self.trace, said, keep_alive=self.keep_alive))
        self._end(outcome_of_refusal(error))

    # -- Called from outside ------------------------------------------------------------------------------------------

    def client_reads(self) -> None:
        """The client takes more of the answer."""
        if self._connection.watcher is self:
            self.advanced()

    def client_lost(self) -> None:
        """The client hung up."""
        self.disconnected = True
        if self._connection.watcher is self:
            self._connection.break_off(ClientGone())

    def tick(self, now: float) -> None:
        if self._chunked and self._gateway.callers.outlived(self.trace):
            self._connection.break_off(ClientGone())  # as far as the call goes: its key is no more
            return
        if now <= self._deadline_s:
            return
        connection, route = self._connection, self.entry.route
        if not connection.head_done:
            connection.break_off(late(route))
        elif not self._protocol.flow.write_paused:
            connection.break_off(stalled(route))

    def break_off(self) -> None:
        """The lane closes."""
        self._connection.break_off(Broken("was stopped"))


def outcome_of_break(error: Exception) -> CallOutcome:
    """Of an answer that ended in the middle."""
    if isinstance(error, ClientGone):
        return CallOutcome.ABORTED
    return outcome_of_refusal(error) if isinstance(error, ApimarketError) else CallOutcome.UPSTREAM_FAILED
