"""Statistics and history of an API on the wire, and what other services log."""

from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from local_server.domain.executions import CallOutcome
from local_server.wire.apis import ExecutionView, UsageView
from local_server.wire.moments import Moment

LOG_LIMIT = 1000
"""Executions in one call of `POST /analytics/log`."""

_WORD = r"^[0-9A-Za-z.+-]{1,100}$"
_WORD_OR_NOTHING = r"^[0-9A-Za-z.+-]{0,100}$"

WindowName = Literal["1h", "24h", "7d", "30d"]
StatusClass = Literal["1xx", "2xx", "3xx", "4xx", "5xx"]


class StatsPoint(BaseModel):
    """One minute (of 1h), hour (of 24h and 7d) or day (of 30d), in UTC."""

    starts_at: datetime
    requests: int
    errors: int
    p95_ms: float | None
    p50_ms: float | None = None
    p99_ms: float | None = None
    statuses: dict[str, int] = Field(default_factory=dict)
    """Requests by class of status: `2xx`; only the classes that occurred."""


class GenerationStats(BaseModel):
    """Of one generation of the directory."""

    number: int
    """0: requests that no generation answered."""
    requests: int
    errors: int
    mean_ms: float


class VersionStats(BaseModel):
    version: str
    requests: int
    errors: int
    mean_ms: float


class PathStats(BaseModel):
    path: str
    """What looks like an identifier stands as `{id}`."""
    requests: int
    mean_ms: float


class ErrorGroup(BaseModel):
    """Requests that ended alike, and not well."""

    outcome: str
    status: int
    method: str
    path: str
    """What looks like an identifier stands as `{id}`."""
    requests: int
    last_at: datetime
    last_id: str
    """The newest of them."""


class PopularityView(BaseModel):
    """Among the APIs of the same owner."""

    rank: int
    """1 is the busiest; those with as many requests share a rank."""
    of: int
    share: float
    """Of the requests to all of them, 0 to 1."""


class StatsView(BaseModel):
    """What became of the API's requests from `since` to `until`: whole minutes, hours or days, the last going on."""

    api: str
    """The API's name."""
    id: str
    window: str
    since: datetime
    until: datetime
    requests: int
    requests_per_s: float
    success_rate: float | None
    """Share with the outcome ok, 0 to 1; with `error_rate` less than 1 where callers made mistakes or gave up."""
    error_rate: float | None
    """Share that failed by the API's fault: 5xx, unreachable, out of time."""
    mean_ms: float | None
    """This and the percentiles: of what was answered; refusals of the gateway are left out."""
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    bytes_in: int
    bytes_out: int
    statuses: dict[str, int]
    """Requests by class of status: `2xx`."""
    outcomes: dict[str, int]
    points: list[StatsPoint]
    """Oldest first, without gaps."""
    generations: list[GenerationStats]
    """The newest 20 of the directory, newest first."""
    versions: list[VersionStats] = Field(default_factory=list)
    """The 20 that answered most, the busiest first."""
    paths: list[PathStats]
    """The 10 most frequent of the last 1000 requests."""
    errors: list[ErrorGroup]
    """The 20 most frequent of the last 500 requests that were not ok."""
    popularity: PopularityView
    usage: UsageView | None
    """Now; None while nothing runs."""


class HistoryView(BaseModel):
    requests: list[ExecutionView]
    """Newest first."""
    next: str | None
    """Give it as `before` for what is older; null at the end. A page may be short and still have a next."""


class LogExecution(BaseModel):
    """One request that something else than this server's gateway answered."""

    model_config = ConfigDict(extra="forbid")

    api: str = Field(min_length=1, max_length=200)
    """An id, a slug, or owner/slug."""
    id: UUID | None = None
    """With an id, logging the same again changes nothing. None: a new one."""
    method: str = Field(pattern=r"^[A-Z][A-Z-]{0,19}$")
    path: str = Field(pattern=r"^/", max_length=2048)
    """What follows a `?` is cut off: it may hold secrets."""
    status: int = Field(ge=100, le=599)
    outcome: CallOutcome | None = None
    """None: by the status, as an answer of the API."""
    started_at: Moment | None = None
    """None: it ended just now."""
    total_ms: float = Field(ge=0, le=86_400_000, allow_inf_nan=False)
    upstream_ms: float = Field(default=0, ge=0, le=86_400_000, allow_inf_nan=False)
    bytes_in: int = Field(default=0, ge=0, le=2**53)
    bytes_out: int = Field(default=0, ge=0, le=2**53)
    generation: int = Field(default=0, ge=0, le=2**31)
    held: bool = False
    key_id: str | None = Field(default=None, pattern=_WORD)
    """The key it was made with, by its id: never the key itself."""
    version: str = Field(default="", pattern=_WORD_OR_NOTHING)
    cached: bool = False

    def begun(self, now: datetime) -> datetime:
        return self.started_at or now - timedelta(milliseconds=self.total_ms)


class LogBatch(BaseModel):
    model_config = ConfigDict(extra="forbid")

    executions: list[LogExecution] = Field(min_length=1, max_length=LOG_LIMIT)


def _kind(body: object) -> str:
    return "batch" if isinstance(body, LogBatch) or (isinstance(body, dict) and "executions" in body) else "one"


LogBody = Annotated[
    Annotated[LogExecution, Tag("one")] | Annotated[LogBatch, Tag("batch")],
    Discriminator(_kind),
]
"""POST /analytics/log: one execution, or a batch of them."""


class Logged(BaseModel):
    accepted: int
    """Stored and counted now."""
    known: int
    """Left alone: their ids were there already."""
