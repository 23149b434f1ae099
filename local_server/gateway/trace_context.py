"""W3C Trace Context (https://www.w3.org/TR/trace-context/) on its way through the gateway.

The gateway is a hop of its own: the trace goes on, under a span that is the gateway's. Where a request brings none,
none is begun: the API's own tracer then decides what it samples.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from local_server.gateway.request_head import RequestHead

# The fields of version 00. Of a later version these are read, and whatever follows a further dash is not.
_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_FLAGS = 0b11
"""Sampled, and random; the others have no meaning yet, and must not be passed on."""
_SAMPLED = 1
LENGTH = 55
"""Of one of version 00."""


class Carried(NamedTuple):
    """What goes on of a trace."""

    trace_id: str
    traceparent: bytes


def carry_on(head: RequestHead, value: bytes, request_id: str) -> Carried:
    """A trace under the gateway's own span. `value` is the `traceparent` of a request with this `head`.

    One that is not valid, or more than one, is replaced by a new trace, and `tracestate` then ends here (3.2.2.5,
    3.3.1.4). Ids are made of the request's, so that whoever sees one finds the other.
    """
    ours = request_id.replace("-", "").encode()
    found = _parsed(value) if head.traceparents == 1 else None
    if found is None:
        head.drop(b"tracestate")
    trace_id, flags = found or (ours, _SAMPLED)
    return Carried(trace_id.decode(), b"00-%b-%b-%02x" % (trace_id, ours[16:], flags))


def trace_of(head: RequestHead) -> str:
    """The id of the trace that a request is part of; empty where it is of none, or says so in a wrong way."""
    found = _parsed(head.traceparent) if head.traceparents == 1 else None
    return found[0].decode() if found is not None else ""


def is_plain(value: bytes) -> bool:
    """Whether it is valid, and as long as all of its version are."""
    return len(value) == LENGTH and value.startswith(b"00-") and _parsed(value) is not None


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
