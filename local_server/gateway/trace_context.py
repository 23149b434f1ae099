"""W3C Trace Context (https://www.w3.org/TR/trace-context/) on its way through the gateway.

The gateway is a hop of its own: the trace goes on, under a span that is the gateway's. Where a request brings none,
none is begun: the API's own tracer then decides what it samples.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local_server.gateway.request_head import RequestHead

# The fields of version 00. Of a later version these are read, and whatever follows a further dash is not.
_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_FLAGS = 0b11
"""Sampled, and random; the others have no meaning yet, and must not be passed on."""
_SAMPLED = 1


def carry_on(head: RequestHead, request_id: str) -> str:
    """Put the gateway's own span into what goes on of `traceparent`. Returns the trace's id.

    One that is not valid, or more than one, is replaced by a new trace, and `tracestate` then ends here (3.2.2.5,
    3.3.1.4). Ids are made of the request's, so that whoever sees one finds the other.
    """
    ours = request_id.replace("-", "").encode()
    span = ours[16:]
    trace_id, flags, valid = ours, _SAMPLED, False
    lines = head.lines
    places = [at for at in range(0, len(lines), 4) if lines[at] == b"traceparent"]
    if len(places) == 1:
        found = _parsed(lines[places[0] + 2])
        if found is not None:
            trace_id, flags = found
            valid = True
    if places:
        head.lines = lines = _kept(lines, drop_state=not valid)
        lines += (b"traceparent", b": ", b"00-%b-%b-%02x" % (trace_id, span, flags), b"\r\n")
    return trace_id.decode()


def trace_of(head: RequestHead) -> str:
    """The id of the trace that a request is part of; empty where it is of none, or says so in a wrong way."""
    lines = head.lines if head.traced else []
    given = [lines[at + 2] for at in range(0, len(lines), 4) if lines[at] == b"traceparent"]
    found = _parsed(given[0]) if len(given) == 1 else None
    return found[0].decode() if found is not None else ""


def _parsed(value: bytes) -> tuple[bytes, int] | None:
    """Trace id and flags."""
    match = _TRACEPARENT.fullmatch(value.strip(b" \t"))
    if match is None:
        return None
    version, trace_id, parent_id, flags, rest = match.groups()
    if version == b"ff" or (version == b"00" and rest is not None):
        return None
    if not trace_id.strip(b"0") or not parent_id.strip(b"0"):
        return None
    return trace_id, int(flags, 16) & _FLAGS


def _kept(lines: list[bytes], *, drop_state: bool) -> list[bytes]:
    dropped = {b"traceparent", b"tracestate"} if drop_state else {b"traceparent"}
    kept: list[bytes] = []
    for at in range(0, len(lines), 4):
        if lines[at] not in dropped:
            kept += lines[at : at + 4]
    return kept
