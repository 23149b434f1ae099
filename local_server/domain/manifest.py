"""What an `apimarket.toml` says, as values. `manifest_toml.py` reads one; the defaults stand here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Literal

MANIFEST_NAME = "apimarket.toml"


class Runtime(StrEnum):
    PYTHON = "python"
    NODE = "node"
    GO = "go"


class Visibility(StrEnum):
    PRIVATE = "private"
    UNLISTED = "unlisted"
    PUBLIC = "public"


MOST_REPLICAS = 8
"""Of one API on one machine: each has limits and a warm agent of its own, and while dependencies change there are
twice as many."""


@dataclass(frozen=True, slots=True)
class RunSpec:
    """`[run]`: how the program starts and what it may use."""

    entry: str | None = None
    """`module:attribute` (Python), a file (Node), a package directory (Go). None: detected at each save."""
    command: tuple[str, ...] | None = None
    """Any program that listens on $PORT; excludes `entry`."""
    health: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    memory_mb: int = 512
    cpus: float = 1.0
    timeout_s: float = 30.0
    replicas: int = 1
    """How many run at once, each in a sandbox of its own."""
    egress: bool = True


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`60/min`: `requests` in a sliding window of `window_s` seconds, for each caller (gateway/limits.py)."""

    requests: int
    window_s: int


@dataclass(frozen=True, slots=True)
class GatewaySpec:
    """`[gateway]`: who may call, how often, and what browsers may."""

    auth: Literal["key", "none"] = "key"
    rate_limit: RateLimit | None = None
    cache_ttl_s: int = 0
    cors: tuple[str, ...] = ()
    max_body_mb: int = 100


@dataclass(frozen=True, slots=True)
class PlanSpec:
    """One `[[plan]]`. The price is in minor units of its currency: `4.50 EUR/month` is 450, "EUR", "month"."""

    code: str
    price_minor: int
    currency: str
    interval: Literal["month", "year"]
    quota: int | None
    quota_interval: Literal["day", "month"] | None
    overage: Literal["block", "bill"]
    overage_price: Decimal | None = None
    """What each request beyond the quota costs, in whole units of `currency`; None: nothing."""


@dataclass(frozen=True, slots=True)
class Manifest:
    name: str
    runtime: Runtime
    runtime_version: str | None = None
    """`3.12` of `python3.12`; None: the product's default image."""
    version: str = "0.1.0"
    summary: str = ""
    tags: tuple[str, ...] = ()
    category: str = ""
    visibility: Visibility = Visibility.PRIVATE
    run: RunSpec = field(default_factory=RunSpec)
    gateway: GatewaySpec = field(default_factory=GatewaySpec)
    plans: tuple[PlanSpec, ...] = ()
