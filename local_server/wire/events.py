"""What `/api/v1/events` streams (Server-Sent Events): `event:` is the class's `topic`, `data:` its JSON."""

from typing import Literal

from pydantic import BaseModel

from local_server.wire.apis import ApiView, ExecutionView, LogLineView, TrafficView
from local_server.wire.outbox import OutboxEntryView


class ApiUpdated(BaseModel):
    """An API was registered or changed in any way: its whole row."""

    topic: Literal["api"] = "api"
    api: ApiView


class ApiGone(BaseModel):
    topic: Literal["api-removed"] = "api-removed"
    id: str
    name: str


class TrafficUpdated(BaseModel):
    """At most once a second, for the APIs whose figures changed."""

    topic: Literal["traffic"] = "traffic"
    apis: dict[str, TrafficView]
    """By API id."""


class LogsWritten(BaseModel):
    topic: Literal["log"] = "log"
    api_id: str
    lines: list[LogLineView]


class RequestsLogged(BaseModel):
    topic: Literal["requests"] = "requests"
    api_id: str
    requests: list[ExecutionView]


class EngineUpdated(BaseModel):
    topic: Literal["engine"] = "engine"
    engine: str
    available: bool
    detail: str


class OutboxUpdated(BaseModel):
    """An outgoing version was queued, moved on, or sent some more of its bytes."""

    topic: Literal["outbox"] = "outbox"
    entry: OutboxEntryView


class PullUpdated(BaseModel):
    """More of a version that is being fetched from a marketplace is here."""

    topic: Literal["pull"] = "pull"
    remote: str
    name: str
    """As it was asked for."""
    done_bytes: int
    total_bytes: int
    """Of file contents that were not here."""


class Resync(BaseModel):
    """Events were lost (a slow reader, a restarted server): read the lists again."""

    topic: Literal["resync"] = "resync"


WireEvent = (
    ApiUpdated
    | ApiGone
    | TrafficUpdated
    | LogsWritten
    | RequestsLogged
    | EngineUpdated
    | OutboxUpdated
    | PullUpdated
    | Resync
)
