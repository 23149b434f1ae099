"""A circuit breaker for each generation: what does not answer is left alone for a while, and its callers are told so at
once, instead of each waiting for it to fail again.

What counts as a failure is that no answer began: no connection, one that broke, or nothing in time. An answer is an
answer, whatever its status says: a program that says 500 to everything is there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

FAILURES = 5
"""As many in a row open the circuit."""
REST_S = 10.0
"""After this long one request is let through, to see."""
PROBED_S = 1
"""What others are told to wait while that one is under way."""

CircuitState = Literal["closed", "open", "half_open"]


class Circuit(Protocol):
    """What a lane's breaker is to those who send requests on it: that of one program, or of several together."""

    changed: Changed
    """Told of every opening and closing; must not block."""

    @property
    def closed(self) -> bool: ...

    @property
    def state(self) -> CircuitState: ...

    @property
    def failures(self) -> int:
        """In a row, up to now."""

    @property
    def reason(self) -> str:
        """Why the last one failed, to come after `it`."""

    def wait_s(self, token: object, now_s: float) -> float:
        """0: the request may go, and may be the one that finds out; else how long to wait. It has to end with
        `succeeded`, `failed` or `let_go`."""

    def succeeded(self) -> None:
        """An answer began."""

    def failed(self, token: object, reason: str, now_s: float) -> None:
        """None did."""

    def let_go(self, token: object) -> None:
        """The request ended without showing anything of the API. May follow the others."""


Changed = Callable[["Breaker"], Any]


class Breaker:
    """Use on one event loop. A `token` stands for one request under way; times are the loop's."""

    def __init__(self) -> None:
        self.failures = 0
        """In a row, up to now."""
        self._opened_s = 0.0
        self._probe: object | None = None
        self.reason = ""
        """Why the last one failed, to come after `it`."""
        self.closed = True
        self.changed: Changed = _nobody
        """Told of every opening and closing; must not block."""

    @property
    def state(self) -> CircuitState:
        if self.closed:
            return "closed"
        return "half_open" if self._probe is not None else "open"

    def wait_s(self, token: object, now_s: float) -> float:
        """0: the request may go, and may be the one that finds out; else how long to wait. It has to end with
        `succeeded`, `failed` or `let_go`."""
        if self.closed or self._probe is token:
            return 0.0
        rest_s = self.rest_s(now_s)
        if not rest_s:
            self._probe = token
        return rest_s

    def rest_s(self, now_s: float) -> float:
        """How long it is left alone; 0: it may be asked, if only to see."""
        if self.closed:
            return 0.0
        if self._probe is not None:
            return PROBED_S
        return max(0.0, self._opened_s + REST_S - now_s)

    def succeeded(self) -> None:
        """An answer began."""
        self.failures = 0
        self._probe = None
        if not self.closed:
            self.closed = True
            self.changed(self)

    def failed(self, token: object, reason: str, now_s: float) -> None:
        """None did."""
        self.failures += 1
        self.reason = reason
        if self.closed:
            if self.failures >= FAILURES:
                self.closed, self._opened_s = False, now_s
                self.changed(self)
        elif self._probe is token:
            self._probe, self._opened_s = None, now_s

    def let_go(self, token: object) -> None:
        """The request ended without showing anything of the API. May follow the others."""
        if self._probe is token:
            self._probe = None


def _nobody(_breaker: Breaker) -> None:
    """Until somebody wants to know."""
