"""The short way through the gateway, for what most requests are: the API serves, a connection to it is idle, and the
whole request has come in one piece.

Such an exchange is three callbacks: the request is read, the answer comes, the answer is sent. It takes no task, no
coroutine and no ASGI message, which together cost several times what the exchange itself does (docs/decisions). What
is anything else takes the long way, `Gateway.serve`, and that is decided before anything has an effect. Both ways ask
the same rules and write the same log.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from local_server.domain.errors import ApimarketError, MalformedRequest
from local_server.domain.executions import CallOutcome, outcome_of_status
from local_server.gateway.access_log import Trace, outcome_of_refusal
from local_server.gateway.asgi import caller_id, refusal_headers
from local_server.gateway.cache import note_change
from local_server.gateway.cache_hit import Hit, find_hit, tell
from local_server.gateway.cache_rules import Ask
from local_server.gateway.edge import is_control
from local_server.gateway.hold import ClientGone
from local_server.gateway.limits import RATE_NAMES
from local_server.gateway.problems import problem_body, problem_headers
from local_server.gateway.proxy import REPEATABLE, answer_patience_s, broken_off, late, stalled
from local_server.gateway.quotas import QUOTA_NAMES
from local_server.gateway.response_head import AnswerHead, as_lines
from local_server.gateway.upstream import Broken

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local_server.domain.routing import Route
    from local_server.gateway.asgi import Gateway
    from local_server.gateway.asgi_types import RawHeaders
    from local_server.gateway.fields import Fields
    from local_server.gateway.lane import Lane
    from local_server.gateway.limits import Verdict
    from local_server.gateway.protocol import HardenedProtocol
    from local_server.gateway.table import Entry
    from local_server.gateway.upstream import Connection

MAX_BODY_BYTES = 64 * 1024
"""Of a request, and of an answer that is kept: what comes in one piece and is sent in one."""


def express(gateway: Gateway, protocol: HardenedProtocol, fields: Fields, method: str, url: bytes, body: bytes) -> bool:
    """Begin the exchange of a request that is here whole, or answer it. False: it needs the long way, and nothing has
    happened yet."""
    raw, _, query = url.partition(b"?")
    if fields.by_path and is_control(raw):
        return False
    entry, path = gateway.find(fields.site, raw)
    if entry is None or not path:
        return False
    if entry.split:
        entry = entry.of(caller_id(fields.head, fields.address))
    lane, route = entry.lane, entry.route
    if lane is None or lane.closed or route.cors or not lane.breaker.closed or entry.sunset_at is not None:
        return False
    target = path + b"?" + query if query else path
    hit: Hit | None = None
    connection: Connection | None = None
    if route.cache_ttl_s and method in REPEATABLE:
        hit = _kept_for(gateway, protocol, entry, lane, fields, target)
    else:
        connection = lane.pool.take(method in REPEATABLE)
    if connection is None and hit is None:
        return False
    trace = gateway.begin(route.api_id, method, path)
    if gateway.inspector.most:
        _capture(gateway, entry, fields, trace, query, body)
    try:
        admitted = admit(gateway, route, fields, method, trace)
    except ApimarketError as error:
        _put_back(lane, connection)
        _turn_away(gateway, protocol, error, trace)
        return True
    if admitted is None:
        _put_back(lane, connection)
        return False  # storage has to be asked
    if connection is None:
        assert hit is not None
        protocol.answer(kept(hit, entry, lane, trace, admitted.headers(), by_path=fields.by_path))
        gateway.record(trace)
        return True
    if fields.head.traced:
        trace.carry_on(fields.head)
    exchange = Express(gateway, protocol, entry, lane, connection, trace, fields, target, body, admitted)
    protocol.carry(exchange)
    exchange.send()
    return True


def _kept_for(
    gateway: Gateway, protocol: HardenedProtocol, entry: Entry, lane: Lane, fields: Fields, target: bytes
) -> Hit | None:
    """What is kept and may be given at once. Large ones, and while the client may not be reading, only the long way
    gives: it waits for it."""
    head = fields.head
    ask = Ask(head, entry.prefix if fields.by_path else b"", target, gateway.callers.audience(head))
    hit = find_hit(lane.shelf, ask)
    if hit is None or len(hit.stored.body) > MAX_BODY_BYTES or protocol.flow.write_paused:
        return None
    return hit


def _capture(gateway: Gateway, entry: Entry, fields: Fields, trace: Trace, query: bytes, body: bytes) -> None:
    """Let the inspector keep the exchange."""
    scope = {"type": "http", "scheme": fields.scheme, "client": fields.client, "query_string": query}
    prefix = entry.prefix if fields.by_path else b""
    trace.capture = gateway.inspector.begin(scope, fields.head, prefix, trace.path)
    if body:
        trace.capture.take_request(body, last=True)


def _put_back(lane: Lane, connection: Connection | None) -> None:
    if connection is not None:
        lane.pool.put_back(connection)


def _turn_away(gateway: Gateway, protocol: HardenedProtocol, error: ApimarketError, trace: Trace) -> None:
    if trace.capture is not None:
        trace.capture.take_refusal(error, trace.request_id)
    trace.outcome = CallOutcome.REFUSED
    protocol.answer(refusal(error, trace, refusal_headers(error)))
    gateway.record(trace)


class Admitted(NamedTuple):
    """What a call that may be made has to be told about its limit and its quota."""

    verdict: Verdict | None = None
    quota: RawHeaders | None = None

    def headers(self) -> RawHeaders:
        return (self.verdict.headers() if self.verdict is not None else []) + (self.quota or [])

    def lines(self) -> bytes:
        """The same, as lines of a head."""
        lines = self.verdict.lines() if self.verdict is not None else b""
        return lines + as_lines(self.quota) if self.quota else lines

    def names(self) -> frozenset[bytes]:
        """Those of the API's own headers that give way."""
        if self.verdict is not None:
            return RATE_NAMES
        return QUOTA_NAMES if self.quota else _NO_NAMES


