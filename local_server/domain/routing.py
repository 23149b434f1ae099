"""Where the gateway may find an API and its versions, and what it says while it finds none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
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
    version: str = ""
    """The immutable version that stands there; empty: the working directory."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What callers of a version are told of its end."""

    deprecated_at: datetime
    sunset_at: datetime | None = None
    """From this time on it is not answered for any more."""
    successor: str | None = None
    """The number of the version to go over to."""


@dataclass(frozen=True, slots=True)
class Steering:
    """How the URLs of one API lead to its versions. Targets are numbers of versions, or `dev` for the directory."""

    shares: tuple[tuple[str, int], ...] = (("dev", 100),)
    """Where a URL without a pin leads, in percent."""
    pins: Mapping[str, str] = field(default_factory=dict)
    """What may follow an `@`, beside `dev` -> the number that it means."""
    notices: Mapping[str, Notice] = field(default_factory=dict)
    """By the number of the version."""
