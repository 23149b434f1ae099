"""A request's headers read once: what the gateway decides by, and what goes on to the API."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

from local_server.domain.keys import digest_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

# RFC 9110 7.6.1, with the names older software uses. `expect` is answered here; `te` and `trailer` announce trailers,
# which are dropped.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"expect",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# Never taken from outside: the gateway says these itself.
_OURS = frozenset({b"forwarded", b"traceparent", b"x-request-id", b"x-real-ip"})
_OUR_PREFIXES = (b"x-forwarded-", b"x-apimarket-")
_HARMLESS_TOKENS = frozenset({b"keep-alive", b"close", b""})
_READ = HOP_BY_HOP | _OURS | {b"host", b"origin", b"sec-fetch-site", b"content-length", b"authorization", b"x-api-key"}
KEY_START = b"am_"
"""How our API keys begin: in `Authorization` nothing else is taken for one."""
_BEARER = b"bearer "
_LONGEST = 20
"""Digits of a Content-Length."""


class RequestHead:
    """What the headers say. `lines` is a flat list of name, `: `, value, CRLF of every header that goes on."""

    __slots__ = (
        "_block",
        "_digest",
        "chunked",
        "fetch_site",
        "host",
        "hosts",
        "key",
        "keys",
        "length",
        "lengths",
        "lines",
        "named",
        "odd_coding",
        "origin",
        "origins",
        "traceparent",
        "traceparents",
    )

    def __init__(self) -> None:
        self.hosts = 0
        self.host = b""
        self.origins = 0
        self.origin = b""
        self.fetch_site = b""
        self.key = b""
        """What `X-Api-Key` holds, or `Authorization` as `Bearer am_…`. It ends here: `lines` is without it."""
        self.keys = 0
        self._digest = b""
        self._block = b""
        self.lengths = 0
        self.length = 0
        self.chunked = False
        self.odd_coding = False
        self.traceparents = 0
        self.traceparent = b""
        """It ends here: what goes on of it is another one for each request (trace_context.py)."""
        self.named: set[bytes] = set()
        """Headers that `Connection` names: they end here."""
        self.lines: list[bytes] = []

    @property
    def has_body(self) -> bool:
        return self.chunked or self.length > 0

    def without(self, names: Collection[bytes]) -> RequestHead:
        """A copy of which these headers do not go on."""
        other = copy(self)
        other.lines, other._block = _without(self.lines, names), b""
        return other

    def drop(self, name: bytes) -> None:
        """This header does not go on."""
        self.lines, self._block = _without(self.lines, {name}), b""

    def block(self) -> bytes:
        """`lines` in one piece; put together once, however many requests carry this head."""
        if not self._block:
            self._block = b"".join(self.lines)
        return self._block

    def key_digest(self) -> bytes:
        """What the key is looked up by; computed once, however many requests carry this head."""
        if not self._digest:
            self._digest = digest_of(self.key)
        return self._digest

    def pass_key_on(self) -> None:
        """It is none of ours: let the API have it."""
        if b"x-api-key" not in self.named:
            self.lines += (b"x-api-key", b": ", self.key, b"\r\n")
            self._block = b""

    def _take_key(self, key: bytes) -> None:
        # The same key in both places is one key.
        if not self.keys or key != self.key:
            self.keys += 1
            self.key = key

    def _ends_here(self, name: bytes, value: bytes) -> bool:
        """Whether the header holds a key of ours, which is then taken out."""
        if name == b"x-api-key":
            self._take_key(value.strip())
            return True
        if name == b"authorization" and value[:7].lower() == _BEARER:
            token = value[7:].strip()
            if token.startswith(KEY_START):
                self._take_key(token)
                return True
        return name in HOP_BY_HOP or name in _OURS

    def _read(self, name: bytes, value: bytes) -> None:
        if name == b"host":
            self.hosts += 1
            self.host = value
        elif name == b"origin":
            self.origins += 1
            self.origin = value
        elif name == b"traceparent":
            self.traceparents += 1
            self.traceparent = value
        elif name == b"sec-fetch-site":
            self.fetch_site = value
        elif name == b"content-length":
            self.lengths += 1
            # int() takes signs, blanks and underscores; the grammar of RFC 9110 8.6 is digits only. Of more digits than
            # _LONGEST the first ones are zeros (the parser counts in 64 bits), and int() refuses 5,000 of them.
            self.length = int(value) if value.isdigit() and len(value) <= _LONGEST else -1
        elif name == b"transfer-encoding":
            self.odd_coding = self.odd_coding or self.chunked or value.strip().lower() != b"chunked"
            self.chunked = True
        elif name == b"connection":
            self.named.update(token.strip().lower() for token in value.split(b","))


def read_head(headers: Iterable[tuple[bytes, bytes]]) -> RequestHead:
    """Names are in lower case, as ASGI has it."""
    head = RequestHead()
    lines = head.lines
    for name, value in headers:
        if name in _READ:
            head._read(name, value)
            if head._ends_here(name, value):
                continue
        elif name.startswith(_OUR_PREFIXES):
            continue
        lines += (name, b": ", value, b"\r\n")
    named = head.named - _HARMLESS_TOKENS - {b"host", b"content-length"}
    if named:
        head.lines = _without(lines, named)
        if b"traceparent" in named:
            head.traceparents, head.traceparent = 0, b""
    return head


def _without(lines: list[bytes], named: Collection[bytes]) -> list[bytes]:
    kept: list[bytes] = []
    for index in range(0, len(lines), 4):
        if lines[index] not in named:
            kept += lines[index : index + 4]
    return kept


def framing_problem(head: RequestHead) -> str:
    """Why the request's length is ambiguous (the stuff of request smuggling), or an empty string."""
    if head.lengths > 1:
        return "has more than one Content-Length"
    if head.odd_coding:
        return "has a Transfer-Encoding other than 'chunked'"
    if head.lengths and head.chunked:
        return "has both Content-Length and Transfer-Encoding"
    return f"has a Content-Length that is not a number of up to {_LONGEST} digits" if head.length < 0 else ""


def block_problem(block: bytes, line_count: int) -> str:
    """Why `block`, about to be sent, is not exactly `line_count` lines, or an empty string.

    Parsers differ in what they let through; this holds whichever one read the request.
    """
    if block.count(b"\n") == line_count == block.count(b"\r") and b"\0" not in block:
        return ""
    return "has a header with a line break or a NUL in it"


def forwarded_lines(client: tuple[str, int] | None, scheme: str, host: bytes) -> tuple[bytes, ...]:
    """What the API is told about its caller; whatever the caller said of it was dropped."""
    return (
        b"x-forwarded-for: %b\r\n" % (client[0].encode() if client else b"unknown"),
        b"x-forwarded-host: %b\r\n" % host,
        b"x-forwarded-proto: %b\r\n" % (b"https" if scheme in ("https", "wss") else b"http"),
    )
