"""An API as the catalogue shows it: what its owner says of it, and what its use says."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from local_server.domain.ids import ApiId
from local_server.domain.manifest import PlanSpec, Visibility

README_BYTES = 64 * 1024
"""What of a README the catalogue keeps."""
MAX_ENDPOINTS = 500
MAX_ENDPOINT_CHARS = 300

MEASURED_OVER = timedelta(days=30)

# -- What its owner says -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Endpoint:
    method: str
    path: str
    summary: str


@dataclass(frozen=True, slots=True)
class Listing:
    api_id: ApiId
    owner: str
    slug: str
    summary: str
    tags: tuple[str, ...]
    category: str
    runtime: str
    """The language, without its version."""
    visibility: Visibility
    """Public, or unlisted: then it is found by its name alone."""
    version: str
    free: bool
    """It can be used without paying."""
    price_from_minor: int | None
    """The least that a month costs; None where nothing is offered."""
    currency: str
    published_at: datetime
    """The first time."""
    updated_at: datetime

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.slug}"


@dataclass(frozen=True, slots=True)
class ListingTexts:
    """What is long, and looked at one by one. Strangers wrote it: text, never markup or anything to run."""

    readme: str
    endpoints: tuple[Endpoint, ...]


_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def endpoints_of(openapi: Mapping[str, object] | None) -> tuple[Endpoint, ...]:
    """Every operation of an OpenAPI document, as far as it is one: whatever else stands there is passed over."""
    paths = openapi.get("paths") if openapi is not None else None
    if not isinstance(paths, Mapping):
        return ()
    found = []
    for path, item in paths.items():
        if not isinstance(path, str) or not path.startswith("/") or not isinstance(item, Mapping):
            continue
        for method in _METHODS:
            operation = item.get(method)
            if isinstance(operation, Mapping):
                found.append(Endpoint(method.upper(), path[:MAX_ENDPOINT_CHARS], _summary(operation)))
            if len(found) == MAX_ENDPOINTS:
                return tuple(found)
    return tuple(found)


def _summary(operation: Mapping[str, object]) -> str:
    told = operation.get("summary") or operation.get("description") or ""
    return told[:MAX_ENDPOINT_CHARS] if isinstance(told, str) else ""


def readme_text(content: bytes) -> str:
    """A README as text, cut off at `README_BYTES`; what is not UTF-8 becomes U+FFFD."""
    return content[:README_BYTES].decode("utf-8", "replace").replace("\0", "\ufffd")


def price_of(plans: Sequence[PlanSpec]) -> tuple[bool, int | None, str]:
    """(free, least price of a month in minor units, its currency). Without plans nothing is to be paid."""
    if not plans:
        return True, None, ""
    least = min(plans, key=_monthly)
    return least.price_minor == 0, math.ceil(_monthly(least)), least.currency


def _monthly(plan: PlanSpec) -> float:
    return plan.price_minor / 12 if plan.interval == "year" else plan.price_minor


# -- What its use says -------------------------------------------------------------------------------------------

PRIOR_STARS, PRIOR_REVIEWS = 3.5, 5
"""A rating counts as if so many others had given these stars: two friends' five stars are no record."""
PRIOR_CALLS = 20
"""As if so many calls had gone well."""
MANY_SUBSCRIBERS = 10_000
USUAL_P95_MS = 500.0
"""An API as fast as this is worth half of what one that takes no time is."""
HALF_LIFE = timedelta(days=180)

WEIGHTS = {"rating": 0.35, "subscribers": 0.25, "success": 0.20, "latency": 0.10, "freshness": 0.10}


def stars_of(rating_sum: int, rating_count: int) -> float | None:
    """The plain average, 1 to 5; None where nobody has rated."""
    return rating_sum / rating_count if rating_count else None


@dataclass(frozen=True, slots=True)
class Standing:
    rating_sum: int = 0
    rating_count: int = 0
    subscribers: int = 0
    requests: int = 0
    """That the API had to answer, over `MEASURED_OVER`."""
    faults: int = 0
    """Of these, what failed by the API's fault."""
    p95_us: int | None = None

    @property
    def rating(self) -> float:
        """Bayesian average, 1 to 5."""
        total = self.rating_sum + PRIOR_STARS * PRIOR_REVIEWS
        return total / (self.rating_count + PRIOR_REVIEWS)

    @property
    def stars(self) -> float | None:
        """The plain average that people read."""
        return stars_of(self.rating_sum, self.rating_count)

    @property
    def success_rate(self) -> float | None:
        return 1 - self.faults / self.requests if self.requests else None


def quality(standing: Standing, updated_at: datetime, now: datetime) -> float:
    """0 to 1: the weighted sum of `WEIGHTS`, each part itself 0 to 1. docs/marketplace.md has the formula."""
    p95_ms = USUAL_P95_MS if standing.p95_us is None else standing.p95_us / 1000
    parts = {
        "rating": (standing.rating - 1) / 4,
        "subscribers": min(math.log1p(standing.subscribers) / math.log1p(MANY_SUBSCRIBERS), 1.0),
        "success": 1 - standing.faults / (standing.requests + PRIOR_CALLS),
        "latency": 1 / (1 + p95_ms / USUAL_P95_MS),
        "freshness": math.pow(0.5, max(now - updated_at, timedelta(0)) / HALF_LIFE),
    }
    return sum(WEIGHTS[name] * part for name, part in parts.items())


@dataclass(frozen=True, slots=True)
class Card:
    """One row of the catalogue."""

    listing: Listing
    standing: Standing
    quality: float
    changed: int
    """The number of its last change in the catalogue; every change has a number of its own, and later ones a higher."""


TIERS = 16
_PLACES_IN_A_TIER = 1 << 40


def place_of(quality: float, number: int) -> int:
    """Where a listing stands in the index of words, whose entries are looked through from the lowest place on: better
    ones first, in `TIERS` steps. `number` tells listings apart."""
    tier = min(int((1 - quality) * TIERS), TIERS - 1)
    return max(tier, 0) * _PLACES_IN_A_TIER + number
