"""The marketplace's wire models as typed JSON documents: see documents.py."""

from typing import NotRequired, TypedDict


class ListingCardDocument(TypedDict):
    id: str
    name: str
    owner: str
    slug: str
    summary: str
    tags: list[str]
    category: str
    runtime: str
    version: str
    visibility: str
    free: bool
    price_from: str | None
    rating: float | None
    reviews: int
    subscribers: int
    requests: int
    success_rate: float | None
    p95_ms: float | None
    quality: float
    published_at: str
    updated_at: str


class FacetDocument(TypedDict):
    value: str
    count: int


class SearchDocument(TypedDict):
    apis: list[ListingCardDocument]
    total: int
    complete: bool
    facets: dict[str, list[FacetDocument]]
    next: str | None


class CatalogueCopyDocument(TypedDict):
    remote: str
    listings: int
    whole: bool
    checked_at: str | None
    age_s: float | None
    refreshing: bool
    trouble: str | None


class MarketSearchDocument(SearchDocument):
    live: bool
    copied: CatalogueCopyDocument


class EndpointDocument(TypedDict):
    method: str
    path: str
    summary: str


class PlanDocument(TypedDict):
    code: str
    version: int
    price: str
    price_minor: int
    currency: str
    interval: str
    quota: str | None
    overage: str
    overage_price: str | None
    since: str


class WrittenPlanDocument(TypedDict):
    code: str
    price: str
    price_minor: int
    quota: str | None
    overage: str
    overage_price: str | None


class MeasuredDocument(TypedDict):
    requests: int
    success_rate: float | None
    uptime: float | None
    p50_ms: float | None
    p95_ms: float | None


class ReviewSummaryDocument(TypedDict):
    count: int
    average: float | None
    by_stars: dict[str, int]


class ListedVersionDocument(TypedDict):
    version: str
    published_at: str
    deprecated_at: str | None
    sunset_at: str | None


class ListingDocument(TypedDict):
    api: ListingCardDocument
    readme: str
    endpoints: list[EndpointDocument]
    plans: list[PlanDocument]
    measured: MeasuredDocument
    reviews: ReviewSummaryDocument
    versions: list[ListedVersionDocument]
    """Servers of before do not say."""


class ReviewDocument(TypedDict):
    reviewer: str
    rating: int
    text: str
    created_at: str
    updated_at: str
    answer: str | None
    answered_at: str | None


class ReviewsDocument(TypedDict):
    summary: ReviewSummaryDocument
    reviews: list[ReviewDocument]
    next: str | None


class WriteReviewDocument(TypedDict):
    rating: int
    text: str


class SubscribeDocument(TypedDict):
    plan: str | None
    spend_cap_minor: int | None


class MeteredDocument(TypedDict):
    used: int
    quota_used: int
    quota_left: int | None
    quota_resets_at: str | None
    beyond: int
    base: str
    overage: str
    cost: str
    cost_minor: int


class SubscriptionDocument(TypedDict):
    id: str
    api: str
    subscriber: str
    plan: PlanDocument
    state: str
    period_start: str
    period_end: str
    cancel_at_end: bool
    next_plan: str | None
    spend_cap_minor: int | None
    usage: MeteredDocument
    created_at: str
    ended_at: str | None
    row_version: int
    key_id: NotRequired[str | None]
    """Servers of before do not say."""


class NewSubscriptionDocument(TypedDict):
    subscription: SubscriptionDocument
    key: str | None
    key_id: str | None


class UsageRowDocument(TypedDict):
    subscriber: str
    subscription: str
    plan: str
    state: str
    used: int
    beyond: int
    cost: str
    period_start: str
    period_end: str


class CatalogueChangeDocument(TypedDict):
    id: str
    changed: int
    api: ListingCardDocument | None
    paths: list[str]


class CatalogueDocument(TypedDict):
    changes: list[CatalogueChangeDocument]
    next: int
    complete: bool
    origin: str
