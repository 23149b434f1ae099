"""The gateway as an application: API traffic in, an API's answer out."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from local_server.domain.errors import ApimarketError
from local_server.domain.executions import CallOutcome
from local_server.domain.gateway_errors import OriginRefused
from local_server.domain.names import RESERVED_OWNERS
from local_server.domain.registry_errors import ApiNotFound
from local_server.domain.version_errors import VersionGone
from local_server.gateway import origins
from local_server.gateway.access_log import System, Trace
from local_server.gateway.admission import Admission, full_name, not_serving
from local_server.gateway.books import Books
from local_server.gateway.cache import Cache
from local_server.gateway.cache_rules import Ask
from local_server.gateway.cached import Caching
from local_server.gateway.callers import Callers, caller_id
from local_server.gateway.current import Current, current
from local_server.gateway.hold import MAX_WAIT_S, Holds
from local_server.gateway.hosts import SERVER, Hosts, Site
from local_server.gateway.http_date import http_date
from local_server.gateway.inspector import Inspector
from local_server.gateway.policy import Policy, refusal_headers
from local_server.gateway.problems import send_problem
from local_server.gateway.proxy import Exchange
from local_server.gateway.quotas import Quotas
from local_server.gateway.replay import head_of, replay
from local_server.gateway.request import REPEATABLE, Request
from local_server.gateway.request_head import RequestHead, read_head
from local_server.gateway.routing import Routing
from local_server.gateway.scope import address_of, forwarded, local_port, raw_path_of
from local_server.gateway.table import Entry, make_entry
from local_server.gateway.ticker import Ticker
from local_server.gateway.turn import Turn
from local_server.gateway.websocket import Tunnel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from local_server.domain.exchanges import Answer
    from local_server.domain.exchanges import Exchange as Kept
    from local_server.domain.executions import Execution
    from local_server.domain.ids import ApiId
    from local_server.domain.routing import Route
    from local_server.gateway.asgi_types import RawHeaders, Receive, Scope, Send
    from local_server.gateway.express_exchange import Express
    from local_server.gateway.lane import Lane
    from local_server.gateway.policy import Terms


class Gateway:
    """`record` is told of each request to an API once, soon after its end, on the event loop: it must not block.

    `hosts` says which Host headers name an API; `Edge` shares it and refuses all others before they come here.
    All methods are to be called on the event loop that serves.
    """

    def __init__(
        self,
        record: Callable[[Sequence[Execution]], None],
        system: System,
        *,
        hosts: Hosts | None = None,
        max_hold_s: float = MAX_WAIT_S,
        enforce_keys: bool = False,
        inspect: int = 0,
        reserved: frozenset[str] = RESERVED_OWNERS,
    ) -> None:
        self.system = system
        self.hosts = hosts or Hosts()
        self.callers = Callers(system.now, enforce=enforce_keys)
        """Who may call: told here which keys there are."""
        self.inspector = Inspector(inspect)
        """Keeps the last `inspect` exchanges of each API."""
        self.quotas = Quotas(system.now)
        self.policy = Policy(self.callers, self.quotas)
        self.books = Books(record, self.quotas.refund, self.inspector.keep)
        self.ticker = Ticker()
        self.turn = Turn()
        self._holds = Holds(max_hold_s)
        self.reserved = reserved
        """First segments of paths that the control API has for itself."""
        self.routing = Routing(Cache(system.now), self._holds.changed, self.inspector.forget, reserved)
        """Where the APIs are: told by the executor."""
        self._admission = Admission(self.routing.lookup, self._holds, self.ticker, self.callers)

    async def replay(self, exchange: Kept, lane: Lane | None = None) -> Answer:
        """Send a kept request again, on `lane` or, without one, to whatever serves now, as its caller's would go. It
        needs no key, and counts for no limit, statistics or log. Raises ApiNotFound; ApiUnavailable when nothing
        serves. The API's own failure is an answer like any other."""
        kept = exchange.execution
        entry = self.routing.lookup(kept.api_id, kept.version) or self.routing.lookup(kept.api_id)
        if entry is None:
            raise ApiNotFound(exchange.prefix.strip("/"))
        admission = self._admission
        if lane is not None:
            entry = pinned = make_entry(entry.route, lane)
            admission = Admission(lambda *_: pinned, self._holds, self.ticker, self.callers)
        elif entry.lane is None:
            raise not_serving(entry.route)
        request_id = self.system.new_id()
        head = head_of(exchange)
        scope = {"client": (exchange.client, 0), "scheme": exchange.origin.partition(":")[0]}
        lines = forwarded(scope, head, request_id, exchange.prefix.encode("latin-1"))
        return await replay(admission, entry, exchange, head, lines, request_id)

    def begin(self, api_id: ApiId, method: str, path: bytes) -> Trace:
        """A request has come. Its one look at the clock: the rules ask what time it is then."""
        return Trace(self.system.new_id(), api_id, method, path, self.system.now(), perf_counter())

    async def close(self) -> None:
        """Break off everything. May be called twice."""
        await self.routing.close()
        self.ticker.stop()
        self.books.post()

    # -- ASGI ---------------------------------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """API traffic only; a host it does not know is taken as the server's own."""
        head = read_head(scope["headers"])
        site = self.hosts.site(head.host, local_port(scope)) or SERVER
        await self.serve(scope, receive, send, head, site)

    async def serve(self, scope: Scope, receive: Receive, send: Send, head: RequestHead, site: Site) -> None:
        """The same, with the headers read and the host known."""
        raw = raw_path_of(scope)
        websocket = scope["type"] == "websocket"
        entry, path = self.routing.find(site, raw)
        if entry is not None and not path and not websocket:
            await self._add_slash(raw, scope, send)
            return
        if entry is None:
            error = self.routing.not_found(site, raw)
            await send_problem(send, error, self.system.new_id(), websocket=websocket)
            return
        if entry.split:
            entry = entry.of(caller_id(head, address_of(scope)))
        await self._exchange(scope, receive, send, head, entry, path or b"/", site)

    async def _add_slash(self, raw: bytes, scope: Scope, send: Send) -> None:
        """Relative links of an API's pages only work below `/owner/slug/`. 308 keeps method and body."""
        query: bytes = scope["query_string"]
        location = raw + b"/" + (b"?" + query if query else b"")
        headers = [(b"location", location), (b"content-length", b"0"), (b"date", http_date())]
        headers.append((b"x-request-id", self.system.new_id().encode()))
        await send({"type": "http.response.start", "status": 308, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _exchange(
        self, scope: Scope, receive: Receive, send: Send, head: RequestHead, entry: Entry, path: bytes, site: Site
    ) -> None:
        websocket = scope["type"] == "websocket"
        prefix = entry.prefix if site.is_server else b""
        trace = self.begin(entry.route.api_id, "GET" if websocket else scope["method"], path)
        if self.inspector.most:
            trace.capture = self.inspector.begin(scope, head, prefix, path)
        current.set(Current(trace.request_id))
        cors = origins.answer_headers(entry.route.cors, head.origin) if entry.route.cors else []
        try:
            terms = await self._admitted(scope, send, head, entry, trace, cors)
            if terms is None:
                return
            if head.traceparents:
                trace.carry_on(head, head.traceparent)
                current.set(Current(trace.request_id, trace.trace_id))
            query: bytes = scope["query_string"]
            target = path + b"?" + query if query else path
            lines = forwarded(scope, head, trace.request_id, prefix, trace.traceparent)
            request = Request(trace.method, target, head, lines, receive, send, cors, terms.headers(), site)
            if websocket:
                await Tunnel(self._admission, entry, request, trace, scope["subprotocols"]).run()
            elif entry.route.cache_ttl_s and trace.method in REPEATABLE:
                ask = Ask(head, prefix, target, self.callers.audience(head))
                await Caching(self._admission, entry, request, trace, ask).run()
            else:
                await Exchange(self._admission, entry, request, trace).run()
        finally:
            self.books.enter(trace)

    async def _admitted(
        self, scope: Scope, send: Send, head: RequestHead, entry: Entry, trace: Trace, cors: RawHeaders
    ) -> Terms | None:
        """Whether the request may go on to its API; None: it has been answered."""
        websocket = scope["type"] == "websocket"
        route, method = entry.route, trace.method
        if refusal := self._refusal(entry, head):
            await _turn_away(send, refusal, trace, [], websocket)
            return None
        if cors and method == "OPTIONS" and await self._preflight(scope, send, route, head.origin, trace):
            return None
        try:
            return await self.policy.admit(route, head, method, address_of(scope), trace, websocket=websocket)
        except ApimarketError as error:
            await _turn_away(send, error, trace, cors, websocket)
            return None

    async def resume(self, express: Express, receive: Receive, send: Send) -> None:
        """Take the long way with a request that was admitted on the short one, and whose connection failed it."""
        fields, entry, trace = express.fields, express.entry, express.trace
        scope = {"client": fields.client, "scheme": fields.scheme}
        prefix = entry.prefix if fields.by_path else b""
        lines = forwarded(scope, fields.head, trace.request_id, prefix, trace.traceparent)
        added = express.terms.headers()
        request = Request(trace.method, express.target, fields.head, lines, receive, send, [], added, fields.site)
        entry = self.routing.lookup(entry.route.api_id, entry.route.version) or entry
        try:
            await Exchange(self._admission, entry, request, trace, fresh=True).run()
        finally:
            self.books.enter(trace)

    def _refusal(self, entry: Entry, head: RequestHead) -> ApimarketError | None:
        """Whether nobody may call any more, or a page may not; `Callers` says the same of whoever sent it."""
        route = entry.route
        if entry.sunset_at is not None and self.system.now() >= entry.sunset_at:
            return VersionGone(full_name(route), route.version, entry.sunset_at, entry.successor)
        if head.origins > 1:
            return OriginRefused("The request carries more than one Origin header", hint="Send one, or none.")
        if head.origin or head.fetch_site:
            return origins.refusal(route.cors, head.fetch_site, head.origin, self.hosts)
        return None

    async def _preflight(self, scope: Scope, send: Send, route: Route, origin: bytes, trace: Trace) -> bool:
        """Answer a browser's preflight in the API's place. False if it is an ordinary OPTIONS request."""
        asked = {name: value for name, value in scope["headers"] if name.startswith(b"access-control-request-")}
        method = asked.get(b"access-control-request-method")
        if method is None:
            return False
        headers: RawHeaders = origins.preflight_headers(
            route.cors, origin, method, asked.get(b"access-control-request-headers", b"")
        )
        headers += [(b"date", http_date()), (b"x-request-id", trace.request_id.encode())]
        trace.outcome, trace.status = CallOutcome.OK, 204
        if trace.capture is not None:
            trace.capture.response_headers = headers
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return True


async def _turn_away(send: Send, error: ApimarketError, trace: Trace, cors: RawHeaders, websocket: bool) -> None:
    trace.outcome, trace.status = CallOutcome.REFUSED, error.status
    if trace.capture is not None:
        trace.capture.take_refusal(error, trace.request_id)
    extra = cors + refusal_headers(error)
    trace.bytes_out = await send_problem(send, error, trace.request_id, websocket=websocket, extra=extra)
