"""The catalogue, plans, reviews and subscriptions on the wire. Texts that strangers wrote are text: whoever shows them
takes out what would steer a terminal or a page."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ListingCard(BaseModel):
    """One API of the catalogue, in a row."""

    id: str
    name: str
    """owner/slug"""
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
    """The least that a month costs: `4.50 EUR`."""
    rating: float | None
    """Average of the stars; None without reviews."""
    reviews: int
    subscribers: int
    requests: int = 0
    """Calls of 30 days that it had to answer."""
    success_rate: float | None
    """Share of these that did not fail by the API's fault."""
    p95_ms: float | None
    quality: float
    """0 to 1."""
    published_at: datetime
    updated_at: datetime


class FacetView(BaseModel):
    value: str
    count: int


class SearchView(BaseModel):
    """GET /api/v1/marketplace/apis"""

    apis: list[ListingCard]
    total: int
    """How many match, of those that were counted."""
    complete: bool
    """False: more match than were counted and ranked; these are the best of them."""
    facets: dict[str, list[FacetView]]
    """category, tag, runtime, price, rating (so many stars and more): what would narrow it down, the most first."""
    next: str | None
    """Ask again with this as `after`; None at the end."""


class EndpointView(BaseModel):
    method: str
    path: str
    summary: str


class PlanView(BaseModel):
    code: str
    version: int
    price: str
    """`4.50 EUR/month`"""
    price_minor: int
    currency: str
    interval: str
    """month, year"""
    quota: str | None
    """`1000/month`; None: no end"""
    overage: str
    """block, bill"""
    overage_price: str | None
    """Of each request beyond the quota: `0.002 EUR`."""
    since: datetime


class WrittenPlanView(BaseModel):
    """A plan as `apimarket.toml` has it: what a published version offers may differ."""

    code: str
    price: str
    """`4.50 EUR/month`"""
    price_minor: int
    quota: str | None
    """`1000/month`; None: no end"""
    overage: str
    """block, bill"""
    overage_price: str | None
    """Of each request beyond the quota: `0.002 EUR`."""


class MeasuredView(BaseModel):
    """The last 30 days' calls."""

    requests: int
    success_rate: float | None
    uptime: float | None
    p50_ms: float | None
    p95_ms: float | None


class ReviewSummaryView(BaseModel):
    count: int
    average: float | None
    by_stars: dict[str, int]


class ListedVersionView(BaseModel):
    version: str
    published_at: datetime
    deprecated_at: datetime | None
    sunset_at: datetime | None
    """From then on callers of it are refused."""


class ListingView(BaseModel):
    """GET /api/v1/marketplace/apis/{owner}/{slug}"""

    api: ListingCard
    readme: str
    endpoints: list[EndpointView]
    plans: list[PlanView]
    measured: MeasuredView
    reviews: ReviewSummaryView
    versions: list[ListedVersionView] = Field(default_factory=list)
    """The newest, newest first; none that was yanked."""


class ReviewView(BaseModel):
    reviewer: str
    rating: int
    text: str
    created_at: datetime
    updated_at: datetime
    answer: str | None
    answered_at: datetime | None


class ReviewsView(BaseModel):
    summary: ReviewSummaryView
    reviews: list[ReviewView]
    """Newest first."""
    next: str | None


class WriteReview(BaseModel):
    """PUT /api/v1/marketplace/apis/{owner}/{slug}/reviews"""

    model_config = ConfigDict(extra="forbid")

    rating: int = Field(ge=1, le=5, strict=True)
    text: str = Field(default="", max_length=4000)


class AnswerReview(BaseModel):
    """PUT .../reviews/{reviewer}/answer; empty text takes the answer back."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(max_length=4000)


class Subscribe(BaseModel):
    """POST /api/v1/marketplace/apis/{owner}/{slug}/subscribe"""

    model_config = ConfigDict(extra="forbid")

    plan: str | None = Field(default=None, max_length=100)
    """None: the one that is free, or the only one."""
    spend_cap_minor: int | None = Field(default=None, ge=0, le=10**15, strict=True)
    """What a month may cost at most, in minor units of the plan's currency; calls beyond it are refused."""


