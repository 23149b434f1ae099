"""One request through the gateway, as the log keeps it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from local_server.domain.ids import ApiId, KeyId, RequestId


class CallOutcome(StrEnum):
    OK = "ok"
    CLIENT_ERROR = "client_error"
    """The API answered 4xx."""
    SERVER_ERROR = "server_error"
    """The API answered 5xx."""
    UNAVAILABLE = "unavailable"
    """The gateway answered, since no generation could."""
    UPSTREAM_FAILED = "upstream_failed"
    TIMEOUT = "timeout"
    ABORTED = "aborted"
    """The client gave up."""
    REFUSED = "refused"
    """The gateway refused: key, rate, quota, size."""


def outcome_of_status(status: int) -> CallOutcome:
    """For an answer the API gave."""
    if status < 400:
        return CallOutcome.OK
    return CallOutcome.CLIENT_ERROR if status < 500 else CallOutcome.SERVER_ERROR


ERRORS = frozenset(
    {CallOutcome.SERVER_ERROR, CallOutcome.UNAVAILABLE, CallOutcome.UPSTREAM_FAILED, CallOutcome.TIMEOUT}
)
"""The API's fault, not its caller's: what an error rate is made of."""

UNANSWERED = frozenset({CallOutcome.UNAVAILABLE, CallOutcome.REFUSED})
"""Answered by the gateway, at once: counting these in latencies would make a failing API look fast."""


_SWITCHED = 101
"""A WebSocket is open for as long as its caller wants: that says nothing of how fast the API is."""


class Execution(NamedTuple):
    """A tuple, since the gateway makes one of each request: made by position it costs a sixth of a frozen dataclass."""

    id: RequestId
    api_id: ApiId
    generation: int
    """0 where none answered."""
    method: str
    path: str
    """Without the prefix and without the query (it may hold secrets)."""
    status: int
    outcome: CallOutcome
    started_at: datetime
    total_us: int
    upstream_us: int
    """Until the first byte of the answer; 0 where none answered."""
    bytes_in: int
    bytes_out: int
    held: bool
    """Waited for a generation to become ready."""
    key_id: KeyId | None = None
    """The key it was made with, also where that was refused; None: without one that is known."""
    version: str = ""
    """The immutable version that answered; empty: a generation of the working directory, or none."""
    cached: bool = False
    """Answered from the response cache, and the API was not asked."""


def by_api(rows: Sequence[Execution]) -> Mapping[ApiId, Sequence[Execution]]:
    """Mostly all are of one."""
    apis = {row.api_id for row in rows}
    if len(apis) == 1:
        return {apis.pop(): rows}
    parts: dict[ApiId, list[Execution]] = {}
    for row in rows:
        parts.setdefault(row.api_id, []).append(row)
    return parts


def answer_times_us(rows: Sequence[Execution]) -> list[int]:
    """What latencies are made of: of each that was answered, how long that took."""
    return [row.total_us for row in rows if row.outcome not in UNANSWERED and row.status != _SWITCHED]
