"""The marketplace's part of the command line's client."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, cast

from local_server.client import market_calls as calls
from local_server.client.calls import Call

if TYPE_CHECKING:
    from local_server.client import market_documents as doc


class Market(ABC):
    @abstractmethod
    def send(self, call: Call) -> Any: ...

    def search(self, query: str = "", **filters: calls.Filter) -> "doc.SearchDocument":
        return cast("doc.SearchDocument", self.send(calls.search(query, **filters)))

    def market_search(self, query: str = "", **filters: calls.Filter) -> "doc.MarketSearchDocument":
        """In the copy of a marketplace's catalogue that is here: it answers whether the line is up or not."""
        return cast("doc.MarketSearchDocument", self.send(calls.market_search(query, **filters)))

    def catalogue_copies(self) -> "list[doc.CatalogueCopyDocument]":
        return cast("list[doc.CatalogueCopyDocument]", self.send(calls.catalogue_copies()))

    def copy_catalogue(self, remote: str | None = None) -> "doc.CatalogueCopyDocument":
        return cast("doc.CatalogueCopyDocument", self.send(calls.copy_catalogue(remote)))

    def forget_catalogue(self, remote: str) -> None:
        self.send(calls.forget_catalogue(remote))

    def listing(self, name: str) -> "doc.ListingDocument":
        return cast("doc.ListingDocument", self.send(calls.listing(name)))

    def catalogue(self, since: int = 0) -> "doc.CatalogueDocument":
        return cast("doc.CatalogueDocument", self.send(calls.catalogue(since)))

    def reviews(self, name: str, limit: int = 20, after: str | None = None) -> "doc.ReviewsDocument":
        return cast("doc.ReviewsDocument", self.send(calls.reviews(name, limit, after)))

    def write_review(self, name: str, body: "doc.WriteReviewDocument") -> "doc.ReviewDocument":
        return cast("doc.ReviewDocument", self.send(calls.write_review(name, body)))

    def remove_review(self, name: str) -> None:
        self.send(calls.remove_review(name))

    def answer_review(self, name: str, reviewer: str, text: str) -> "doc.ReviewDocument":
        return cast("doc.ReviewDocument", self.send(calls.answer_review(name, reviewer, {"text": text})))

    def subscribe(
        self, name: str, body: "doc.SubscribeDocument", idempotency_key: str | None = None
    ) -> "doc.NewSubscriptionDocument":
        return cast("doc.NewSubscriptionDocument", self.send(calls.subscribe(name, body, idempotency_key)))

    def subscriptions(self) -> "list[doc.SubscriptionDocument]":
        return cast("list[doc.SubscriptionDocument]", self.send(calls.subscriptions()))

    def usage(self) -> "list[doc.SubscriptionDocument]":
        return cast("list[doc.SubscriptionDocument]", self.send(calls.usage()))

    def change_subscription(self, subscription_id: str, body: dict[str, Any]) -> "doc.SubscriptionDocument":
        return cast("doc.SubscriptionDocument", self.send(calls.change_subscription(subscription_id, body)))

    def cancel_subscription(self, subscription_id: str, when: str = "period_end") -> "doc.SubscriptionDocument":
        return cast("doc.SubscriptionDocument", self.send(calls.cancel_subscription(subscription_id, when)))

    def plans(self, name: str) -> "list[doc.WrittenPlanDocument]":
        return cast("list[doc.WrittenPlanDocument]", self.send(calls.plans(name)))

    def subscribers(self, name: str) -> "list[doc.UsageRowDocument]":
        return cast("list[doc.UsageRowDocument]", self.send(calls.subscribers(name)))
