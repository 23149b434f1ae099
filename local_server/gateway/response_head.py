"""An answer's headers: what the client gets of what the API said.

An API says the same above many answers: above all of one second and one length, mostly. Such heads are known again by
their bytes, which spares parsing them and writing them anew. Nothing is ever known that the parser has not read before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_server.gateway.http_date import http_date

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local_server.gateway.asgi_types import RawHeaders

_DROPPED = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        # Said by the gateway:
        b"x-request-id",
        b"x-apimarket-generation",
        b"x-apimarket-version",
        b"x-apimarket-pending-error",
    }
)
# By path an API shares its origin with the console at /docs, where its owner may have typed the token: with these an
# API's page would keep hold of a window of the console, or be asked before each request of it.
_DROPPED_BY_PATH = _DROPPED | {b"service-worker-allowed", b"cross-origin-opener-policy"}


_DECLARED = frozenset({b"deprecation", b"sunset"})
"""What an owner has declared of a version goes before what its code, which never changes again, says of itself. Each
may be said once (RFC 9745, RFC 8594); links, as many as there are."""

_MOST_KNOWN = 64
_LONGEST_KNOWN = 2048


class AnswerHead:
    """What an API said above a body. Never changed: answers share it."""

    __slots__ = ("_lines", "framed", "headers", "length", "status")

    def __init__(self, status: int, headers: RawHeaders, length: int = -1) -> None:
        self.status = status
        self.headers = headers
        """Names in lower case."""
        self.length = length
        """Of the body; of one that is known again only."""
        self.framed = status in (204, 304) or any(name == b"content-length" for name, _ in headers)
        """The client can tell where the answer ends, without its being chunked."""
        self._lines: dict[tuple[frozenset[bytes], bool], bytes] = {}

    def lines(self, ours: frozenset[bytes], by_path: bool) -> bytes:
        """As they go on to a client, without those named in `ours`."""
        lines = self._lines.get((ours, by_path))
        if lines is None:
            headers = answer_headers(self.status, self.headers, [], by_path=by_path)
            lines = as_lines(item for item in headers if item[0] not in ours)
            self._lines[ours, by_path] = lines
        return lines


class KnownHeads:
    """Those of one lane, by their bytes."""

    def __init__(self) -> None:
        self._known: dict[bytes, AnswerHead] = {}
        self._seen: set[bytes] = set()
        """Of those that came once, the last ones: most that are different each time never come again."""

    def find(self, data: bytes) -> tuple[AnswerHead, bytes] | None:
        """The head and the body, if `data` is one whole answer with a head that is known."""
        end = data.find(b"\r\n\r\n") + 4
        head = self._known.get(data[:end])
        return (head, data[end:]) if head is not None and head.length == len(data) - end else None

    def learn(self, data: bytes, status: int, headers: RawHeaders) -> None:
        """`data` was one whole answer, after which its connection stays open; the parser found these `headers`. Known
        is what comes for the second time."""
        end = data.find(b"\r\n\r\n") + 4
        raw = data[:end]
        if raw not in self._seen:
            if len(self._seen) >= _MOST_KNOWN:
                self._seen.clear()
            if end <= _LONGEST_KNOWN:
                self._seen.add(raw)
            return
        named = dict(headers)
        # Exactly as many lines as headers: the parser and these few rules agree on where the head ends. One without a
        # Date is given the time, which is another one each second.
        agreed = raw.count(b"\r\n") == len(headers) + 2 == raw.count(b"\n") == raw.count(b"\r")
        if not agreed or b"date" not in named:
            return
        if named.get(b"content-length") == b"%d" % (len(data) - end) and b"transfer-encoding" not in named:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[raw] = AnswerHead(status, headers, len(data) - end)


def as_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """As they stand in a head."""
    return b"".join([b"%b: %b\r\n" % item for item in headers])


def answer_headers(status: int, upstream: RawHeaders, cors: RawHeaders, *, by_path: bool = False) -> RawHeaders:
    """A new list: the upstream's headers (names in lower case) without those that end here, with a Date.

    204 and 304 lose their Content-Length: neither has a body, and what a server does with one there differs.
    """
    has_date = False
    dropped = _DROPPED_BY_PATH if by_path else _DROPPED
    headers: RawHeaders = []
    named: set[bytes] = set()
    for item in upstream:
        name = item[0]
        if name in dropped:
            if name == b"connection":
                named.update(token.strip().lower() for token in item[1].split(b","))
            continue
        if name == b"date":
            has_date = True
        headers.append(item)
    if named and not named <= {b"close", b"keep-alive"}:
        headers = [item for item in headers if item[0] not in named or item[0] == b"content-length"]
    if not has_date:
        headers.append((b"date", http_date()))
    if status == 304 or status == 204:
        headers = [item for item in headers if item[0] != b"content-length"]
    if cors:
        headers = [item for item in headers if item[0] != b"access-control-allow-origin"] + cors
    return headers


def declared_in(lane: RawHeaders) -> frozenset[bytes]:
    """The names in `lane` in whose favour the API's own headers give way."""
    return _DECLARED.intersection([name for name, _ in lane])


def full_headers(
    status: int,
    upstream: RawHeaders,
    cors: RawHeaders,
    added: RawHeaders,
    lane: RawHeaders,
    request_id: str,
    *,
    by_path: bool,
) -> RawHeaders:
    """All that the client is told: the API's headers, and what the gateway has to say in their place (`added`), of the
    `lane`, and of the request."""
    headers = answer_headers(status, upstream, cors, by_path=by_path)
    ours = {name for name, _ in added} | declared_in(lane)
    if ours:
        headers = [item for item in headers if item[0] not in ours] + added
    headers += lane
    headers.append((b"x-request-id", request_id.encode()))
    return headers
