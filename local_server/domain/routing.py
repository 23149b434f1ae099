"""Where the gateway may find an API, and what it says while it finds none."""

from dataclasses import dataclass
from typing import Literal

from local_server.domain.ids import ApiId
from local_server.domain.manifest import RateLimit

Availability = Literal["serving", "starting", "stopped", "failed"]
"""`starting`: requests are held for a while; `stopped`, `failed`: refused at once."""


@dataclass(frozen=True, slots=True)
class Route:
    api_id: ApiId
    owner: str
    slug: str
    availability: Availability
    detail: str = ""
    """Why it is not serving: one line for the caller's error."""
    pending_error: str = ""
    """While an older generation serves: why the newest save does not (header X-Apimarket-Pending-Error)."""
    timeout_s: float = 30.0
    """Until the first byte of the answer."""
    cors: tuple[str, ...] = ()
    """Origins whose pages may call; `*` for all."""
    auth: Literal["key", "none"] = "key"
    cache_ttl_s: int = 0
    """How long an answer that does not say so itself may be given again; 0: none is kept."""
    max_body_bytes: int = 100 * 1024 * 1024
    """Of a request."""
    rate_limit: RateLimit | None = None
    """For each caller; a key may have another."""
