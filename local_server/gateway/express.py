"""The short way through the gateway, for what most requests are: the API serves, a connection to it is idle, and the
whole request has come in one piece.

Such an exchange is three callbacks: the request is read, the answer comes, the answer is sent (express_exchange.py). It
takes no task, no coroutine and no ASGI message, which together cost several times what the exchange itself does
(docs/decisions). What is anything else takes the long way, `Gateway.serve`, and that is decided here, before anything
has an effect. Both ways ask the same rules and write the same log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_server.domain.errors import ApimarketError
from local_server.domain.executions import CallOutcome
from local_server.gateway.answers import kept, refusal
from local_server.gateway.cache_hit import find_hit
from local_server.gateway.cache_rules import Ask
from local_server.gateway.callers import caller_id
from local_server.gateway.express_exchange import Express
from local_server.gateway.policy import refusal_headers
from local_server.gateway.request import REPEATABLE

if TYPE_CHECKING:
    from local_server.gateway.access_log import Trace
    from local_server.gateway.asgi import Gateway
    from local_server.gateway.cache_hit import Hit
    from local_server.gateway.fields import Fields
    from local_server.gateway.lane import Lane
    from local_server.gateway.protocol import HardenedProtocol
    from local_server.gateway.table import Entry
    from local_server.gateway.upstream import Connection

MAX_BODY_BYTES = 64 * 1024
"""Of an answer that is kept: what is sent in one piece."""


def express(
    gateway: Gateway,
    protocol: HardenedProtocol,
    fields: Fields,
    method: str,
    url: bytes,
    body: bytes,
    traceparent: bytes,
) -> bool:
    """Begin the exchange of a request that is here whole, or answer it. False: it needs the long way, and nothing has
    happened yet."""
    raw, _, query = url.partition(b"?")
    entry, path = gateway.routing.find(fields.site, raw)  # nothing of the control API
    if entry is None or not path:
        return False
    if entry.split:
        entry = entry.of(caller_id(fields.head, fields.address))
    if not fields.by_path:
        entry = entry.seen_at(fields.site)
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
        _capture(gateway, entry, fields, trace, query, body, traceparent)
    try:
        terms = gateway.policy.admit_at_once(route, fields.head, method, fields.address, trace)
    except ApimarketError as error:
        _put_back(lane, connection)
        _turn_away(gateway, protocol, error, trace)
        return True
    if terms is None:
        _put_back(lane, connection)
        return False  # somebody has to be asked
    if connection is None:
        assert hit is not None
        protocol.answer(kept(hit, entry, lane, trace, terms.headers(), by_path=fields.by_path))
        gateway.books.enter(trace)
        return True
    if fields.head.traceparents:
        trace.carry_on(fields.head, traceparent)
    exchange = Express(gateway, protocol, entry, lane, connection, trace, fields, target, body, terms)
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


def _capture(
    gateway: Gateway, entry: Entry, fields: Fields, trace: Trace, query: bytes, body: bytes, traceparent: bytes
) -> None:
    """Let the inspector keep the exchange."""
    scope = {"type": "http", "scheme": fields.scheme, "client": fields.client, "query_string": query}
    prefix = entry.prefix if fields.by_path else b""
    trace.capture = gateway.inspector.begin(scope, fields.head, prefix, trace.path)
    trace.capture.traceparent = traceparent
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
    gateway.books.enter(trace)
