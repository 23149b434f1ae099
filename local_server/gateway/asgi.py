"""The gateway: API traffic in, an API's answer out. It is also the executor's `Traffic`."""

from __future__ import annotations

import logging
from time import perf_counter
from typing import TYPE_CHECKING

from local_server.domain.account_errors import RateLimited
from local_server.domain.errors import ApimarketError, ApiNotFound, OriginRefused
from local_server.domain.executions import CallOutcome
from local_server.domain.gateway_errors import BodyTooLarge
from local_server.domain.quota_errors import QuotaExceeded
from local_server.domain.quotas import costs
from local_server.domain.routing import Steering
from local_server.domain.version_errors import VersionGone, VersionNotFound
from local_server.gateway import origins
from local_server.gateway.access_log import System, Trace
from local_server.gateway.admission import Admission, full_name, not_serving
from local_server.gateway.breaker import REST_S
from local_server.gateway.cache import Cache
from local_server.gateway.cache_rules import Ask
from local_server.gateway.cached import Caching
from local_server.gateway.callers import Callers, caller_of
from local_server.gateway.current import Current, current
from local_server.gateway.hold import MAX_WAIT_S, Holds
from local_server.gateway.hosts import SERVER, Hosts, Site
from local_server.gateway.http_date import http_date
from local_server.gateway.inspector import Inspector
from local_server.gateway.lane import Lane
from local_server.gateway.limits import rate_headers
from local_server.gateway.problems import send_problem
from local_server.gateway.proxy import REPEATABLE, Exchange, Request
from local_server.gateway.quotas import Quotas, quota_headers
from local_server.gateway.replay import head_of, replay
from local_server.gateway.request_head import RequestHead, forwarded_lines, raw_path_of, read_head
from local_server.gateway.table import Entry, Table, make_entry, make_group
from local_server.gateway.ticker import Ticker
from local_server.gateway.websocket import Tunnel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local_server.domain.exchanges import Answer
    from local_server.domain.exchanges import Exchange as Kept
    from local_server.domain.executions import Execution
    from local_server.domain.ids import ApiId
    from local_server.domain.routing import Route
    from local_server.gateway.asgi_types import RawHeaders, Receive, Scope, Send
    from local_server.gateway.breaker import CircuitState
    from local_server.gateway.express import Express


logger = logging.getLogger("apimarket.gateway")


