"""The marketplace's part of the asynchronous client."""

from abc import ABC, abstractmethod
from typing import Any

from local_server.client import market_calls as calls
from local_server.client.calls import Call
from local_server.wire.market import (
    AnswerReview,
    CatalogueCopyView,
    CatalogueFeed,
    ChangeSubscription,
    ListingView,
    MarketSearchView,
    NewSubscriptionView,
    ReviewsView,
    ReviewView,
    SearchView,
    Subscribe,
    SubscriptionView,
    UsageRow,
    WriteReview,
    WrittenPlanView,
)
from local_server.wire.sync import PublishedApiView


class AsyncMarket(ABC):
    @abstractmethod
    async def _send(self, call: Call) -> Any: ...

    async def search(self, query: str = "", **filters: calls.Filter) -> SearchView:
        answer: SearchView = await self._send(calls.search(query, **filters))
        return answer

    async def market_search(self, query: str = "", **filters: calls.Filter) -> MarketSearchView:
        """In the copy of a marketplace's catalogue that is here: it answers whether the line is up or not."""
        answer: MarketSearchView = await self._send(calls.market_search(query, **filters))
        return answer

    async def catalogue_copies(self) -> list[CatalogueCopyView]:
        answer: list[CatalogueCopyView] = await self._send(calls.catalogue_copies())
        return answer

    async def copy_catalogue(self, remote: str | None = None) -> CatalogueCopyView:
        answer: CatalogueCopyView = await self._send(calls.copy_catalogue(remote))
        return answer

    async def forget_catalogue(self, remote: str) -> None:
        await self._send(calls.forget_catalogue(remote))

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

    async def remove_review(self, name: str) -> None:
        await self._send(calls.remove_review(name))

    async def answer_review(self, name: str, reviewer: str, body: AnswerReview) -> ReviewView:
        answer: ReviewView = await self._send(calls.answer_review(name, reviewer, body.model_dump(mode="json")))
        return answer

    async def subscribe(self, name: str, body: Subscribe, idempotency_key: str | None = None) -> NewSubscriptionView:
        call = calls.subscribe(name, body.model_dump(mode="json"), idempotency_key)
        answer: NewSubscriptionView = await self._send(call)
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

    async def plans(self, name: str) -> list[WrittenPlanView]:
        answer: list[WrittenPlanView] = await self._send(calls.plans(name))
        return answer

    async def subscribers(self, name: str) -> list[UsageRow]:
        answer: list[UsageRow] = await self._send(calls.subscribers(name))
        return answer
