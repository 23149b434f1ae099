"""How much goes through an API right now."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from local_server.domain.executions import ERRORS, Execution, answer_times_us, by_api
from local_server.domain.histogram import bucket_of
from local_server.domain.ids import ApiId

HISTORY_S = 60
RATE_S = 10


@dataclass(frozen=True, slots=True)
class TrafficFigures:
    requests_per_s: float = 0.0
    """Mean of the last 10 s."""
    p95_ms: float | None = None
    """Of the last 60 s, over requests that a generation answered; None where there were none."""
    error_rate: float = 0.0
    """Share of the last 60 s' requests that were answered 5xx or broken off, 0 to 1."""
    history: tuple[int, ...] = (0,) * HISTORY_S
    """Requests in each of the last 60 s, oldest first; the last second is still going on."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What one gateway carried for one API in a second or less."""

    requests: int
    errors: int
    """Answered 5xx, or broken off."""
    latencies: Mapping[int, int]
    """Of what a generation answered: a bucket of domain/histogram.py -> how many."""


SILENCE = TrafficFigures()


def counted_by_api(rows: Sequence[Execution]) -> Mapping[ApiId, Counted]:
    return {api_id: _counted(part) for api_id, part in by_api(rows).items()}


def _counted(rows: Sequence[Execution]) -> Counted:
    answered = answer_times_us(rows)
    errors = sum([row.outcome in ERRORS for row in rows])
    return Counted(len(rows), errors, Counter(map(bucket_of, answered)))
