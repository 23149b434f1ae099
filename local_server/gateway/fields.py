"""The header fields of a request, read once for all requests of a connection that carry the same.

Clients send the same fields with every request, byte for byte; what differs is the line above them, and within a trace
the value of `traceparent`. So fields that the
parser has let through once are known again by comparing bytes, which spares parsing and checking them, and writing
them anew for the API. Nothing is ever known here that the parser has not read before.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from local_server.gateway.request_head import (
    KEY_START,
    block_problem,
    forwarded_lines,
    framing_problem,
    read_head,
)
from local_server.gateway.trace_context import LENGTH, is_plain

if TYPE_CHECKING:
    from local_server.gateway.asgi_types import RawHeaders
    from local_server.gateway.hosts import Hosts, Site
    from local_server.gateway.request_head import RequestHead

# Of a request line, as much as can be told for certain; the parser reads all others. A `#` belongs in no request.
_LINE = re.compile(rb"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/[!\"$-~]*) HTTP/1\.1\r\n")
LONGEST_KNOWN = 4096
"""Bytes: every connection may remember as many."""
_METHODS = {name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}


class Fields:
    """Made by `fields_of`. Never changed: requests share it."""

    __slots__ = ("_block", "_raw", "_rest", "address", "by_path", "client", "head", "scheme", "site")

    def __init__(self, head: RequestHead, site: Site, client: tuple[str, int] | None, scheme: str) -> None:
        self.head = head
        self.site = site
        self.by_path = site.is_server
        self.client = client
        self.address = client[0] if client else ""
        self.scheme = scheme
        self._block = b""
        self._raw = b""
        """As they came, the empty line included; up to the value of `traceparent`, where there is one."""
        self._rest = b""
        """What comes behind that value."""

    def block(self) -> bytes:
        """As they go on to the API, with what it is told about its caller. To be asked once the key was looked at,
        which may be the API's own: then it is a field like any other."""
        if not self._block:
            self._block = b"".join((self.head.block(), *forwarded_lines(self.client, self.scheme, self.head.host)))
        return self._block

    def learn(self, data: bytes, count: int) -> bool:
        """Whether they can be known again: `data` is the request they came in, and the parser found `count` of them."""
        line, head = _LINE.match(data), self.head
        if line is None or (head.keys and not head.key.startswith(KEY_START)):
            return False  # the key may be the API's own, and go on
        raw = data[line.end() : data.find(b"\r\n\r\n") + 4]
        # Exactly as many lines as fields: the parser and these few rules agree on where the head ends.
        if len(raw) > LONGEST_KNOWN or not raw.count(b"\r\n") == count + 1 == raw.count(b"\n") == raw.count(b"\r"):
            return False
        if head.traceparents:
            if head.traceparents != 1 or not is_plain(head.traceparent) or raw.count(head.traceparent) != 1:
                return False
            raw, _, self._rest = raw.partition(head.traceparent)
        self._raw = raw
        return True

    def request(self, data: bytes) -> tuple[str, bytes, bytes, bytes] | None:
        """Method, target, body and `traceparent` (empty where there is none), if `data` is one whole request with these
        very fields."""
        line = _LINE.match(data)
        if line is None:
            return None
        begin = line.end()
        end = begin + len(self._raw)
        if not data.startswith(self._raw, begin):
            return None
        traceparent = b""
        if self._rest:
            traceparent = data[end : end + LENGTH]
            end += LENGTH
            if not data.startswith(self._rest, end) or not is_plain(traceparent):
                return None
            end += len(self._rest)
        if len(data) != end + self.head.length:
            return None
        method, target = line.groups()
        return _METHODS[method], target, data[end:], traceparent


def fields_of(
    headers: RawHeaders,
    hosts: Hosts,
    client: tuple[str, int] | None,
    scheme: str,
    server: tuple[str, int | None] | None,
) -> Fields | None:
    """`client` and `server` as ASGI has them. None: what the headers say needs the long way."""
    head = read_head(headers)
    if head.hosts != 1 or head.chunked or head.origins or head.fetch_site or framing_problem(head):
        return None
    site = hosts.site(head.host, server[1] or 0 if server else 0)
    if site is None:
        return None
    if block_problem(b"".join(head.lines), len(head.lines) // 4) or block_problem(head.key, 0):
        return None
    return Fields(head, site, client, scheme)
