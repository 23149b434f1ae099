"""The marketplace over HTTP. What is needed of the rest of the server comes in as `MarketPorts`."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from local_server.accounts.routes import address_of
from local_server.domain.accounts import Caller
from local_server.domain.catalogue_search import Filters, Sort
from local_server.domain.registry import Api
from local_server.marketplace import views
from local_server.marketplace.catalogue import Catalogue, Question
from local_server.marketplace.copies import Copies
from local_server.marketplace.reviews import Reviews
from local_server.marketplace.subscriptions import Change, Subscriptions, Wish
from local_server.storage import market as storage_market
from local_server.wire import market as wire

Changed = storage_market.Change | storage_market.Removal

PAGE, LARGEST_PAGE = 20, 100
MAX_TAGS = 10
FEED_PAGE = 1_000
GZIP_LEVEL = 4


@dataclass(frozen=True, slots=True)
class Market:
    """The services of the marketplace."""

    catalogue: Catalogue
    reviews: Reviews
    subscriptions: Subscriptions
    copies: Copies


@dataclass(frozen=True, slots=True)
class MarketPorts:
    market: Callable[[Request], Market]
    caller: Callable[[Request], Caller]
    """Who was let in."""
    find: Callable[[Request, str], Awaitable[Api]]
    """An API of the caller's. Raises ApiNotFound."""


class SearchQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    q: str = Field("", max_length=300, description="Words, each by its beginning; none: everything.")
    category: str | None = Field(None, max_length=64)
    tag: list[Annotated[str, Field(max_length=64)]] = Field([], max_length=MAX_TAGS, description="All of them.")
    runtime: str | None = Field(None, max_length=64)
    owner: str | None = Field(None, max_length=64)
    free: bool | None = Field(None, description="true: only what can be used without paying; false: only the others.")
    min_rating: float | None = Field(None, ge=1, le=5)
    sort: Sort = Sort.BEST
    limit: int = Field(PAGE, ge=1, le=LARGEST_PAGE)
    after: str | None = Field(None, max_length=400, description="The `next` of the page before.")

    def question(self) -> Question:
        filters = Filters(self.category, tuple(self.tag), self.runtime, self.free, self.min_rating, self.owner)
        return Question(self.q, filters, self.sort, self.limit, self.after)


class MarketQuery(SearchQuery):
    remote: str | None = Field(
        None, max_length=300, description="Its URL. None: that of the setting, else the only one that is logged in to."
    )
    offline: bool = Field(False, description="Ask nobody, also where there is no whole copy yet.")


def make_routers(ports: MarketPorts) -> tuple[APIRouter, APIRouter]:
    """(needs no token, needs one), both below `/api/v1`."""
    open_router = APIRouter(prefix="/api/v1", tags=["marketplace"])
    router = APIRouter(prefix="/api/v1", tags=["marketplace"])
    _add_catalogue(open_router, ports)
    _add_listing(open_router, ports)
    _add_reviews(router, ports)
    _add_subscriptions(router, ports)
    _add_copies(router, ports)
    return open_router, router


def _add_catalogue(router: APIRouter, ports: MarketPorts) -> None:
    @router.get("/marketplace/apis")
    async def search_market(request: Request, query: Annotated[SearchQuery, Query()]) -> wire.SearchView:
        """Search the public catalogue, or browse it."""
        return views.search_view(await ports.market(request).catalogue.search(query.question()))

    @router.get("/marketplace/categories")
    async def market_categories(request: Request) -> list[wire.FacetView]:
        """Every category, with how many public APIs are in it, the most first."""
        found = await ports.market(request).catalogue.categories()
        return [wire.FacetView(value=value, count=count) for value, count in found.items()]

    @router.get("/marketplace/tags")
    async def market_tags(request: Request) -> list[wire.FacetView]:
        """Every tag, with how many public APIs have it, the most first."""
        found = await ports.market(request).catalogue.tags()
        return [wire.FacetView(value=value, count=count) for value, count in found.items()]

    @router.get("/marketplace/catalogue", responses={304: {"description": "Nothing has changed since"}})
    async def catalogue_feed(
        request: Request,
        since: int = Query(0, ge=0, le=2**62),
        limit: int = Query(FEED_PAGE, ge=1, le=FEED_PAGE),
        if_none_match: Annotated[str | None, Header()] = None,
        accept_encoding: Annotated[str, Header(include_in_schema=False)] = "",
    ) -> wire.CatalogueFeed:
        """What changed of the public catalogue after `since`, in order: from 0 on, all of it. For a copy that is
        searched without a network."""
        catalogue = ports.market(request).catalogue
        changes, newest = await catalogue.changes(since, limit)
        tag = f'"{catalogue.origin}-{since}-{limit}-{newest}"'
        if if_none_match == tag:
            return Response(status_code=304, headers={"ETag": tag})  # type: ignore[return-value]
        complete = len(changes) < limit
        squeezed = "gzip" in accept_encoding
        # A thousand listings are some 25 ms of work, which are not the event loop's.
        content = await asyncio.to_thread(_feed, changes, newest, complete, catalogue.origin, squeezed)
        headers = {"ETag": tag, "Vary": "Accept-Encoding"} | ({"Content-Encoding": "gzip"} if squeezed else {})
        return Response(content, media_type="application/json", headers=headers)  # type: ignore[return-value]


