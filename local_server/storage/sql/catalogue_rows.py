"""Listings as rows, and rows as them."""

from typing import Any

from local_server.domain.catalogue import Card, Endpoint, Listing, ListingTexts, Standing, stars_of
from local_server.domain.catalogue_search import Candidate
from local_server.domain.ids import ApiId
from local_server.domain.manifest import Visibility
from local_server.storage.dialect import Dialect
from local_server.storage.sql.connection import Row
from local_server.storage.sql.rows import storable

RATING, QUALITY = 1_000, 1_000_000
"""Ratings are kept in thousandths, quality in millionths."""


def listing_row(dialect: Dialect, listing: Listing) -> dict[str, Any]:
    return {
        "api_id": listing.api_id,
        "owner": listing.owner,
        "slug": listing.slug,
        "summary": storable(listing.summary),
        "tags": storable(" ".join(listing.tags)),
        "category": storable(listing.category),
        "runtime": listing.runtime,
        "visibility": listing.visibility,
        "version": storable(listing.version),
        "free": listing.free,
        "price_from_minor": listing.price_from_minor,
        "currency": listing.currency,
        "published_at": dialect.time(listing.published_at),
        "updated_at": dialect.time(listing.updated_at),
    }


def standing_row(standing: Standing) -> dict[str, Any]:
    return {
        "rating_sum": standing.rating_sum,
        "rating_count": standing.rating_count,
        "rating": round(standing.rating * RATING),
        "subscribers": standing.subscribers,
        "requests": standing.requests,
        "faults": standing.faults,
        "p95_us": standing.p95_us,
    }


def texts_row(dialect: Dialect, texts: ListingTexts) -> dict[str, Any]:
    endpoints = [[one.method, storable(one.path), storable(one.summary)] for one in texts.endpoints]
    return {
        "readme": storable(texts.readme),
        "paths": " ".join(dict.fromkeys(path for _, path, _ in endpoints)),
        "endpoints": dialect.json(endpoints),
    }


def texts_from(dialect: Dialect, row: Row) -> ListingTexts:
    return ListingTexts(row["readme"], tuple(Endpoint(*one) for one in dialect.parsed(row["endpoints"])))


def card_from(dialect: Dialect, row: Row) -> Card:
    listing = Listing(
        api_id=ApiId(row["api_id"]),
        owner=row["owner"],
        slug=row["slug"],
        summary=row["summary"],
        tags=tuple(row["tags"].split()),
        category=row["category"],
        runtime=row["runtime"],
        visibility=Visibility(row["visibility"]),
        version=row["version"],
        free=bool(row["free"]),
        price_from_minor=row["price_from_minor"],
        currency=row["currency"],
        published_at=dialect.moment(row["published_at"]),
        updated_at=dialect.moment(row["updated_at"]),
    )
    standing = Standing(
        row["rating_sum"], row["rating_count"], row["subscribers"], row["requests"], row["faults"], row["p95_us"]
    )
    return Card(listing, standing, row["quality"] / QUALITY, row["changed"])


def candidate_from(dialect: Dialect, row: Row) -> Candidate:
    return Candidate(
        api_id=ApiId(row["api_id"]),
        owner=row["owner"],
        slug=row["slug"],
        summary=row["summary"],
        tags=tuple(row["tags"].split()),
        category=row["category"],
        runtime=row["runtime"],
        free=bool(row["free"]),
        rating=row["rating"] / RATING,
        stars=stars_of(row["rating_sum"], row["rating_count"]),
        subscribers=row["subscribers"],
        quality=row["quality"] / QUALITY,
        published_at=dialect.moment(row["published_at"]),
    )
