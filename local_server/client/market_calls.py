"""The calls of the marketplace, described as in calls.py. `name` is owner/slug."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from local_server.client.calls import ROOT, Call, once


def listing_path(name: str, act: str = "") -> str:
    """Everything that could end the path is escaped; the slash of owner/slug stays."""
    return f"{ROOT}/marketplace/apis/{quote(name, safe='/')}{act}"


Filter = str | int | float | Sequence[str] | None


def search(query: str = "", **filters: Filter) -> Call:
    """Filters are those of the route: `category`, `tag` (one or several), `free`, `sort`, `limit`, `after` ..."""
    given = {key: value for key, value in {"q": query, **filters}.items() if value is not None and value != ""}
    asked = urlencode(given, doseq=True)
    path = f"{ROOT}/marketplace/apis"
    return Call("GET", f"{path}?{asked}" if asked else path, "market:SearchView")


def market_search(query: str = "", **filters: Filter) -> Call:
    """In the copy of a marketplace's catalogue: filters are those of `search`, and `remote` and `offline`."""
    given = {key: value for key, value in {"q": query, **filters}.items() if value is not None and value != ""}
    asked = urlencode(given, doseq=True)
    path = f"{ROOT}/market/search"
    return Call("GET", f"{path}?{asked}" if asked else path, "market:MarketSearchView")


def catalogue_copies() -> Call:
    return Call("GET", f"{ROOT}/market/copies", "market:CatalogueCopyView", many=True)


def copy_catalogue(remote: str | None = None) -> Call:
    return Call("POST", f"{ROOT}/market/copies", "market:CatalogueCopyView", body={"remote": remote})


def forget_catalogue(remote: str) -> Call:
    return Call("DELETE", f"{ROOT}/market/copies?{urlencode({'remote': remote})}")


def listing(name: str) -> Call:
    return Call("GET", listing_path(name), "market:ListingView")


def catalogue(since: int = 0) -> Call:
    """What changed of the public catalogue after `since`, a page of it."""
    return Call("GET", f"{ROOT}/marketplace/catalogue?{urlencode({'since': since})}", "market:CatalogueFeed")


def reviews(name: str, limit: int = 20, after: str | None = None) -> Call:
    asked = urlencode({"limit": limit} | ({"after": after} if after is not None else {}))
    return Call("GET", f"{listing_path(name, '/reviews')}?{asked}", "market:ReviewsView")


def published(name: str) -> Call:
    """Its versions, as those see them who exchange some."""
    return Call("GET", f"{ROOT}/sync/apis/{quote(name, safe='/')}", "sync:PublishedApiView")


def write_review(name: str, body: Mapping[str, Any]) -> Call:
    return Call("PUT", listing_path(name, "/reviews"), "market:ReviewView", body=body)


def remove_review(name: str) -> Call:
    """The caller's own."""
    return Call("DELETE", listing_path(name, "/reviews"))


def answer_review(name: str, reviewer: str, body: Mapping[str, Any]) -> Call:
    """Of an API of the caller's; empty text takes the answer back."""
    path = listing_path(name, f"/reviews/{quote(reviewer, safe='')}/answer")
    return Call("PUT", path, "market:ReviewView", body=body)


def subscribe(name: str, body: Mapping[str, Any], idempotency_key: str | None = None) -> Call:
    path = listing_path(name, "/subscribe")
    return Call("POST", path, "market:NewSubscriptionView", body=body, headers=once(idempotency_key))


def subscriptions() -> Call:
    return Call("GET", f"{ROOT}/subscriptions", "market:SubscriptionView", many=True)


def usage() -> Call:
    return Call("GET", f"{ROOT}/usage", "market:SubscriptionView", many=True)


def change_subscription(subscription_id: str, body: Mapping[str, Any]) -> Call:
    path = f"{ROOT}/subscriptions/{quote(subscription_id, safe='')}"
    return Call("PATCH", path, "market:SubscriptionView", body=body)


def cancel_subscription(subscription_id: str, when: str) -> Call:
    path = f"{ROOT}/subscriptions/{quote(subscription_id, safe='')}/cancel"
    return Call("POST", path, "market:SubscriptionView", body={"when": when})


def plans(name: str) -> Call:
    return Call("GET", f"{ROOT}/apis/{quote(name, safe='/@')}/plans", "market:WrittenPlanView", many=True)


def subscribers(name: str) -> Call:
    return Call("GET", f"{ROOT}/apis/{quote(name, safe='/@')}/subscribers", "market:UsageRow", many=True)