def _feed(changes: Sequence[Changed], newest: int, complete: bool, origin: str, squeezed: bool) -> bytes:
    told = [views.change_view(change) for change in changes]
    going_on = newest if complete else told[-1].changed
    feed = wire.CatalogueFeed(changes=told, next=going_on, complete=complete, origin=origin)
    content = feed.model_dump_json().encode()
    return gzip.compress(content, GZIP_LEVEL) if squeezed else content


def _add_listing(router: APIRouter, ports: MarketPorts) -> None:
    @router.get("/marketplace/apis/{owner}/{slug}")
    async def market_api(request: Request, owner: str, slug: str) -> wire.ListingView:
        """One API: README, endpoints, plans, what 30 days' calls say, and its reviews summed up."""
        return views.detail_view(await ports.market(request).catalogue.detail(owner, slug))

    @router.get("/marketplace/apis/{owner}/{slug}/plans")
    async def market_plans(request: Request, owner: str, slug: str) -> list[wire.PlanView]:
        """What can be subscribed to."""
        return [views.plan_view(plan) for plan in await ports.market(request).catalogue.plans(owner, slug)]

    @router.get("/marketplace/apis/{owner}/{slug}/reviews")
    async def market_reviews(
        request: Request,
        owner: str,
        slug: str,
        limit: int = Query(PAGE, ge=1, le=LARGEST_PAGE),
        after: str | None = Query(None, max_length=200),
    ) -> wire.ReviewsView:
        """Reviews, newest first; `after` is the `next` of the page before."""
        summary, page, more = await ports.market(request).reviews.of(owner, slug, limit, after)
        return wire.ReviewsView(
            summary=views.summary_view(summary), reviews=[views.review_view(one) for one in page], next=more
        )


def _add_reviews(router: APIRouter, ports: MarketPorts) -> None:
    @router.put("/marketplace/apis/{owner}/{slug}/reviews")
    async def write_review(request: Request, owner: str, slug: str, body: wire.WriteReview) -> wire.ReviewView:
        """Write a review, or write yours anew. Only who has called the API by a subscription may."""
        caller, reviews = ports.caller(request), ports.market(request).reviews
        done = await reviews.write(owner, slug, body.rating, body.text, caller, address=address_of(request))
        return views.review_view(done)

    @router.delete("/marketplace/apis/{owner}/{slug}/reviews", status_code=204)
    async def remove_review(request: Request, owner: str, slug: str) -> Response:
        """Take your review back."""
        caller, reviews = ports.caller(request), ports.market(request).reviews
        await reviews.remove(owner, slug, caller, address=address_of(request))
        return Response(status_code=204)

    @router.put("/marketplace/apis/{owner}/{slug}/reviews/{reviewer}/answer")
    async def answer_review(
        request: Request, owner: str, slug: str, reviewer: str, body: wire.AnswerReview
    ) -> wire.ReviewView:
        """Answer a review of an API of yours; empty text takes the answer back."""
        caller, reviews = ports.caller(request), ports.market(request).reviews
        done = await reviews.answer(owner, slug, reviewer, body.text, caller, address=address_of(request))
        return views.review_view(done)


