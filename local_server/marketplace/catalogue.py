"""Answers questions about the catalogue. Everything here is public, and read-only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from local_server.domain.catalogue import MEASURED_OVER, Card, ListingTexts, Standing
from local_server.domain.catalogue_search import (
    CANDIDATES,
    Facets,
    Filters,
    Mark,
    Sort,
    behind,
    cursor_of,
    facets_of,
    mark_of,
    ranked,
    words_of,
)
from local_server.domain.executions import CallOutcome
from local_server.domain.histogram import percentile_us
from local_server.domain.ids import ApiId
from local_server.domain.market_errors import ListingNotFound
from local_server.domain.plans import Plan
from local_server.domain.reviews import ReviewSummary
from local_server.domain.usage import Step, Tally
from local_server.domain.versions import ApiVersion
from local_server.storage.base import ReadTx, Storage
from local_server.storage.market import CatalogueSearch, Change, Removal
from local_server.system import System

SHOWN_VERSIONS = 20
LOOKED_AT = 100
"""Of the newest versions; some of them may have been yanked."""


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    filters: Filters
    sort: Sort
    limit: int
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Found:
    cards: Sequence[Card]
    total: int
    """Of those that were counted."""
    complete: bool
    """Whether that is all; False: there are more than were counted."""
    facets: Facets
    next: str | None


@dataclass(frozen=True, slots=True)
class Measured:
    """What the last 30 days' calls say."""

    requests: int
    """Without what the gateway refused."""
    success_rate: float | None
    uptime: float | None
    """Share of calls that found the API running."""
    p50_us: float | None
    p95_us: float | None


@dataclass(frozen=True, slots=True)
class Detail:
    card: Card
    texts: ListingTexts
    plans: Sequence[Plan]
    reviews: ReviewSummary
    measured: Measured
    versions: Sequence[ApiVersion]
    """The newest that were not yanked, newest first."""


class Catalogue:
    def __init__(self, storage: Storage, system: System) -> None:
        self._storage = storage
        self._system = system

    @property
    def origin(self) -> str:
        """Which catalogue this is: followers keep it beside the numbers of its changes."""
        return sha256(f"catalogue {self._storage.install_id}".encode()).hexdigest()[:16]

    async def search(self, question: Question) -> Found:
        """Raises CursorRefused."""
        mark = mark_of(question.cursor, question.sort) if question.cursor is not None else None
        return await self._storage.read(lambda tx: found_in(tx.catalogue, question, mark))

    async def detail(self, owner: str, slug: str) -> Detail:
        """Of an unlisted one too. Raises ListingNotFound."""
        since = self._system.now() - MEASURED_OVER
        return await self._storage.read(lambda tx: _detail(tx, owner, slug, since))

    async def card(self, owner: str, slug: str) -> Card:
        """Raises ListingNotFound."""
        return await self._storage.read(lambda tx: card_of(tx, owner, slug))

    async def plans(self, owner: str, slug: str) -> Sequence[Plan]:
        """Raises ListingNotFound."""
        return await self._storage.read(lambda tx: tx.plans.offered(card_of(tx, owner, slug).listing.api_id))

    async def categories(self) -> Mapping[str, int]:
        return await self._storage.read(lambda tx: tx.catalogue.categories())

    async def tags(self) -> Mapping[str, int]:
        return await self._storage.read(lambda tx: tx.catalogue.tags())

    async def changes(self, since: int, limit: int) -> tuple[Sequence[Change | Removal], int]:
        """(what changed after `since`, the number of the newest change there is)"""
        return await self._storage.read(lambda tx: (tx.catalogue.changes(since, limit), tx.catalogue.latest_change()))


def card_of(tx: ReadTx, owner: str, slug: str) -> Card:
    """Raises ListingNotFound."""
    card = tx.catalogue.card_by_name(owner, slug)
    if card is None:
        raise ListingNotFound(f"{owner}/{slug}")
    return card


def found_in(listings: CatalogueSearch, question: Question, mark: Mark | None) -> Found:
    words = words_of(question.text)
    candidates = listings.candidates(question.text, question.filters, CANDIDATES)
    complete = len(candidates) < CANDIDATES
    facets = facets_of(candidates)
    if words:
        page = behind(ranked(candidates, words, question.sort), mark, question.sort)
        cards = listings.cards([candidate.api_id for _, candidate in page[: question.limit]])
        more = page[question.limit - 1][0] if len(page) > question.limit else None
    else:
        # Without words all there is can be paged through, beyond what is counted.
        rows = listings.browse(question.sort, question.filters, question.limit + 1, mark)
        cards = [card for _, card in rows[: question.limit]]
        more = rows[question.limit - 1][0] if len(rows) > question.limit else None
    following = cursor_of(question.sort, more) if more is not None else None
    return Found(cards, len(candidates), complete, facets, following)


def _detail(tx: ReadTx, owner: str, slug: str, since: datetime) -> Detail:
    card = card_of(tx, owner, slug)
    api_id = card.listing.api_id
    return Detail(
        card,
        tx.catalogue.texts(api_id) or ListingTexts("", ()),
        tx.plans.offered(api_id),
        tx.reviews.summary(api_id),
        measured(tally_of(tx, api_id, since)),
        [version for version in tx.versions.of_api(api_id, LOOKED_AT) if not version.is_yanked][:SHOWN_VERSIONS],
    )


def tally_of(tx: ReadTx, api_id: ApiId, since: datetime) -> Tally:
    total = Tally()
    for rollup in tx.usage.rollups(api_id, Step.DAY, since):
        total.add(rollup.tally)
    return total


def measured(tally: Tally) -> Measured:
    asked = answerable(tally)
    absent = tally.outcomes.get(CallOutcome.UNAVAILABLE, 0) + tally.outcomes.get(CallOutcome.UPSTREAM_FAILED, 0)
    return Measured(
        requests=asked,
        success_rate=1 - tally.errors / asked if asked else None,
        uptime=1 - absent / asked if asked else None,
        p50_us=percentile_us(tally.latencies, 0.5),
        p95_us=percentile_us(tally.latencies, 0.95),
    )


def answerable(tally: Tally) -> int:
    return tally.requests - tally.outcomes.get(CallOutcome.REFUSED, 0)


def measured_standing(standing: Standing, tally: Tally) -> Standing:
    """The standing with what was measured put into it."""
    p95_us = percentile_us(tally.latencies, 0.95)
    return Standing(
        standing.rating_sum,
        standing.rating_count,
        standing.subscribers,
        answerable(tally),
        tally.errors,
        None if p95_us is None else round(p95_us),
    )
