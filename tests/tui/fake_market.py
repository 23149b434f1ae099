"""A marketplace that is all in memory: a dozen APIs, searched as the real one would, slow or away on demand."""

import asyncio
import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from local_server.client.errors import ApimarketClientError, ServerUnreachableError
from local_server.wire.market import (
    CatalogueCopyView,
    ChangeSubscription,
    EndpointView,
    FacetView,
    ListingCard,
    ListingView,
    MarketSearchView,
    MeasuredView,
    MeteredView,
    NewSubscriptionView,
    PlanView,
    ReviewSummaryView,
    ReviewsView,
    ReviewView,
    SearchView,
    Subscribe,
    SubscriptionView,
    UsageRow,
    WriteReview,
    WrittenPlanView,
)
from local_server.wire.sync import PublishedApiView, RefsView, VersionLineView

NOW = datetime(2026, 3, 14, 12, 1, 9, tzinfo=UTC)
MARKET_URL = "https://market.example"
KEY = "am_4f9QmT2xLr8VwKc0JdYh6BnZs3Ea1GuP"
README = """# Weather

Current weather and a forecast of **ten days** for any place on earth, from the met offices' open data. See the
[documentation](https://weather.example/docs), or begin with `GET /now`.

## Use

```sh
curl -H "X-Api-Key: $KEY" "https://market.example/mara/weather-now/now?q=oslo"
```

* answers in 40 ms, mostly
* metric or imperial: `?units=imperial`
* no tracking

| path | what |
|---|---|
| `/now` | temperature, wind and clouds |
| `/forecast` | ten days, by the hour |

> Data of the last hour are preliminary.
"""


def a_card(name: str, summary: str, **fields: object) -> ListingCard:
    owner, _, slug = name.partition("/")
    values: dict[str, object] = {
        "id": f"api_{slug}",
        "name": name,
        "owner": owner,
        "slug": slug,
        "summary": summary,
        "tags": [],
        "category": "data",
        "runtime": "python",
        "version": "1.4.0",
        "visibility": "public",
        "free": True,
        "price_from": None,
        "rating": 4.6,
        "reviews": 12,
        "subscribers": 132,
        "success_rate": 0.9991,
        "p95_ms": 41.0,
        "quality": 0.7,
        "published_at": NOW - timedelta(days=40),
        "updated_at": NOW - timedelta(days=3),
    }
    return ListingCard.model_validate(values | fields)


def some_cards() -> list[ListingCard]:
    paid = {"free": False, "price_from": "4.50 EUR"}
    return [
        a_card("mara/weather-now", "Current weather and forecasts for any place", tags=["weather", "geo"],
               quality=0.92),
        a_card("mara/tides", "High and low water at 4,000 harbours", tags=["sea", "geo"], rating=4.1, p95_ms=63.0),
        a_card("ivo/fx-rates", "Exchange rates of 170 currencies, by the minute", category="finance", runtime="go",
               tags=["money"], rating=4.9, reviews=210, subscribers=4812, p95_ms=4.2, quality=0.9, **paid),
        a_card("lena/thumbnails", "Images cut, scaled and compressed", category="media", runtime="go", rating=3.4,
               reviews=44, p95_ms=212.0, success_rate=0.971, tags=["images"], quality=0.55, **paid),
        a_card("lena/ocr", "Text out of pictures and scans in 40 languages", category="media", rating=4.0, reviews=7,
               p95_ms=1240.0, tags=["images", "text"], quality=0.6, price_from="9 EUR", free=False),
        a_card("sam/translate", "Between 60 languages", category="language", runtime="node", tags=["text"], rating=4.4,
               reviews=81, subscribers=960, p95_ms=320.0, quality=0.8, **paid),
        a_card("sam/sentiment", "How a text feels, from -1 to 1", category="language", tags=["text"], rating=None,
               reviews=0, subscribers=3, p95_ms=None, success_rate=None, quality=0.35),
        a_card("kim/geocode", "Addresses to coordinates and back", tags=["geo"], runtime="node", rating=4.7, reviews=64,
               subscribers=2210, p95_ms=12.0, quality=0.88),
        a_card("kim/postcodes", "Postcodes of 40 countries", tags=["geo"], rating=3.9, reviews=5, quality=0.5),
        a_card("otto/calendar", "Public holidays and working days", category="time", tags=["dates"], rating=4.2,
               reviews=18, subscribers=301, quality=0.66),
        a_card("otto/timezones", "What time it is there", category="time", tags=["dates", "geo"], rating=4.5,
               reviews=30, runtime="go", p95_ms=2.1, quality=0.74),
        a_card("rae/qr", "QR codes as SVG and PNG", category="media", tags=["images"], rating=4.8, reviews=90,
               subscribers=1500, p95_ms=6.0, quality=0.83),
    ]  # fmt: skip