_NO_NAMES: frozenset[bytes] = frozenset()


def admit(gateway: Gateway, route: Route, fields: Fields, method: str, trace: Trace) -> Admitted | None:
    """Whether the call may be made; it is then counted. None: that cannot be told at once, and nothing was counted.
    Raises what the rules of `Callers` and `Quotas` raise."""
    callers, quotas = gateway.callers, gateway.quotas
    grant = callers.identify(route, fields.head, method, fields.address, trace, websocket=False)
    if grant is None or grant.quota is None:
        return Admitted(callers.limit(route, grant, fields.address))
    purse = quotas.ready(grant)
    if purse is None:
        return None
    verdict = callers.limit(route, grant, fields.address)
    quotas.spend(purse)
    trace.purse = purse
    return Admitted(verdict, quotas.headers(purse))


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
        "_lane",
        "_protocol",
        "_started",
        "admitted",
        "body",
        "disconnected",
        "entry",
        "fields",
        "keep_alive",
        "response_complete",
        "target",
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
        admitted: Admitted,
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
        self.admitted = admitted
        self._chunked = False
        self._started = False
        self._deadline_s = 0.0
        """Until when the next thing has to come from the API."""
        self.disconnected = False
        self.response_complete = False
        self.keep_alive = True

    # -- There --------------------------------------------------------------------------------------------------------

    def send(self) -> None:
        """Put the request on its connection."""
        connection, trace, entry, fields = self._connection, self.trace, self.entry, self.fields
        block = b"".join(
            (
                trace.method.encode(),
                b" ",
                self.target,
                b" HTTP/1.1\r\n",
                fields.block(),
                b"x-request-id: ",
                trace.request_id.encode(),
                b"\r\n",
                entry.prefix_line if fields.by_path else b"",
                b"\r\n",
                self.body,
            )
        )
        self._lane.enter(self)
        connection.begin(trace.method == "HEAD")
        connection.watcher = self
        connection.request_done = True
        trace.generation, trace.version = self._lane.generation, self._lane.version
        trace.bytes_in = len(self.body)
        trace.sent_s = perf_counter()
        self._deadline_s = self._protocol.loop.time() + entry.route.timeout_s
        self._gateway.ticker.add(self)
        connection.write(block)

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
        note_change(self._lane.shelf, entry.route, trace.method, self.target, status)
        lines = b"".join(
            (
                head.lines(self.admitted.names(), by_path),
                self.admitted.lines(),
                entry.lines,
                b"x-request-id: ",
                trace.request_id.encode(),
                b"\r\n",
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
        """Write `head` and what there is of the body; in one piece, where all of it is there."""
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
        if head or body:
            protocol.transport.write(head + body)
        if complete:
            self._end(outcome_of_status(self.trace.status))
        elif connection.error is None:
            self._deadline_s = protocol.loop.time() + answer_patience_s(connection.headers)
        else:
            self._end(outcome_of_break(connection.error), cut=True)

    def _end(self, outcome: CallOutcome, *, cut: bool = False) -> None:
        """The exchange is over. `cut`: the answer is not whole, and must not look as if it were."""
        trace, protocol = self.trace, self._protocol
        trace.outcome = outcome
        self.response_complete = True
        self._let_go()
        self._gateway.record(trace)
        if cut or not self.keep_alive:
            protocol.transport.close()
        protocol.carried()

    def _let_go(self) -> None:
        connection = self._connection
        connection.watcher = None
        self._gateway.ticker.discard(self)
        self._lane.pool.give(connection)
        self._lane.leave(self)

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
        """The same rule as on the long way: nothing was answered, asking twice does no harm, and there is reason to
        think that another connection fares better."""
        connection = self._connection
        if connection.answered or self.trace.method not in REPEATABLE or self.disconnected:
            return False
        entry = self._gateway.lookup(self.entry.route.api_id, self.entry.route.version)
        return entry is not None and (entry.lane is not self._lane or connection.uses > 1)

    def refuse(self, error: ApimarketError) -> None:
        """Answer in the API's place."""
        self.keep_alive = self.keep_alive and not isinstance(error, MalformedRequest)
        if self.trace.capture is not None:
            self.trace.capture.take_refusal(error, self.trace.request_id)
        self._protocol.transport.write(refusal(error, self.trace, keep_alive=self.keep_alive))
        self._end(outcome_of_refusal(error))

    # -- Called from outside ------------------------------------------------------------------------------------------

    def client_lost(self) -> None:
        """The client hung up."""
        if not self.response_complete:
            self.disconnected = True
            self._connection.break_off(ClientGone())

    def tick(self, now: float) -> None:
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


def kept(hit: Hit, entry: Entry, lane: Lane, trace: Trace, added: RawHeaders, *, by_path: bool) -> bytes:
    """The whole of an answer from what is kept; `trace` is told."""
    trace.cached, trace.generation, trace.version = True, lane.generation, lane.version
    status, headers, body = hit.answer(
        trace.method == "HEAD", [], added, entry.headers, trace.request_id, by_path=by_path
    )
    tell(trace, status, headers, body)
    return b"".join((STATUS_LINE[status], as_lines(headers), b"\r\n", body))


def refusal(
    error: ApimarketError, trace: Trace, extra: Iterable[tuple[bytes, bytes]] = (), *, keep_alive: bool = True
) -> bytes:
    """The whole of an answer that says `error`; `trace` is told."""
    body = problem_body(error, trace.request_id)
    trace.status, trace.bytes_out = error.status, len(body)
    headers = [*problem_headers(error, trace.request_id, body), *extra]
    lines = [b"%b: %b\r\n" % item for item in headers]
    if not keep_alive:
        lines.append(b"connection: close\r\n")
    content = b"" if trace.method == "HEAD" else body
    return b"".join((STATUS_LINE[error.status], *lines, b"\r\n", content))
