"""One request through the gateway with what was said on both sides, as the inspector keeps it for a while."""

from dataclasses import dataclass

from local_server.domain.executions import Execution

BODY_BYTES = 64 * 1024
"""Of a body no more is kept."""

Headers = tuple[tuple[str, str], ...]
"""Names in lower case, in the order they came, repeated where they were."""


@dataclass(frozen=True, slots=True)
class Body:
    content: bytes
    """How it begins, up to `BODY_BYTES`."""
    size: int
    """Of all that passed."""

    @property
    def whole(self) -> bool:
        return len(self.content) == self.size


NOTHING = Body(b"", 0)


@dataclass(frozen=True, slots=True)
class Exchange:
    """As it was, secrets and all: what leaves the server goes through `redaction` first."""

    execution: Execution
    origin: str
    """`http://127.0.0.1:8080`, by the Host header it came with."""
    client: str
    """The caller's address."""
    prefix: str
    """What of its path named the API: `/me/hello`; empty where its host did."""
    path: str
    """All of the rest."""
    query: str
    """Without the question mark."""
    request_headers: Headers
    """What goes on to the API. Never a key of ours."""
    request_body: Body
    response_headers: Headers
    """What the API said; the gateway's own where that answered."""
    response_body: Body
    keyed: bool = False
    """It came with a key of ours, which was not kept."""
    request_complete: bool = True
    """The body was read to its end."""
    key_removed: bool = False
    """Something in it looked like a key of ours, and was taken out."""
    websocket: bool = False
    messages_in: int = 0
    messages_out: int = 0

    @property
    def url(self) -> str:
        """As it was called, without the query."""
        return self.origin + self.prefix + self.path

    @property
    def target(self) -> str:
        """Path and query as they go to the API."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def media_type(self) -> str:
        """Of the request."""
        return header(self.request_headers, "content-type")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a replayed request was answered with."""

    generation: int
    """0 where none answered."""
    status: int
    headers: Headers
    body: Body
    digest: str
    """SHA-256 of all of the body, in hex."""
    total_us: int
    complete: bool
    """It came to its end in the time that a replay may take."""
    version: str = ""
    """Which immutable version answered, where it was one: `generation` is then one of the version's own."""


def header(headers: Headers, name: str) -> str:
    """The value of the first one of that name; empty when there is none."""
    return next((value for known, value in headers if known == name), "")


def why_not_replayable(exchange: Exchange) -> str:
    """Empty when it can be sent again exactly as it was."""
    if exchange.websocket:
        return "a WebSocket is a conversation: there is no one request to repeat"
    if exchange.key_removed:
        return "it held an API key of apimarket in its URL, headers or body, and such keys are never kept"
    if not exchange.request_complete:
        return "its body was not read to the end"
    if not exchange.request_body.whole:
        kept, size = len(exchange.request_body.content), exchange.request_body.size
        return f"its body has {size} bytes, of which the first {kept} were kept"
    return ""