def some_plans() -> list[PlanView]:
    since = NOW - timedelta(days=90)
    words = {"version": 1, "currency": "EUR", "interval": "month", "since": since}
    free = {"code": "free", "price": "0 EUR/month", "price_minor": 0, "quota": "1000/month", "overage": "block"}
    pro = {"code": "pro", "price": "4.50 EUR/month", "price_minor": 450, "quota": "100000/month", "overage": "bill"}
    return [
        PlanView.model_validate(words | free | {"overage_price": None}),
        PlanView.model_validate(words | pro | {"overage_price": "0.002 EUR"}),
    ]


def some_written_plans() -> list[WrittenPlanView]:
    """What is offered, but for a price that changed, and one plan that is new."""
    written = [WrittenPlanView.model_validate(plan.model_dump()) for plan in some_plans()]
    team = WrittenPlanView(
        code="team", price="49 EUR/month", price_minor=4_900, quota=None, overage="block", overage_price=None
    )
    return [written[0], written[1].model_copy(update={"price": "5.50 EUR/month", "price_minor": 550}), team]


def some_users() -> list[UsageRow]:
    def user(name: str, plan: str, state: str, used: int, beyond: int, cost: str) -> UsageRow:
        return UsageRow(
            subscriber=name,
            subscription=f"sub_{name}",
            plan=plan,
            state=state,
            used=used,
            beyond=beyond,
            cost=cost,
            period_start=NOW - timedelta(days=12),
            period_end=NOW + timedelta(days=18),
        )

    return [
        user("ivo", "pro", "active", 131_400, 31_400, "67.30 EUR"),
        user("kim", "free", "active", 912, 0, "0 EUR"),
        user("lena", "free", "canceled", 14, 0, "0 EUR"),
        user("otto", "pro", "past_due", 2_040, 0, "4.50 EUR"),
    ]


def a_listing(card: ListingCard, **fields: object) -> ListingView:
    values: dict[str, object] = {
        "api": card,
        "readme": README,
        "endpoints": [
            EndpointView(method="GET", path="/now", summary="Weather at a place, now"),
            EndpointView(method="GET", path="/forecast", summary="Ten days by the hour"),
            EndpointView(method="GET", path="/stations/{id}", summary="What one station measured"),
            EndpointView(method="POST", path="/alerts", summary="Be told when it gets windy"),
        ],
        "plans": some_plans(),
        "measured": MeasuredView(requests=412_000, success_rate=0.9991, uptime=0.9998, p50_ms=17.0, p95_ms=41.0),
        "reviews": a_summary(),
    }
    return ListingView.model_validate(values | fields)


def a_summary() -> ReviewSummaryView:
    return ReviewSummaryView(count=12, average=4.6, by_stars={"5": 8, "4": 3, "3": 1, "2": 0, "1": 0})


def a_review(reviewer: str, rating: int, text: str, days: int, answer: str | None = None) -> ReviewView:
    at = NOW - timedelta(days=days)
    return ReviewView(
        reviewer=reviewer,
        rating=rating,
        text=text,
        created_at=at,
        updated_at=at,
        answer=answer,
        answered_at=at if answer is not None else None,
    )


def some_reviews() -> ReviewsView:
    said = [
        a_review("ivo", 5, "Does what it says, and fast. We call it 40,000 times a day from three countries and have"
                 " seen one minute of trouble in a year.", 2),
        a_review("kim", 3, "Good data, but stations in the far north are missing.", 9, "They come in April."),
        a_review("otto", 5, "", 30),
    ]  # fmt: skip
    return ReviewsView(summary=a_summary(), reviews=said, next=None)


def some_versions(name: str) -> PublishedApiView:
    owner, _, slug = name.partition("/")
    yanked = {"1.3.2": "leaks memory"}
    lines = [
        VersionLineView(
            id=f"{number:064x}",
            semver=semver,
            tree=f"{number * 2654435761 % 2**32:08x}" * 8,
            parents=[],
            published_at=NOW - timedelta(days=3 + 20 * number),
            yanked=yanked.get(semver),
        )
        for number, semver in enumerate(("1.4.0", "1.3.2", "1.3.1", "1.0.0"))
    ]
    refs = RefsView(
        id=f"api_{slug}",
        owner=owner,
        slug=slug,
        head=None,
        head_rev=4,
        visibility="public",
        visibility_rev=1,
        yanked=yanked,
        yanked_rev=1,
    )
    return PublishedApiView(refs=refs, versions=lines)


