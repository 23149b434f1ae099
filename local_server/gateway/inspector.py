"""The last exchanges of each API, whole: kept in memory only, and for its owner's eyes and replays.

What is kept while a request is under way are references to what passes through anyway; bytes are copied only where a
body comes in several parts, and never more than `BODY_BYTES` of it. Nothing here awaits, so nothing waits for it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from local_server.domain.exchanges import BODY_BYTES, Body, Exchange
from local_server.domain.redaction import without_keys
from local_server.gateway.problems import problem_body, problem_headers
from local_server.gateway.request_head import KEY_START

if TYPE_CHECKING:
    from local_server.domain.errors import ApimarketError
    from local_server.domain.exchanges import Headers
    from local_server.domain.executions import Execution
    from local_server.domain.ids import ApiId
    from local_server.gateway.asgi_types import RawHeaders, Scope
    from local_server.gateway.request_head import RequestHead

MOST_BYTES = 32 * 1024 * 1024
"""Over all APIs, those under way included; the oldest exchange makes room."""
OWN_BYTES = 2048
"""About what an exchange takes beside what it holds."""
_LINE_BYTES = 80
"""About what a header takes beside its text."""


class Capture:
    """One exchange on its way. Made by `Inspector.begin`, and given back with `Inspector.keep`."""

    __slots__ = (
        "_client",
        "_head",
        "_host",
        "_inspector",
        "_keyed",
        "_kind",
        "_scheme",
        "bytes",
        "complete",
        "execution",
        "key_removed",
        "lines",
        "messages_in",
        "messages_out",
        "path",
        "prefix",
        "query",
        "received",
        "received_bytes",
        "response_headers",
        "response_lines",
        "sent",
        "sent_bytes",
        "traceparent",
    )

    def __init__(self, inspector: Inspector, scope: Scope, head: RequestHead, prefix: bytes, path: bytes) -> None:
        self._inspector = inspector
        self._keyed = head.key.startswith(KEY_START)
        self._kind: str = scope["type"]
        self._scheme: str = scope.get("scheme") or "http"
        self._client: tuple[str, int] | None = scope.get("client")
        self.prefix = prefix
        self.path = path
        self.query: bytes = scope["query_string"]
        self._head: RequestHead | None = head
        self.lines = head.lines
        self.traceparent = head.traceparent
        """As it came, and once it goes on, as it does."""
        self._host = head.host
        self.execution: Execution | None = None
        self.complete = not head.has_body
        """The body has been read to its end."""
        self.received: bytes | bytearray = b""
        """How the request's body begins."""
        self.received_bytes = 0
        self.response_headers: RawHeaders = []
        self.response_lines = b""
        """The same as they were sent, where that is at hand: taken apart when somebody asks."""
        self.sent: bytes | bytearray = b""
        """How the answer's body begins."""
        self.sent_bytes = 0
        self.messages_in = 0
        self.messages_out = 0
        self.key_removed = False
        self.bytes = 0
        """What it is counted as."""

    # -- Told by the exchange as it goes -----------------------------------------------------------------------------

    def take_request(self, part: bytes, *, last: bool) -> None:
        """Another part of the request's body."""
        # A part that found no room ends it: what is kept has no holes.
        if part and len(self.received) == self.received_bytes:
            self.received = self._extended(self.received, part)
        self.received_bytes += len(part)
        self.complete = last

    def take_response(self, part: bytes) -> None:
        """Another part of the answer's body."""
        if part and len(self.sent) == self.sent_bytes:
            self.sent = self._extended(self.sent, part)
        self.sent_bytes += len(part)

    def take_refusal(self, error: ApimarketError, request_id: str) -> None:
        """The gateway answers, in the API's place."""
        body = problem_body(error, request_id)
        self.response_headers = problem_headers(error, request_id, body)
        self.take_response(body)

    def _extended(self, kept: bytes | bytearray, part: bytes) -> bytes | bytearray:
        part = part[: BODY_BYTES - len(kept)]  # the very same object where all of it fits
        if not part or not self._inspector.has_room(self, len(part)):
            return kept
        if not kept:
            return part
        if isinstance(kept, bytes):
            kept = bytearray(kept)
        kept += part
        return kept

    # -- Asked later -------------------------------------------------------------------------------------------------

    def exchange(self) -> Exchange:
        """Only of one that has ended."""
        assert self.execution is not None
        return Exchange(
            execution=self.execution,
            origin=f"{self._scheme}://{self._host.decode('latin-1')}",
            client=self._client[0] if self._client else "",
            prefix=self.prefix.decode("latin-1"),
            path=self.path.decode("latin-1"),
            query=self.query.decode("latin-1"),
            request_headers=_lines(self.lines),
            request_body=Body(bytes(self.received), self.received_bytes),
            response_headers=_texts(self.response_headers or _parted(self.response_lines)),
            response_body=Body(bytes(self.sent), self.sent_bytes),
            keyed=self._keyed,
            request_complete=self.complete,
            key_removed=self.key_removed,
            websocket=self._kind == "websocket",
            messages_in=self.messages_in,
            messages_out=self.messages_out,
        )

    def settle(self) -> int:
        """The exchange has ended. Takes every API key of ours out of what is kept; returns about how many bytes the
        heads take."""
        assert self._head is not None
        self.lines = self._head.lines  # of which a trace's state may be gone
        if self.traceparent:
            self.lines = [*self.lines, b"traceparent", b": ", self.traceparent, b"\r\n"]
        values = [value for _, value in self.response_headers]
        text = b"".join((self._head.block(), self.query, self.path, self.response_lines, *values))
        self._head = None  # it has the key
        lines = len(self.lines) // 4 + self.response_lines.count(b"\n") + len(values)
        if b"am_" in text or b"am_" in self.received or b"am_" in self.sent:
            self._remove_keys()
        return OWN_BYTES + len(text) + _LINE_BYTES * lines

    def _remove_keys(self) -> None:
        headers = self.response_headers or _parted(self.response_lines)
        self.response_headers, self.response_lines = (
            [(name, bytes(without_keys(value))) for name, value in headers],
            b"",
        )
        self.sent = without_keys(self.sent)
        # What cannot be sent again as it was:
        self.lines = [bytes(self._removed(part)) for part in self.lines]
        self.query, self.path = bytes(self._removed(self.query)), bytes(self._removed(self.path))
        self.received = self._removed(self.received)

    def _removed(self, content: bytes | bytearray) -> bytes | bytearray:
        kept = without_keys(content)
        self.key_removed = self.key_removed or kept is not content
        return kept


