"""What a caller is told when an API, or the caller itself, does not keep to what HTTP or the manifest allows."""

from __future__ import annotations

import errno
import math
import re
from typing import TYPE_CHECKING

from local_server.domain.gateway_errors import BodyTooLarge, UpstreamFailed, UpstreamTimeout
from local_server.gateway.admission import LOGS_HINT, full_name

if TYPE_CHECKING:
    from local_server.domain.routing import Route
    from local_server.gateway.asgi_types import RawHeaders

ANSWER_IDLE_S = 300.0
"""How long an API may take over the next part of an answer that it has begun."""


_SYSTEM_ERROR = re.compile(r"\[Errno (\d+)\] ([^()]*)")
_WORDS = {
    errno.ECONNRESET: "reset by the API",
    errno.ECONNABORTED: "reset by the API",
    errno.EPIPE: "closed by the API",
    errno.ETIMEDOUT: "nothing came back",
}


def broken_off(route: Route, failure: Exception, *, started: bool) -> UpstreamFailed:
    told = _SYSTEM_ERROR.sub(_in_words, str(failure))
    part = "in the middle of its answer" if started else "before its answer"
    return UpstreamFailed(f"{full_name(route)} {told} {part}", hint=LOGS_HINT.format(route.slug))


def _in_words(error: re.Match[str]) -> str:
    """The number of an error says nothing to a caller."""
    return _WORDS.get(int(error[1]), error[2].lower())


def late(route: Route) -> UpstreamTimeout:
    return UpstreamTimeout(
        f"{full_name(route)} has not begun to answer in {route.timeout_s:g} s",
        hint="Allow it longer in apimarket.toml: [run] timeout_s = …",
    )


def stalled(route: Route) -> UpstreamTimeout:
    return UpstreamTimeout(
        f"{full_name(route)} has sent nothing more of its answer for {ANSWER_IDLE_S:g} s",
        hint=LOGS_HINT.format(route.slug),
    )


def answer_patience_s(headers: RawHeaders) -> float:
    """How long the next part of an answer may take. A stream of events may be silent for as long as nothing happens."""
    for name, value in headers:
        if name == b"content-type" and value.lower().startswith(b"text/event-stream"):
            return math.inf
    return ANSWER_IDLE_S


def body_too_large(route: Route) -> BodyTooLarge:
    return BodyTooLarge(full_name(route), route.max_body_bytes)