class Gateway:
    """`record` is called once for each request to an API, at its end, on the event loop: it must not block.

    `hosts` says which Host headers name an API; `Edge` shares it and refuses all others before they come here.
    All methods are to be called on the event loop that serves.
    """

    def __init__(
        self,
        record: Callable[[Execution], None],
        system: System,
        *,
        hosts: Hosts | None = None,
        max_hold_s: float = MAX_WAIT_S,
        enforce_keys: bool = False,
        inspect: int = 0,
    ) -> None:
        self._record = record
        self.system = system
        self.hosts = hosts or Hosts()
        self.callers = Callers(enforce=enforce_keys)
        """Who may call: told here which keys there are."""
        self.inspector = Inspector(inspect)
        """Keeps the last `inspect` exchanges of each API."""
        self.quotas = Quotas(system.now)
        self.cache = Cache(system.now)
        self._table = Table()
        self._places: dict[ApiId, dict[str, tuple[Route, Lane | None]]] = {}
        self._steering: dict[ApiId, Steering] = {}
        self.ticker = Ticker()
        self._holds = Holds(max_hold_s)
        self._admission = Admission(self.lookup, self._holds, self.ticker)
        self._lanes: set[Lane] = set()

    # -- Traffic ------------------------------------------------------------------------------------------------------

    def open(self, api_id: ApiId, generation: int, digest: str, address: tuple[str, int], version: str = "") -> Lane:
        """A lane to a generation that is ready, of the directory or of a version. Connects lazily."""
        lane = Lane(api_id, generation, digest, address, self.cache.shelf(), version)
        lane.breaker.changed = lambda _: self._circuit_changed(lane)
        self._lanes = {known for known in self._lanes if not known.closed} | {lane}
        return lane

    def route(self, route: Route, lane: Lane | None) -> None:
        """From now on requests for the route's API, or for the version of it, go to `lane`; with None they are held
        or refused as `route.availability` says. One step: no request sees a state between. Only `lane` keeps what was
        answered there: with another before it the API may have been changed since."""
        for other in self._lanes:
            if (other.api_id, other.version) == (route.api_id, route.version) and other is not lane:
                other.shelf.clear()
        self._places.setdefault(route.api_id, {})[route.version] = (route, lane)
        self._regroup(route.api_id)

    def steer(self, api_id: ApiId, steering: Steering) -> None:
        """From now on the URLs of the API lead to its versions like this. One step. Where the traffic moves, nothing
        that was answered before is given again: what went elsewhere may have changed it."""
        if steering.shares != self._steering.get(api_id, Steering()).shares:
            for lane in self._lanes:
                if lane.api_id == api_id:
                    lane.shelf.clear()
        self._steering[api_id] = steering
        self._regroup(api_id)

    def _regroup(self, api_id: ApiId) -> None:
        places = self._places.get(api_id)
        if places:
            self._table = self._table.with_group(api_id, make_group(places, self._steering.get(api_id, Steering())))
            self._holds.changed(api_id)

    def forget(self, api_id: ApiId) -> None:
        """The API is gone: its URLs answer 404."""
        self._places.pop(api_id, None)
        self._steering.pop(api_id, None)
        self._table = self._table.without(api_id)
        self.inspector.forget(api_id)
        self._holds.changed(api_id)

    def in_flight(self) -> Mapping[ApiId, int]:
        """Requests and WebSockets under way by API, on every generation that still has some."""
        counts: dict[ApiId, int] = {}
        for lane in self._lanes:
            counts[lane.api_id] = counts.get(lane.api_id, 0) + lane.in_flight
        return counts

    def circuit(self, api_id: ApiId) -> CircuitState:
        """Whether the API's requests go to it; closed where none serves."""
        entry = self.lookup(api_id)
        return entry.lane.breaker.state if entry is not None and entry.lane is not None else "closed"

    def _circuit_changed(self, lane: Lane) -> None:
        entry, breaker = self.lookup(lane.api_id), lane.breaker
        name = full_name(entry.route) if entry is not None else lane.api_id
        if breaker.closed:
            logger.info("%s, generation %d, answers again", name, lane.generation)
        elif not lane.closed:
            logger.warning(
                "%s, generation %d, did not answer %d requests in a row: it %s. It is left alone for %g s at a time",
                name, lane.generation, breaker.failures, breaker.reason, REST_S,
            )  # fmt: skip

    async def replay(self, exchange: Kept, lane: Lane | None = None) -> Answer:
        """Send a kept request again, on `lane` or, without one, to whatever serves now, as its caller's would go. It
        needs no key, and counts for no limit, statistics or log. Raises ApiNotFound; ApiUnavailable when nothing
        serves. The API's own failure is an answer like any other."""
        kept = exchange.execution
        entry = self.lookup(kept.api_id, kept.version) or self.lookup(kept.api_id)
        if entry is None:
            raise ApiNotFound(exchange.prefix.strip("/"))
        admission = self._admission
        if lane is not None:
            entry = pinned = make_entry(entry.route, lane)
            admission = Admission(lambda *_: pinned, self._holds, self.ticker)
        elif entry.lane is None:
            raise not_serving(entry.route)
        request_id = self.system.new_id()
        head = head_of(exchange)
        scope = {"client": (exchange.client, 0), "scheme": exchange.origin.partition(":")[0]}
        lines = forwarded(scope, head, request_id, exchange.prefix.encode("latin-1"))
        return await replay(admission, entry, exchange, head, lines, request_id)

    def lookup(self, api_id: ApiId, version: str = "") -> Entry | None:
        """What stands at the directory of an API, or at a version of it."""
        return self._table.lookup(api_id, version)

    def begin(self, api_id: ApiId, method: str, path: bytes) -> Trace:
        """A request has come. Its one look at the clock: the rules ask what time it is then."""
        return Trace(self.system.new_id(), api_id, method, path, self.system.now(), perf_counter())

    def record(self, trace: Trace) -> None:
        """A request is over."""
        if trace.purse is not None and not costs(trace.outcome, trace.generation):
            self.quotas.refund(trace.purse)
        execution = trace.execution(perf_counter())
        self._record(execution)
        if trace.capture is not None:
            self.inspector.keep(trace.capture, execution)

    async def close(self) -> None:
        """Break off everything. May be called twice."""
        for lane in self._lanes:
            await lane.close()
        self._lanes = set()
        self.ticker.stop()

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
        entry, path = self.find(site, raw)
        if entry is not None and not path and not websocket:
            await self._add_slash(raw, scope, send)
            return
        if entry is None:
            error = self._not_found(raw, site)
            await send_problem(send, error, self.system.new_id(), websocket=websocket)
            return
        if entry.split:
            entry = entry.of(caller_id(head, address_of(scope)))
        await self._exchange(scope, receive, send, head, entry, path or b"/")

    def find(self, site: Site, raw: bytes) -> tuple[Entry | None, bytes]:
        """The API that a path on a host means, and the rest of the path: empty where the slash is missing that the
        API's own URLs are relative to."""
        return self._by_path(raw) if site.is_server else (self._table.at_site(site), raw)

    def _by_path(self, raw: bytes) -> tuple[Entry | None, bytes]:
        """The API of `/owner/slug/rest`, and `/rest` (empty where there is no slash after the slug)."""
        second = raw.find(b"/", 1)
        third = raw.find(b"/", second + 1)
        if second < 0 or third < 0:
            return self._named(raw[1:]), b""
        return self._named(raw[1:third]), raw[third:]

    def _named(self, name: bytes) -> Entry | None:
        """The API of `owner/slug` or `owner/slug@pin`, which many programs write with `%40`."""
        entry = self._table.by_path.get(name)
        if entry is None and b"%40" in name:
            entry = self._table.by_path.get(name.replace(b"%40", b"@"))
        return entry

    def _not_found(self, raw: bytes, site: Site) -> ApimarketError:
        if site.is_server:
            name = b"/".join(raw.split(b"/", 3)[1:3]).decode("latin-1")[:130]
            api, mark, pin = name.replace("%40", "@").partition("@")
            if mark and (known := self._table.pins(api)) is not None:
                return VersionNotFound(api, pin, known)
        else:
            name = f"{site.owner}/{site.slug}" if site.owner else site.slug
        return ApiNotFound(name, self._table.close_names(name))

    async def _add_slash(self, raw: bytes, scope: Scope, send: Send) -> None:
        """Relative links of an API's pages only work below `/owner/slug/`. 308 keeps method and body."""
        query: bytes = scope["query_string"]
        location = raw + b"/" + (b"?" + query if query else b"")
        headers = [(b"location", location), (b"content-length", b"0"), (b"date", http_date())]
        headers.append((b"x-request-id", self.system.new_id().encode()))
        await send({"type": "http.response.start", "status": 308, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _exchange(
        self, scope: Scope, receive: Receive, send: Send, head: RequestHead, entry: Entry, path: bytes
    ) -> None:
        websocket = scope["type"] == "websocket"
        method = "GET" if websocket else scope["method"]
        trace = self.begin(entry.route.api_id, method, path)
        if self.inspector.most:
            trace.capture = self.inspector.begin(scope, head, b"" if path is raw_path_of(scope) else entry.prefix, path)
        current.set(Current(trace.request_id))
        route = entry.route
        cors = origins.answer_headers(route.cors, head.origin) if route.cors else []
        try:
            if refusal := self._refusal(entry, head):
                await _turn_away(send, refusal, trace, [], websocket)
                return
            if cors and method == "OPTIONS" and await self._preflight(scope, send, route, head.origin, trace):
                return
            try:
                grant = self.callers.identify(route, head, method, address_of(scope), trace, websocket=websocket)
                if head.length > route.max_body_bytes:
                    raise BodyTooLarge(full_name(route), route.max_body_bytes, head.length)
                verdict = self.callers.limit(route, grant, address_of(scope))
                added = verdict.headers() if verdict is not None else []
                if grant is not None and grant.quota is not None:
                    trace.purse = self.quotas.take(grant) or await self.quotas.wait(grant, full_name(route))
                    added = added + self.quotas.headers(trace.purse)
            except ApimarketError as error:
                await _turn_away(send, error, trace, cors, websocket)
                return
            if head.traced:
                trace.carry_on(head)
                current.set(Current(trace.request_id, trace.trace_id))
            query: bytes = scope["query_string"]
            target = path + b"?" + query if query else path
            by_path = path is not raw_path_of(scope)
            lines = forwarded(scope, head, trace.request_id, entry.prefix if by_path else b"")
            request = Request(method, target, head, lines, receive, send, cors, added, by_path)
            if websocket:
                await Tunnel(self._admission, entry, request, trace, scope["subprotocols"]).run()
            elif route.cache_ttl_s and method in REPEATABLE:
                ask = Ask(head, entry.prefix if by_path else b"", target, self.callers.audience(head))
                await Caching(self._admission, entry, request, trace, ask).run()
            else:
                await Exchange(self._admission, entry, request, trace).run()
        finally:
            self.record(trace)

    async def resume(self, express: Express, receive: Receive, send: Send) -> None:
        """Take the long way with a request that was admitted on the short one, and whose connection failed it."""
        fields, entry, trace = express.fields, express.entry, express.trace
        scope = {"client": fields.client, "scheme": fields.scheme}
        lines = forwarded(scope, fields.head, trace.request_id, entry.prefix if fields.by_path else b"")
        request = Request(
            trace.method,
            express.target,
            fields.head,
            lines,
            receive,
            send,
            [],
            express.admitted.headers(),
            fields.by_path,
        )
        try:
            await Exchange(
                self._admission,
                self.lookup(entry.route.api_id, entry.route.version) or entry,
                request,
                trace,
                fresh=True,
            ).run()
        finally:
            self.record(trace)

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


def refusal_headers(error: ApimarketError) -> RawHeaders:
    """What a refusal says in headers beside what every problem does."""
    if isinstance(error, RateLimited):
        return rate_headers(error.limit, 0, error.retry_after_s)
    return quota_headers(error.quota, error.period, 0, error.retry_after_s) if isinstance(error, QuotaExceeded) else []


async def _turn_away(send: Send, error: ApimarketError, trace: Trace, cors: RawHeaders, websocket: bool) -> None:
    trace.outcome, trace.status = CallOutcome.REFUSED, error.status
    if trace.capture is not None:
        trace.capture.take_refusal(error, trace.request_id)
    extra = cors + refusal_headers(error)
    trace.bytes_out = await send_problem(send, error, trace.request_id, websocket=websocket, extra=extra)


def caller_id(head: RequestHead, address: str) -> bytes:
    """Who calls, as far as the shares of the traffic go: whoever has the key, else whoever is at the address."""
    return head.key or caller_of(address).encode()


def address_of(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def forwarded(scope: Scope, head: RequestHead, request_id: str, prefix: bytes) -> tuple[bytes, ...]:
    """What the API is told about its caller and the request. `prefix` only by path."""
    about_caller = forwarded_lines(scope.get("client"), scope.get("scheme") or "http", head.host)
    lines = (*about_caller, b"x-request-id: %b\r\n" % request_id.encode())
    return (*lines, b"x-forwarded-prefix: %b\r\n" % prefix) if prefix else lines


def local_port(scope: Scope) -> int:
    """The port the connection came in on."""
    server = scope.get("server")
    return server[1] or 0 if server else 0
