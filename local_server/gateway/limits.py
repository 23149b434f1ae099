"""How often a caller may call: a sliding window made of two cells.

A window holds what was admitted in it and in the one before; of the latter counts the part that the last `window_s`
seconds still cover, as if it had been spread evenly: `current + previous × (1 − elapsed) + cost`. Two numbers a caller
therefore do for any limit. What is refused is not counted: who is turned away and waits as told is let in.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from local_server.domain.manifest import RateLimit
    from local_server.gateway.asgi_types import RawHeaders

MOST_CALLERS = 100_000
"""Beyond these the one that has not called for longest is forgotten: addresses are the callers' choice, and must not
fill the memory. Fails open."""
_TOLERANCE = 1e-9
"""For sums of fractions that should be whole."""

Subject = tuple[str, str]
"""The API, and the key or address that calls it."""


class _Window:
    __slots__ = ("current", "ends_s", "length_s", "previous", "start_s")

    def __init__(self, length_s: int, start_s: float) -> None:
        self.length_s = length_s
        self.start_s = start_s
        self.ends_s = start_s + length_s
        self.current = 0
        self.previous = 0

    def advance(self, now_s: float) -> None:
        """Move on to the window that `now_s` is in; it is not in this one."""
        passed = int((now_s - self.start_s) // self.length_s)
        self.previous = self.current if passed == 1 else 0
        self.current = 0
        self.start_s += passed * self.length_s
        self.ends_s = self.start_s + self.length_s

    def used(self, now_s: float) -> float:
        if not self.previous:
            return self.current
        elapsed = min(max((now_s - self.start_s) / self.length_s, 0.0), 1.0)
        return self.current + self.previous * (1.0 - elapsed)

    def wait_s(self, now_s: float, room: float) -> float:
        """Until no more than `room` is used, if nobody calls meanwhile."""
        if self.current <= room:
            # Within this window: the one before has to slide out far enough.
            share = (room - self.current) / self.previous if self.previous else 1.0
            return max(self.ends_s - share * self.length_s - now_s, 0.0)
        return self.ends_s - now_s + (1.0 - room / self.current) * self.length_s


class Verdict(NamedTuple):
    limit: RateLimit
    admitted: bool
    remaining: int
    """How many more calls would be admitted now."""
    reset_s: int
    """Admitted: until the window ends; refused: until one call would be admitted. At least 1."""

    def headers(self) -> RawHeaders:
        return rate_headers(self.limit, self.remaining, self.reset_s)

    def lines(self) -> bytes:
        """`headers` as they stand in a head: written at once, for a fifth of the price."""
        limit, _, remaining, reset_s = self
        return b'%bratelimit: "caller";r=%d;t=%d\r\nratelimit-remaining: %d\r\nratelimit-reset: %d\r\n' % (
            _constant_lines(limit.requests, limit.window_s),
            remaining,
            reset_s,
            remaining,
            reset_s,
        )

    def names(self) -> frozenset[bytes]:
        """Those of the API's own headers that give way."""
        return RATE_NAMES


class Limits:
    """Counts in memory, on one event loop: what is decided and what is counted cannot come apart."""

    def __init__(self, most_callers: int = MOST_CALLERS) -> None:
        self._most = most_callers
        self._windows: OrderedDict[Subject, _Window] = OrderedDict()

    def admit(self, subject: Subject, limit: RateLimit, now_s: float) -> Verdict:
        """Whether one more call is admitted, and count it if so. `now_s` is monotonic."""
        window = self._window(subject, limit.window_s, now_s)
        used = window.used(now_s)
        if used + 1 > limit.requests + _TOLERANCE:
            return Verdict(limit, False, 0, max(math.ceil(window.wait_s(now_s, limit.requests - 1) - _TOLERANCE), 1))
        window.current += 1
        return Verdict(limit, True, int(limit.requests - used - 1 + _TOLERANCE), math.ceil(window.ends_s - now_s) or 1)

    def count(self, subject: Subject, limit: RateLimit, now_s: float) -> None:
        """Count a call that was admitted elsewhere."""
        self._window(subject, limit.window_s, now_s).current += 1

    def _window(self, subject: Subject, length_s: int, now_s: float) -> _Window:
        window = self._windows.get(subject)
        if window is None or window.length_s != length_s:
            window = self._windows[subject] = _Window(length_s, now_s)
            if len(self._windows) > self._most:
                self._windows.popitem(last=False)
        elif now_s >= window.ends_s:
            window.advance(now_s)
        self._windows.move_to_end(subject)
        return window


def rate_headers(limit: RateLimit, remaining: int, reset_s: int) -> RawHeaders:
    """draft-ietf-httpapi-ratelimit-headers as it is now, and beside it the three fields of its earlier versions, which
    most clients know."""
    return [
        *_constant(limit.requests, limit.window_s),
        (b"ratelimit", b'"caller";r=%d;t=%d' % (remaining, reset_s)),
        (b"ratelimit-remaining", b"%d" % remaining),
        (b"ratelimit-reset", b"%d" % reset_s),
    ]


RATE_NAMES = frozenset(
    {b"ratelimit-policy", b"ratelimit-limit", b"ratelimit", b"ratelimit-remaining", b"ratelimit-reset"}
)
"""Of the headers above: the API's own of these names give way."""


@lru_cache(maxsize=1024)
def _constant_lines(requests: int, window_s: int) -> bytes:
    return b"".join([b"%b: %b\r\n" % item for item in _constant(requests, window_s)])


@lru_cache(maxsize=1024)
def _constant(requests: int, window_s: int) -> tuple[tuple[bytes, bytes], ...]:
    return (
        (b"ratelimit-policy", b'"caller";q=%d;w=%d' % (requests, window_s)),
        (b"ratelimit-limit", b"%d" % requests),
    )
