"""Kept exchanges, their replay, and how two answers differ. Secrets are redacted in all of them."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class BodyView(BaseModel):
    media_type: str
    """As the Content-Type said; empty where none did."""
    bytes: int
    """Of all that passed."""
    text: str | None = None
    """What was kept, as text: unpacked, decoded and redacted."""
    base64: str | None = None
    """What was kept, where it is no text. Names cannot be looked for in it, so nothing is redacted but API keys."""
    truncated: bool = False
    """More passed than was kept."""


class ExchangeSummary(BaseModel):
    id: str
    """The request id: the same as in the history, and in X-Request-Id."""
    generation: int
    """0 where none answered."""
    version: str
    method: str
    path: str
    query: str
    """Without the question mark."""
    status: int
    """499 where the client gave up."""
    outcome: str
    started_at: datetime
    total_ms: float
    bytes_in: int
    bytes_out: int


class ExchangeView(ExchangeSummary):
    request_headers: list[tuple[str, str]]
    """Names in lower case."""
    request_body: BodyView
    response_headers: list[tuple[str, str]]
    response_body: BodyView
    websocket: bool
    messages_in: int
    """Of a WebSocket: from the client."""
    messages_out: int
    replayable: bool
    why_not: str
    """Why it cannot be replayed; empty where it can."""
    curl: str
    """A command that sends it again, with shell variables in the place of secrets; empty for a WebSocket."""


class ReplayExchange(BaseModel):
    """POST /api/v1/apis/{id}/exchanges/{request}/replay"""

    model_config = ConfigDict(extra="forbid")

    generation: int | None = Field(default=None, ge=1, le=2**31 - 1)
    """None: what serves now. One that has ended is started again for it."""


class CompareExchange(BaseModel):
    """POST /api/v1/apis/{id}/exchanges/{request}/compare"""

    model_config = ConfigDict(extra="forbid")

    generation: int = Field(ge=1, le=2**31 - 1)
    """Which one to compare what serves now with."""


class ReplayView(BaseModel):
    generation: int
    """Which one answered; 0 where none did, and the gateway tells why."""
    version: str = ""
    """Which immutable version answered, where it was one: `generation` is then one of the version's own."""
    status: int
    headers: list[tuple[str, str]]
    body: BodyView
    total_ms: float
    complete: bool
    """False where the answer broke off, or went on for longer than a replay may."""


class HeaderChangeView(BaseModel):
    name: str
    first: str | None
    """None where the answer has no such header."""
    second: str | None


class CompareView(BaseModel):
    first: ReplayView
    """Of the generation that was named."""
    second: ReplayView
    """Of the one that serves."""
    same: bool
    """Status, headers that matter and body mean the same."""
    status_changed: bool
    headers_changed: list[HeaderChangeView]
    body_diff: list[str]
    """`-` begins what only the first answer has, `+` what only the second has; a blank or `@`: what is around."""


class Forgotten(BaseModel):
    forgotten: int
    """How many exchanges were."""