class ChangeSubscription(BaseModel):
    """PATCH /api/v1/subscriptions/{subscription}"""

    model_config = ConfigDict(extra="forbid")

    plan: str | None = Field(default=None, max_length=100)
    """For more it changes at once, for less when the period ends."""
    spend_cap_minor: int | None = Field(default=None, ge=0, le=10**15, strict=True)
    keep: bool = False
    """Take back a cancellation, or a change that waits for the period's end."""


class CancelSubscription(BaseModel):
    """POST /api/v1/subscriptions/{subscription}/cancel"""

    model_config = ConfigDict(extra="forbid")

    when: Literal["period_end", "now"] = "period_end"


class MeteredView(BaseModel):
    """What was used in the period, and what it costs so far. A call is counted within seconds."""

    used: int
    """Calls in the period."""
    quota_used: int
    """Calls in the day or month of the quota that is now."""
    quota_left: int | None
    quota_resets_at: datetime | None
    beyond: int
    """Calls beyond the quota that the period is charged for."""
    base: str
    overage: str
    """Exact: `0.006 EUR`."""
    cost: str
    """Both, rounded once."""
    cost_minor: int


class SubscriptionView(BaseModel):
    id: str
    api: str
    subscriber: str
    plan: PlanView
    state: str
    """trialing, active, past_due, paused, canceled, expired"""
    period_start: datetime
    period_end: datetime
    cancel_at_end: bool
    next_plan: str | None
    """The code of the plan it changes to when the period ends."""
    spend_cap_minor: int | None
    usage: MeteredView
    created_at: datetime
    ended_at: datetime | None
    row_version: int
    key_id: str | None = None
    """Of its key in force, to rotate it by, in lists of one's own and when one is asked for."""


class NewSubscriptionView(BaseModel):
    """The only answer that ever holds the key. Sent again with the same Idempotency-Key, `key` is null: it is not
    stored, but can be rotated by `key_id`."""

    subscription: SubscriptionView
    key: str | None
    key_id: str | None


class UsageRow(BaseModel):
    """One subscriber of an API of the caller's."""

    subscriber: str
    subscription: str
    plan: str
    state: str
    used: int
    beyond: int
    cost: str
    period_start: datetime
    period_end: datetime


class CatalogueChange(BaseModel):
    """An API as it is in the public catalogue now, or that it left it: then `api` is null."""

    id: str
    changed: int
    api: ListingCard | None
    paths: list[str] = Field(default_factory=list)
    """Of its endpoints."""


class CatalogueFeed(BaseModel):
    """GET /api/v1/marketplace/catalogue"""

    changes: list[CatalogueChange]
    next: int
    """Ask again with this as `since`."""
    complete: bool
    """Whether that is all there is now."""
    origin: str = ""
    """Which catalogue it is. The numbers of another one mean nothing in this."""


class CatalogueCopyView(BaseModel):
    """A copy of a marketplace's public catalogue, which is searched without a network."""

    remote: str
    listings: int
    whole: bool
    """False: the first copying is not over yet."""
    checked_at: datetime | None
    """When it last was as the marketplace's."""
    age_s: float | None
    refreshing: bool
    trouble: str | None
    """Why the last attempt to bring it up to date failed."""


class CopyCatalogue(BaseModel):
    """POST /api/v1/market/copies"""

    model_config = ConfigDict(extra="forbid")

    remote: str | None = Field(default=None, max_length=300)
    """None: the marketplace of the setting, else the only one that is logged in to."""


class MarketSearchView(SearchView):
    """GET /api/v1/market/search: a marketplace's APIs, from the copy of its catalogue that is here."""

    live: bool
    """True: the marketplace itself answered, since there is no whole copy of it yet."""
    copied: CatalogueCopyView
    """The copy, and how old it is."""
