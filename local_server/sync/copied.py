"""What another server told of its catalogue, as a copy keeps it: pure.

It is a stranger's word. What no catalogue of ours could hold is passed over; what is merely long is cut off.
"""

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from local_server.domain.catalogue import Listing, Standing
from local_server.domain.catalogue_copy import PATHS_CHARS, CopiedChange, CopiedListing, CopiedRemoval
from local_server.domain.ids import ApiId
from local_server.domain.manifest import Visibility
from local_server.domain.money import CURRENCIES, exponent
from local_server.domain.names import SLUG
from local_server.wire.market import CatalogueChange, CatalogueFeed, ListingCard

SUMMARY_CHARS, VERSION_CHARS, MOST_TAGS = 300, 64, 20
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_WORD = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)
_PRICE = re.compile(r"(\d{1,12}(?:\.\d{1,3})?) ([A-Z]{3})", re.ASCII)
_LARGEST = 2**62


def changes_of(feed: CatalogueFeed, since: int) -> Sequence[CopiedChange] | None:
    """Its changes, without those that cannot be; None where their numbers do not go on from `since`."""
    found: list[CopiedChange] = []
    last = since
    for change in feed.changes:
        if not last < change.changed <= feed.next < _LARGEST:
            return None
        last = change.changed
        if (taken := _change(change)) is not None:
            found.append(taken)
    goes_on = feed.next > since if not feed.complete else feed.next >= since
    return found if goes_on else None


def _change(change: CatalogueChange) -> CopiedChange | None:
    if not _ID.fullmatch(change.id):
        return None
    if change.api is None:
        return CopiedRemoval(ApiId(change.id), change.changed)
    listing = _listing(ApiId(change.id), change.api)
    if listing is None:
        # It may have been a proper one before.
        return CopiedRemoval(ApiId(change.id), change.changed)
    return CopiedListing(listing, _standing(change.api), _share(change.api.quality), _paths(change), change.changed)


def _listing(api_id: ApiId, card: ListingCard) -> Listing | None:
    published_at, updated_at = _moment(card.published_at), _moment(card.updated_at)
    named = SLUG.fullmatch(card.owner) and SLUG.fullmatch(card.slug)
    if not named or not _WORD.fullmatch(card.runtime) or published_at is None or updated_at is None:
        return None
    price, currency = _price(card.price_from)
    return Listing(
        api_id=api_id,
        owner=card.owner,
        slug=card.slug,
        summary=card.summary[:SUMMARY_CHARS],
        tags=tuple(tag for tag in card.tags if _WORD.fullmatch(tag))[:MOST_TAGS],
        category=card.category if _WORD.fullmatch(card.category) else "",
        runtime=card.runtime,
        visibility=Visibility.PUBLIC,
        version=card.version[:VERSION_CHARS],
        free=card.free,
        price_from_minor=price,
        currency=currency,
        published_at=published_at,
        updated_at=updated_at,
    )


def _standing(card: ListingCard) -> Standing:
    reviews, requests = _count(card.reviews), _count(card.requests)
    stars = min(max(card.rating or 0.0, 0.0), 5.0) if math.isfinite(card.rating or 0.0) else 0.0
    faults = 0 if card.success_rate is None else round((1 - _share(card.success_rate)) * requests)
    p95_ms = card.p95_ms if card.p95_ms is not None and 0 <= card.p95_ms < 1e9 else None
    p95_us = None if p95_ms is None else round(p95_ms * 1000)
    return Standing(round(stars * reviews), reviews, _count(card.subscribers), requests, faults, p95_us)


def _paths(change: CatalogueChange) -> tuple[str, ...]:
    paths, chars = [], 0
    for path in change.paths:
        chars += len(path) + 1
        if chars > PATHS_CHARS:
            break
        paths.append(path)
    return tuple(paths)


def _count(number: int) -> int:
    return min(max(number, 0), 10**12)


def _share(number: float) -> float:
    return min(max(number, 0.0), 1.0) if math.isfinite(number) else 0.0


def _price(text: str | None) -> tuple[int | None, str]:
    """`4.50 EUR` as minor units and their currency."""
    found = _PRICE.fullmatch(text or "")
    if not found or found[2] not in CURRENCIES:
        return None, ""
    return int(Decimal(found[1]).scaleb(exponent(found[2]))), found[2]


def _moment(at: datetime) -> datetime | None:
    """In UTC; None where that is no time a database holds."""
    if at.tzinfo is None or not 1970 <= at.year < 9000:
        return None
    return at.astimezone(UTC)