class Remote:
    """What a marketplace holds, and how it behaves; tests change it."""

    def __init__(self, cards: list[ListingCard] | None = None) -> None:
        self.cards = some_cards() if cards is None else cards
        self.readme = README
        self.down = False
        self.refusals: dict[str, ApimarketClientError] = {}
        self.gates: dict[str, asyncio.Event] = {}
        """By the words that are searched: the answer waits for it."""
        self.searched: list[str] = []
        self.subscribed: list[tuple[str, Subscribe]] = []
        self.once: list[str | None] = []
        self.rotated: list[tuple[str, str | None]] = []
        """The Idempotency-Key that each of them had."""
        self.reviews = some_reviews()
        self.subscriptions = some_subscriptions()
        self.users = some_users()
        self.changed: list[tuple[str, dict[str, object]]] = []
        """What was asked to become of subscriptions."""
        self.page = 100
        self.copied: dict[str, object] = {}
        """What the copy of it says of itself, where that is not that it is whole and new."""
        self.live = False
        """Whether there is no copy, and it is asked itself."""
        self.copies_searched: list[str] = []
        self.copy_gates: dict[str, asyncio.Event] = {}


class FakeMarket:
    """The market calls of a server."""

    url: str

    def __init__(self, remote: Remote) -> None:
        self.remote = remote

    async def _asked(self, method: str) -> None:
        await asyncio.sleep(0)
        if self.remote.down:
            raise ServerUnreachableError(self.url, "connection refused")
        if method in self.remote.refusals:
            raise self.remote.refusals[method]

    async def search(self, query: str = "", **filters: str | int | float | None) -> SearchView:
        self.remote.searched.append(query)
        if query in self.remote.gates:
            await self.remote.gates[query].wait()
        await self._asked("search")
        return _page(self.remote, query, filters)

    async def listing(self, name: str) -> ListingView:
        await self._asked("listing")
        card = next((card for card in self.remote.cards if card.name == name), None)
        if card is None:
            raise ApimarketClientError(f"There is no {name}", code="not_listed", status=404, title="No such API")
        return a_listing(card, readme=self.remote.readme)

    async def reviews(self, name: str, limit: int = 20, after: str | None = None) -> ReviewsView:
        await self._asked("reviews")
        return self.remote.reviews

    async def subscriptions(self) -> list[SubscriptionView]:
        await self._asked("subscriptions")
        return self.remote.subscriptions

    async def subscribers(self, name: str) -> list[UsageRow]:
        await self._asked("subscribers")
        return self.remote.users

    async def change_subscription(self, subscription_id: str, body: ChangeSubscription) -> SubscriptionView:
        await self._asked("change_subscription")
        self.remote.changed.append((subscription_id, body.model_dump(exclude_unset=True)))
        if body.keep:
            return self._now(subscription_id, cancel_at_end=False, next_plan=None)
        return self._now(subscription_id, next_plan=body.plan)

    async def cancel_subscription(self, subscription_id: str, when: str = "period_end") -> SubscriptionView:
        await self._asked("cancel_subscription")
        self.remote.changed.append((subscription_id, {"cancel": when}))
        return self._now(subscription_id, cancel_at_end=True)

    def _now(self, subscription_id: str, **fields: object) -> SubscriptionView:
        known = self.remote.subscriptions
        index = next(index for index, one in enumerate(known) if one.id == subscription_id)
        known[index] = known[index].model_copy(update=fields)
        return known[index]

    async def write_review(self, name: str, body: WriteReview) -> ReviewView:
        await self._asked("write_review")
        written = a_review("ana", body.rating, body.text, 0)
        self._say([written])
        return written

    async def remove_review(self, name: str) -> None:
        await self._asked("remove_review")
        self._say([])

    def _say(self, own: list[ReviewView]) -> None:
        others = [one for one in self.remote.reviews.reviews if one.reviewer != "ana"]
        self.remote.reviews = self.remote.reviews.model_copy(update={"reviews": [*own, *others]})

    async def published(self, name: str) -> PublishedApiView:
        await self._asked("published")
        return some_versions(name)

    async def subscribe(self, name: str, body: Subscribe, idempotency_key: str | None = None) -> NewSubscriptionView:
        again = idempotency_key in self.remote.once
        self.remote.subscribed.append((name, body))
        self.remote.once.append(idempotency_key)
        await self._asked("subscribe")
        plan = next(plan for plan in some_plans() if plan.code == body.plan)
        return NewSubscriptionView(subscription=a_subscription(name, plan), key=None if again else KEY, key_id="key_1")


