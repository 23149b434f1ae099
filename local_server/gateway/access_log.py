"""What the log keeps of each request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from local_server.domain.executions import CallOutcome, Execution
from local_server.gateway.trace_context import carry_on

if TYPE_CHECKING:
    from datetime import datetime

    from local_server.domain.errors import ApimarketError
    from local_server.domain.ids import ApiId, KeyId, RequestId
    from local_server.gateway.inspector import Capture
    from local_server.gateway.quotas import Purse
    from local_server.gateway.request_head import RequestHead

_PATH_LIMIT = 2048
STATUS_CLIENT_GONE = 499
"""Never sent: nobody is there to read it."""

_REFUSALS = {502: CallOutcome.UPSTREAM_FAILED, 503: CallOutcome.UNAVAILABLE, 504: CallOutcome.TIMEOUT}


class System(Protocol):
    """Where the gateway gets the time and new identifiers from."""

    def now(self) -> datetime:
        """The time, aware, in UTC."""

    def new_id(self) -> str:
        """A new UUIDv7."""


def outcome_of_refusal(error: ApimarketError) -> CallOutcome:
    """For an answer the gateway gave."""
    return _REFUSALS.get(error.status, CallOutcome.REFUSED)


class Trace:
    """One request's measures, filled in as it goes.

    Times are `perf_counter`'s, in seconds; the loop's clock stands still within an iteration, and counts milliseconds
    under uvloop.
    """

    __slots__ = (
        "api_id",
        "bytes_in",
        "bytes_out",
        "cached",
        "capture",
        "ended_s",
        "first_byte_s",
        "generation",
        "held",
        "key_id",
        "method",
        "outcome",
        "path",
        "purse",
        "request_id",
        "sent_s",
        "started_at",
        "started_s",
        "status",
        "trace_id",
        "traceparent",
        "version",
    )

    def __init__(
        self, request_id: str, api_id: ApiId, method: str, path: bytes, started_at: datetime, started_s: float
    ) -> None:
        self.request_id: RequestId = request_id  # type: ignore[assignment]  # to call the type would cost each request
        self.api_id = api_id
        self.method = method
        self.path = path
        self.started_at = started_at
        self.started_s = started_s
        self.sent_s = 0.0
        self.first_byte_s = 0.0
        self.ended_s = 0.0
        self.generation = 0
        self.status = STATUS_CLIENT_GONE
        self.outcome = CallOutcome.ABORTED
        self.bytes_in = 0
        self.bytes_out = 0
        self.held = False
        self.key_id: KeyId | None = None
        self.version = ""
        self.cached = False
        self.purse: Purse | None = None
        """What the call was spent from, if it counts towards a quota."""
        self.capture: Capture | None = None
        """Where the inspector keeps the exchange, if it does."""
        self.trace_id = ""
        """Of the W3C trace it is part of, if it is part of one."""
        self.traceparent = b""
        """What the API is told of that trace."""

    def carry_on(self, head: RequestHead, traceparent: bytes) -> None:
        """The caller's trace goes on under our span. `traceparent` as it came."""
        self.trace_id, self.traceparent = carry_on(head, traceparent, self.request_id)
        if self.capture is not None:
            self.capture.traceparent = self.traceparent

    def execution(self) -> Execution:
        """What is kept of it once it is over."""
        total_s = self.ended_s - self.started_s
        upstream_s = self.first_byte_s - self.sent_s if self.first_byte_s else 0.0
        # By position: names would cost twice as much.
        return Execution(
            self.request_id,
            self.api_id,
            self.generation,
            self.method,
            self.path[:_PATH_LIMIT].decode("latin-1"),
            self.status,
            self.outcome,
            self.started_at,
            int(total_s * 1_000_000),
            int(upstream_s * 1_000_000),
            self.bytes_in,
            self.bytes_out,
            self.held,
            self.key_id,
            self.version,
            self.cached,
        )