class Inspector:
    """`most` exchanges of each API; 0 keeps none, and costs a request nothing."""

    def __init__(self, most: int = 0, most_bytes: int = MOST_BYTES) -> None:
        self.most = most
        self._most_bytes = most_bytes
        self.bytes = 0
        self._by_age: OrderedDict[str, Capture] = OrderedDict()
        self._by_api: dict[ApiId, OrderedDict[str, Capture]] = {}

    # -- For the gateway ---------------------------------------------------------------------------------------------

    def begin(self, scope: Scope, head: RequestHead, prefix: bytes, path: bytes) -> Capture:
        """A request has come. Whatever becomes of it, `keep` has to follow."""
        return Capture(self, scope, head, prefix, path)

    def has_room(self, capture: Capture, size: int) -> bool:
        """Whether `capture` may hold `size` bytes more: counts them if so. Older exchanges are forgotten for them."""
        while self.bytes + size > self._most_bytes and self._by_age:
            self._drop(next(iter(self._by_age)))
        if self.bytes + size > self._most_bytes:
            return False
        self.bytes += size
        capture.bytes += size
        return True

    def keep(self, capture: Capture, execution: Execution) -> None:
        """It has ended."""
        self.has_room(capture, capture.settle())
        capture.execution = execution
        ring = self._by_api.setdefault(execution.api_id, OrderedDict())
        ring[execution.id] = self._by_age[execution.id] = capture
        if len(ring) > self.most:
            self._drop(next(iter(ring)))

    def _drop(self, request_id: str) -> None:
        capture = self._by_age.pop(request_id)
        self.bytes -= capture.bytes
        assert capture.execution is not None
        ring = self._by_api[capture.execution.api_id]
        del ring[request_id]
        if not ring:
            del self._by_api[capture.execution.api_id]

    # -- For the owner -----------------------------------------------------------------------------------------------

    def exchanges(self, api_id: ApiId) -> list[Exchange]:
        """Those that are kept, newest first."""
        return [capture.exchange() for capture in reversed((self._by_api.get(api_id) or OrderedDict()).values())]

    def find(self, api_id: ApiId, request_id: str) -> Exchange | None:
        capture = self._by_age.get(request_id)
        if capture is None or capture.execution is None or capture.execution.api_id != api_id:
            return None
        return capture.exchange()

    def forget(self, api_id: ApiId) -> int:
        """Forget all of an API's; returns how many."""
        known = list(self._by_api.get(api_id, ()))
        for request_id in known:
            self._drop(request_id)
        return len(known)


def _lines(lines: list[bytes]) -> Headers:
    """The flat list of a `RequestHead`."""
    return tuple(
        (lines[index].decode("latin-1"), lines[index + 2].decode("latin-1")) for index in range(0, len(lines), 4)
    )


def _parted(lines: bytes) -> RawHeaders:
    parted = (line.partition(b": ") for line in lines.split(b"\r\n") if line)
    return [(name, value) for name, _, value in parted]


def _texts(headers: RawHeaders) -> Headers:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)