def search_copy(
    remote: Remote, url: str, query: str, filters: Mapping[str, str | int | float | None]
) -> MarketSearchView:
    """As the server answers from its copy, whether the marketplace is up or not."""
    copied: dict[str, object] = {
        "remote": url,
        "listings": len(remote.cards),
        "whole": not remote.live,
        "checked_at": NOW,
        "age_s": 0.0,
        "refreshing": False,
        "trouble": f"The server at {url} does not answer: connection refused" if remote.down else None,
    }
    view = CatalogueCopyView.model_validate(copied | remote.copied)
    return MarketSearchView(**_page(remote, query, filters).model_dump(), live=remote.live, copied=view)


def _page(remote: Remote, query: str, filters: Mapping[str, str | int | float | None]) -> SearchView:
    found = [card for card in remote.cards if _matches(card, query, filters)]
    found.sort(key=lambda card: _order(card, str(filters.get("sort") or "best")))
    start = int(filters.get("after") or 0)
    end = start + remote.page
    facets = {
        "category": Counter(card.category for card in found),
        "tag": Counter(tag for card in found for tag in card.tags),
        "runtime": Counter(card.runtime for card in found),
        "price": Counter("free" if card.free else "paid" for card in found),
        "rating": Counter(stars for card in found for stars in "432" if (card.rating or 0) >= int(stars)),
    }
    return SearchView(
        apis=found[start:end],
        total=len(found),
        complete=True,
        facets={
            name: [FacetView(value=value, count=count) for value, count in counts.most_common(12)]
            for name, counts in facets.items()
        },
        next=str(end) if end < len(found) else None,
    )


def _matches(card: ListingCard, query: str, filters: Mapping[str, str | int | float | None]) -> bool:
    """Every word by its beginning."""
    text = re.sub(r"[\W_]+", " ", f" {card.name} {card.category} {' '.join(card.tags)} {card.summary}".casefold())
    free = {"true": True, "false": False}.get(str(filters.get("free")))
    return (
        all(f" {word}" in text for word in query.casefold().split())
        and filters.get("category") in (None, card.category)
        and filters.get("runtime") in (None, card.runtime)
        and (filters.get("tag") is None or filters["tag"] in card.tags)
        and free in (None, card.free)
        and (card.rating or 0.0) >= float(filters.get("min_rating") or 0)
    )


def _order(card: ListingCard, sort: str) -> tuple[float, str, str]:
    firsts = {
        "best": -card.quality,
        "rating": -(card.rating or 0.0),
        "subscribers": -card.subscribers,
        "newest": -card.published_at.timestamp(),
        "name": 0.0,
    }
    return (firsts[sort], card.slug, card.name)


def a_subscription(name: str, plan: PlanView, **fields: object) -> SubscriptionView:
    usage = MeteredView(used=0, quota_used=0, quota_left=1000, quota_resets_at=None, beyond=0, base="0 EUR",
                        overage="0 EUR", cost="0 EUR", cost_minor=0)  # fmt: skip
    values: dict[str, object] = {
        "id": "sub_1",
        "api": name,
        "subscriber": "ana",
        "plan": plan,
        "state": "active",
        "period_start": NOW,
        "period_end": NOW + timedelta(days=30),
        "cancel_at_end": False,
        "next_plan": None,
        "spend_cap_minor": None,
        "usage": usage,
        "created_at": NOW,
        "ended_at": None,
        "row_version": 1,
    }
    return SubscriptionView.model_validate(values | fields)


def some_subscriptions() -> list[SubscriptionView]:
    free, pro = some_plans()
    month_end = NOW + timedelta(days=17)
    busy = MeteredView(
        used=112_400, quota_used=100_000, quota_left=0, quota_resets_at=month_end, beyond=12_400,
        base="4.50 EUR", overage="24.80 EUR", cost="29.30 EUR", cost_minor=2930,
    )  # fmt: skip
    some = MeteredView(
        used=214, quota_used=214, quota_left=786, quota_resets_at=month_end, beyond=0,
        base="0 EUR", overage="0 EUR", cost="0 EUR", cost_minor=0,
    )  # fmt: skip
    return [
        a_subscription("mara/weather-now", free, id="sub_1", usage=some, period_end=NOW + timedelta(days=12)),
        a_subscription("rae/qr", free, id="sub_4", state="canceled", ended_at=NOW - timedelta(days=40)),
        a_subscription("ivo/fx-rates", pro, id="sub_2", usage=busy, spend_cap_minor=5050, next_plan="free"),
        a_subscription("kim/geocode", pro, id="sub_3", cancel_at_end=True, period_end=NOW + timedelta(days=3)),
    ]
