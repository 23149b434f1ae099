"""The marketplace's part of the asynchronous client."""

from abc import ABC, abstractmethod
from typing import Any

from local_server.client import market_calls as calls
from local_server.client.calls import Call
from local_server.wire.market import (
    CatalogueFeed,
    ChangeSubscription,
    ListingView,
    NewSubscriptionView,
    ReviewsView,
    ReviewView,
    SearchView,
    Subscribe,
    SubscriptionView,
    UsageRow,
    WriteReview,
)
from local_server.wire.sync import PublishedApiView


class AsyncMarket(ABC):
    @abstractmethod
    async def _send(self, call: Call) -> Any: ...

    async def search(self, query: str = "", **filters: calls.Filter) -> SearchView:
        answer: SearchView = await self._send(calls.search(query, **filters))
        return answer

    async def listing(self, name: str) -> ListingView:
        answer: ListingView = await self._send(calls.listing(name))
        return answer

    async def catalogue(self, since: int = 0) -> CatalogueFeed:
        answer: CatalogueFeed = await self._send(calls.catalogue(since))
        return answer

    async def reviews(self, name: str, limit: int = 20, after: str | None = None) -> ReviewsView:
        answer: ReviewsView = await self._send(calls.reviews(name, limit, after))
        return answer

    async def published(self, name: str) -> PublishedApiView:
        answer: PublishedApiView = await self._send(calls.published(name))
        return answer

    async def write_review(self, name: str, body: WriteReview) -> ReviewView:
        answer: ReviewView = await self._send(calls.write_review(name, body.model_dump(mode="json")))
        return answer

    async def subscribe(self, name: str, body: Subscribe) -> NewSubscriptionView:
        answer: NewSubscriptionView = await self._send(calls.subscribe(name, body.model_dump(mode="json")))
        return answer

    async def subscriptions(self) -> list[SubscriptionView]:
        answer: list[SubscriptionView] = await self._send(calls.subscriptions())
        return answer

    async def usage(self) -> list[SubscriptionView]:
        answer: list[SubscriptionView] = await self._send(calls.usage())
        return answer

    async def change_subscription(self, subscription_id: str, body: ChangeSubscription) -> SubscriptionView:
        document = body.model_dump(mode="json", exclude_unset=True)
        answer: SubscriptionView = await self._send(calls.change_subscription(subscription_id, document))
        return answer

    async def cancel_subscription(self, subscription_id: str, when: str = "period_end") -> SubscriptionView:
        answer: SubscriptionView = await self._send(calls.cancel_subscription(subscription_id, when))
        return answer

    async def subscribers(self, name: str) -> list[UsageRow]:
        answer: list[UsageRow] = await self._send(calls.subscribers(name))
        return answer
