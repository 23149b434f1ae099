"""What was counted of an API's requests over a minute, an hour or a day, and how the request log is asked."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from local_server.domain.executions import ERRORS, CallOutcome, Execution, answer_times_us
from local_server.domain.histogram import Histogram, add, bucket_of
from local_server.domain.ids import ApiId, KeyId

GENERATIONS_KEPT = 100
"""A tally tells at most so many generations apart: somebody who saves all day makes hundreds. And so many versions."""


class Step(StrEnum):
    """The lengths of time that are counted by. They begin at whole minutes, hours and days of UTC."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"

    @property
    def length(self) -> timedelta:
        return _LENGTHS[self]

    def start_of(self, at: datetime) -> datetime:
        """When the minute, hour or day that `at` (aware) falls into began, in UTC."""
        seconds = int(at.timestamp())
        return datetime.fromtimestamp(seconds - seconds % int(self.length.total_seconds()), UTC)


_LENGTHS = {Step.MINUTE: timedelta(minutes=1), Step.HOUR: timedelta(hours=1), Step.DAY: timedelta(days=1)}


@dataclass(slots=True)
class GenerationTally:
    """Of one generation, or of one version."""

    requests: int = 0
    errors: int = 0
    total_us: int = 0

    def add(self, other: "GenerationTally") -> None:
        self.requests += other.requests
        self.errors += other.errors
        self.total_us += other.total_us


@dataclass(slots=True)
class Tally:
    """Counts that can be added to each other: the tally of an hour is the sum of its minutes'."""

    requests: int = 0
    errors: int = 0
    """Those whose outcome is one of `ERRORS`."""
    total_us: int = 0
    """Of the requests that stand in `latencies`."""
    bytes_in: int = 0
    bytes_out: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    statuses: dict[int, int] = field(default_factory=dict)
    generations: dict[int, GenerationTally] = field(default_factory=dict)
    """By number, at most `GENERATIONS_KEPT`, the newest: those of the directory, since each version counts its own. 0
    stands for requests that nothing answered."""
    versions: dict[str, GenerationTally] = field(default_factory=dict)
    """What immutable versions answered, by number, at most `GENERATIONS_KEPT`, those with the most requests."""
    latencies: Histogram = field(default_factory=dict)
    """Of every request that `answer_times_us` counts."""

    @classmethod
    def of(cls, rows: Sequence[Execution]) -> "Tally":
        """`rows` counted, column by column: a third of what it costs to look at one row after the other."""
        answered = answer_times_us(rows)
        tally = cls(
            requests=len(rows),
            errors=_errors(rows),
            total_us=sum(answered),
            bytes_in=sum([row.bytes_in for row in rows]),
            bytes_out=sum([row.bytes_out for row in rows]),
            outcomes=Counter([row.outcome for row in rows]),
            statuses=Counter([row.status for row in rows]),
            latencies=Counter(map(bucket_of, answered)),
        )
        tally._tell_apart(rows)
        return tally

    def add(self, other: "Tally") -> None:
        self.requests += other.requests
        self.errors += other.errors
        self.total_us += other.total_us
        self.bytes_in += other.bytes_in
        self.bytes_out += other.bytes_out
        for outcome, count in other.outcomes.items():
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + count
        for status, count in other.statuses.items():
            self.statuses[status] = self.statuses.get(status, 0) + count
        for number, part in other.generations.items():
            self.generations.setdefault(number, GenerationTally()).add(part)
        for version, part in other.versions.items():
            self.versions.setdefault(version, GenerationTally()).add(part)
        self._forget_most()
        add(self.latencies, other.latencies)

    def _tell_apart(self, rows: Iterable[Execution]) -> None:
        parts: dict[int | str, list[Execution]] = {}
        for row in rows:
            parts.setdefault(row.version or row.generation, []).append(row)
        for answered_by, part in parts.items():
            counts = GenerationTally(len(part), _errors(part), sum([row.total_us for row in part]))
            if isinstance(answered_by, str):
                self.versions[answered_by] = counts
            else:
                self.generations[answered_by] = counts
        self._forget_most()

    def _forget_most(self) -> None:
        if len(self.versions) > GENERATIONS_KEPT:
            busiest = sorted(self.versions.items(), key=lambda item: item[1].requests, reverse=True)
            self.versions = dict(busiest[:GENERATIONS_KEPT])
        if len(self.generations) > GENERATIONS_KEPT:
            newest = sorted(self.generations, reverse=True)[:GENERATIONS_KEPT]
            self.generations = {number: self.generations[number] for number in newest}


def _errors(rows: Iterable[Execution]) -> int:
    return sum([row.outcome in ERRORS for row in rows])


@dataclass(frozen=True, slots=True)
class Rollup:
    """One API's tally of the minute, hour or day that began at `starts_at`."""

    api_id: ApiId
    starts_at: datetime
    tally: Tally


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """Which rows of the request log are wanted; None, and False, ask for nothing in particular."""

    status_class: int | None = None
    """4 for 4xx."""
    outcome: CallOutcome | None = None
    not_ok: bool = False
    """Only what was not ok, whosever fault it was."""
    method: str | None = None
    path_prefix: str | None = None
    generation: int | None = None
    """Of the directory, or of `version` where one is asked for; 0: what nothing answered."""
    key_id: KeyId | None = None
    version: str | None = None
    since: datetime | None = None
    """At or after."""
    until: datetime | None = None
    """Before."""


EVERYTHING = HistoryFilter()


@dataclass(frozen=True, slots=True)
class HistoryPage:
    rows: Sequence[Execution]
    """Newest first."""
    next: str | None
    """Ask again with this as `before` for what is older; None at the end. A page may be short, even empty, and still
    have a next: only so many rows are looked through at once."""


@dataclass(frozen=True, slots=True)
class PathCount:
    """Requests that were alike, among the newest of a time."""

    path: str
    requests: int
    total_us: int


@dataclass(frozen=True, slots=True)
class TroubleCount:
    """Requests that ended alike, and not well, among the newest of a time."""

    outcome: CallOutcome
    status: int
    method: str
    path: str
    requests: int
    last_at: datetime
    last_id: str


Popularity = Mapping[ApiId, int]
"""Requests by API."""
