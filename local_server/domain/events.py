"""What happened. Past tense; published only after the change it tells of is committed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from local_server.domain.deployments import Failure, Generation, State
from local_server.domain.ids import ApiId, KeyId, OpId
from local_server.domain.traffic import Counted

LogStream = Literal["out", "err", "apimarket"]
"""A program's standard output, its standard error, or a word of ours between them."""


@dataclass(frozen=True, slots=True)
class ApiRegistered:
    api_id: ApiId


@dataclass(frozen=True, slots=True)
class ApiChanged:
    """Manifest or registration changed."""

    api_id: ApiId


@dataclass(frozen=True, slots=True)
class ApiRemoved:
    api_id: ApiId
    slug: str


@dataclass(frozen=True, slots=True)
class StateChanged:
    """What the API's deployment is doing changed; `progress` is a word about long work ("installing numpy")."""

    api_id: ApiId
    state: State
    failure: Failure | None
    progress: str = ""


@dataclass(frozen=True, slots=True)
class GenerationFinished:
    """A save came to serve, or did not."""

    api_id: ApiId
    generation: Generation


@dataclass(frozen=True, slots=True)
class LogLine:
    api_id: ApiId
    generation: int
    stream: LogStream
    text: str
    at: datetime
    replica: int = 0
    """Which of several wrote it, counted from 1; 0: there is one alone, or it was none of them."""


@dataclass(frozen=True, slots=True)
class LogWritten:
    """Lines in order; one event for many lines."""

    api_id: ApiId
    lines: Sequence[LogLine]
    version: str = ""
    """Of what printed them; empty: the working directory."""


@dataclass(frozen=True, slots=True)
class EngineChanged:
    engine: str
    available: bool
    detail: str


@dataclass(frozen=True, slots=True)
class OutboxChanged:
    """An outgoing version was queued, moved on, or sent some more of its bytes."""

    api_id: ApiId
    op: OpId


@dataclass(frozen=True, slots=True)
class PullMoved:
    """More of a version that is being fetched from a marketplace is here."""

    remote: str
    name: str
    """owner/name, or owner/name@version, as it was asked for."""
    done_bytes: int
    total_bytes: int
    """Of file contents that were not here."""


@dataclass(frozen=True, slots=True)
class VersionCreated:
    """An immutable version was added: made here, or published to here. One of an API without a directory is then
    started, and takes the traffic once it is ready if it is the newest release."""

    api_id: ApiId
    semver: str


@dataclass(frozen=True, slots=True)
class VersionChanged:
    """A version started, failed or stopped; was yanked or deprecated; or a channel leads to it now, or no more."""

    api_id: ApiId
    semver: str


@dataclass(frozen=True, slots=True)
class TrafficMoved:
    """URLs without a pin lead elsewhere now."""

    api_id: ApiId


@dataclass(frozen=True, slots=True)
class WayMoved:
    """What an executor runs of the API listens elsewhere, or can be called otherwise; or is gone."""

    api_id: ApiId


@dataclass(frozen=True, slots=True)
class TrafficCounted:
    """A gateway without an executor carried requests."""

    apis: Mapping[ApiId, Counted]


@dataclass(frozen=True, slots=True)
class KeysChanged:
    """Keys to APIs were made, changed or revoked."""

    by: str
    """Names the server that did it, and has done so when this is told."""
    ids: tuple[KeyId, ...] = ()
    """None: any of them may be others now."""


@dataclass(frozen=True, slots=True)
class FeedMoved:
    """What is published here has another change to tell."""

    api_id: ApiId
    number: int


Event = (
    ApiRegistered
    | ApiChanged
    | ApiRemoved
    | StateChanged
    | GenerationFinished
    | LogWritten
    | EngineChanged
    | OutboxChanged
    | PullMoved
    | VersionCreated
    | VersionChanged
    | TrafficMoved
    | WayMoved
    | TrafficCounted
    | KeysChanged
    | FeedMoved
)