def _add_subscriptions(router: APIRouter, ports: MarketPorts) -> None:
    @router.post("/marketplace/apis/{owner}/{slug}/subscribe", status_code=201)
    async def subscribe(
        request: Request,
        owner: str,
        slug: str,
        body: wire.Subscribe,
        idempotency_key: Annotated[str | None, Header()] = None,
    ) -> wire.NewSubscriptionView:
        """Subscribe, and get the key to call with. This answer is the only one that ever holds it."""
        done = await ports.market(request).subscriptions.subscribe(
            owner,
            slug,
            Wish(body.plan, body.spend_cap_minor),
            ports.caller(request),
            address=address_of(request),
            idempotency_key=idempotency_key,
        )
        view = views.subscription_view(done.standing)
        return wire.NewSubscriptionView(
            subscription=view, key=done.key.text if done.key is not None else None, key_id=done.key_id
        )

    @router.get("/subscriptions")
    async def list_subscriptions(request: Request) -> list[wire.SubscriptionView]:
        """Your subscriptions, newest first, ended ones too, with what was used and what it costs so far."""
        found = await ports.market(request).subscriptions.of(ports.caller(request))
        return [views.subscription_view(standing) for standing in found]

    @router.get("/usage")
    async def list_usage(request: Request) -> list[wire.SubscriptionView]:
        """The same of those that go on: used, left, and cost so far."""
        found = await ports.market(request).subscriptions.of(ports.caller(request))
        return [views.subscription_view(standing) for standing in found if standing.subscription.is_live]

    @router.get("/subscriptions/{subscription}")
    async def get_subscription(request: Request, subscription: str) -> wire.SubscriptionView:
        """One of yours."""
        found = await ports.market(request).subscriptions.get(subscription, ports.caller(request))
        return views.subscription_view(found)

    @router.patch("/subscriptions/{subscription}")
    async def change_subscription(
        request: Request, subscription: str, body: wire.ChangeSubscription
    ) -> wire.SubscriptionView:
        """Change plan or spend cap: for more at once, for less when the period ends."""
        change = Change(body.plan, body.spend_cap_minor, body.keep)
        caller, subscriptions = ports.caller(request), ports.market(request).subscriptions
        return views.subscription_view(
            await subscriptions.change(subscription, change, caller, address=address_of(request))
        )

    @router.post("/subscriptions/{subscription}/cancel")
    async def cancel_subscription(
        request: Request, subscription: str, body: wire.CancelSubscription
    ) -> wire.SubscriptionView:
        """End it when its period ends, or now; its keys end with it."""
        caller, subscriptions = ports.caller(request), ports.market(request).subscriptions
        done = await subscriptions.cancel(subscription, body.when == "now", caller, address=address_of(request))
        return views.subscription_view(done)

    @router.get("/apis/{id:api}/plans")
    async def list_plans(request: Request, id: str) -> list[wire.WrittenPlanView]:
        """The plans in the manifest of an API of yours, in its order. What is offered of them stands in its listing; an
        API without any is offered for nothing, without an end."""
        api = await ports.find(request, id)
        return [views.written_plan_view(terms) for terms in api.manifest.plans]

    @router.get("/apis/{id:api}/subscribers")
    async def list_subscribers(request: Request, id: str) -> list[wire.UsageRow]:
        """Who has subscribed to an API of yours, newest first, and what each used in the present period."""
        api = await ports.find(request, id)
        return [views.usage_row(one) for one in await ports.market(request).subscriptions.of_api(api.id)]


def _add_copies(router: APIRouter, ports: MarketPorts) -> None:
    @router.get("/market/search")
    async def search_copy(request: Request, query: Annotated[MarketQuery, Query()]) -> wire.MarketSearchView:
        """Search a marketplace from the copy of its catalogue that is here, at once and without a network; the copy is
        brought up to date behind that. Where there is no whole copy yet the marketplace itself is asked."""
        asked = [pair for pair in request.query_params.multi_items() if pair[0] not in ("remote", "offline")]
        live = None if query.offline else urlencode(asked)
        return views.market_search_view(await ports.market(request).copies.search(query.remote, query.question(), live))

    @router.get("/market/copies")
    async def list_copies(request: Request) -> list[wire.CatalogueCopyView]:
        """The marketplaces whose catalogues are followed: how much is here, and how old it is."""
        return [views.copy_view(state) for state in await ports.market(request).copies.all()]

    @router.post("/market/copies", status_code=202)
    async def copy_catalogue(request: Request, body: wire.CopyCatalogue) -> wire.CatalogueCopyView:
        """Copy a marketplace's catalogue, or bring the copy up to date; it is followed from then on."""
        return views.copy_view(await ports.market(request).copies.refresh(body.remote))

    @router.delete("/market/copies", status_code=204)
    async def forget_copy(request: Request, remote: Annotated[str, Query(max_length=300)]) -> Response:
        """Forget a copy. One of a marketplace that is logged in to comes again."""
        await ports.market(request).copies.forget(remote)
        return Response(status_code=204)
