"""The marketplace as outsiders see it."""

from collections.abc import Sequence
from itertools import accumulate

from local_server.domain.catalogue import Card
from local_server.domain.catalogue_copy import PATHS_CHARS
from local_server.domain.catalogue_search import Facets
from local_server.domain.manifest import PlanSpec
from local_server.domain.metering import Charges
from local_server.domain.money import format_minor, format_unit_price
from local_server.domain.plans import Plan
from local_server.domain.reviews import Review, ReviewSummary
from local_server.marketplace.catalogue import Detail, Found
from local_server.marketplace.copies import Answer, CopyState
from local_server.marketplace.subscriptions import Standing
from local_server.storage.market import Change, Removal
from local_server.wire import market as wire


def card_view(card: Card) -> wire.ListingCard:
    listing, standing = card.listing, card.standing
    priced = listing.price_from_minor is not None and listing.currency
    return wire.ListingCard(
        id=listing.api_id,
        name=listing.full_name,
        owner=listing.owner,
        slug=listing.slug,
        summary=listing.summary,
        tags=list(listing.tags),
        category=listing.category,
        runtime=listing.runtime,
        version=listing.version,
        visibility=listing.visibility,
        free=listing.free,
        price_from=format_minor(listing.price_from_minor or 0, listing.currency) if priced else None,
        rating=standing.stars,
        reviews=standing.rating_count,
        subscribers=standing.subscribers,
        requests=standing.requests,
        success_rate=standing.success_rate,
        p95_ms=None if standing.p95_us is None else standing.p95_us / 1000,
        quality=round(card.quality, 6),
        published_at=listing.published_at,
        updated_at=listing.updated_at,
    )


def search_view(found: Found) -> wire.SearchView:
    return wire.SearchView(
        apis=[card_view(card) for card in found.cards],
        total=found.total,
        complete=found.complete,
        facets=_facets(found.facets),
        next=found.next,
    )


def _facets(facets: Facets) -> dict[str, list[wire.FacetView]]:
    return {
        name: [wire.FacetView(value=value, count=count) for value, count in counts.items()]
        for name, counts in facets.items()
    }


def detail_view(detail: Detail) -> wire.ListingView:
    measured = detail.measured
    return wire.ListingView(
        api=card_view(detail.card),
        readme=detail.texts.readme,
        endpoints=[
            wire.EndpointView(method=one.method, path=one.path, summary=one.summary) for one in detail.texts.endpoints
        ],
        plans=[plan_view(plan) for plan in detail.plans],
        measured=wire.MeasuredView(
            requests=measured.requests,
            success_rate=measured.success_rate,
            uptime=measured.uptime,
            p50_ms=_milliseconds(measured.p50_us),
            p95_ms=_milliseconds(measured.p95_us),
        ),
        reviews=summary_view(detail.reviews),
        versions=[
            wire.ListedVersionView(
                version=one.semver,
                published_at=one.created_at,
                deprecated_at=one.deprecated_at,
                sunset_at=one.sunset_at,
            )
            for one in detail.versions
        ],
    )


def _milliseconds(value_us: float | None) -> float | None:
    return None if value_us is None else value_us / 1000


def written_plan_view(terms: PlanSpec) -> wire.WrittenPlanView:
    price = terms.overage_price
    return wire.WrittenPlanView(
        code=terms.code,
        price=f"{format_minor(terms.price_minor, terms.currency)}/{terms.interval}",
        price_minor=terms.price_minor,
        quota=None if terms.quota is None else f"{terms.quota}/{terms.quota_interval}",
        overage=terms.overage,
        overage_price=None if price is None else format_unit_price(price, terms.currency),
    )


def plan_view(plan: Plan) -> wire.PlanView:
    return wire.PlanView(
        version=plan.version,
        currency=plan.terms.currency,
        interval=plan.terms.interval,
        since=plan.created_at,
        **written_plan_view(plan.terms).model_dump(),
    )


def summary_view(summary: ReviewSummary) -> wire.ReviewSummaryView:
    by_stars = {str(stars): count for stars, count in summary.by_stars.items()}
    return wire.ReviewSummaryView(count=summary.count, average=summary.average, by_stars=by_stars)


def review_view(review: Review) -> wire.ReviewView:
    return wire.ReviewView(
        reviewer=review.reviewer,
        rating=review.rating,
        text=review.text,
        created_at=review.created_at,
        updated_at=review.updated_at,
        answer=review.answer,
        answered_at=review.answered_at,
    )


def subscription_view(standing: Standing) -> wire.SubscriptionView:
    one = standing.subscription
    return wire.SubscriptionView(
        id=one.id,
        api=standing.api,
        subscriber=standing.subscriber,
        plan=plan_view(standing.plan),
        state=one.state,
        period_start=one.period_start,
        period_end=one.period_end,
        cancel_at_end=one.cancel_at_end,
        next_plan=standing.next_plan.code if standing.next_plan is not None else None,
        spend_cap_minor=one.spend_cap_minor,
        usage=_metered(standing.charges, standing.plan.terms.currency),
        created_at=one.created_at,
        ended_at=one.ended_at,
        row_version=one.row_version,
        key_id=standing.key_id,
    )


def _metered(charges: Charges, currency: str) -> wire.MeteredView:
    return wire.MeteredView(
        used=charges.used,
        quota_used=charges.quota_used,
        quota_left=charges.quota_left,
        quota_resets_at=charges.quota_resets_at,
        beyond=charges.beyond,
        base=format_minor(charges.base_minor, currency),
        overage=format_unit_price(charges.overage, currency),
        cost=format_minor(charges.total_minor, currency),
        cost_minor=charges.total_minor,
    )


def usage_row(standing: Standing) -> wire.UsageRow:
    one, currency = standing.subscription, standing.plan.terms.currency
    return wire.UsageRow(
        subscriber=standing.subscriber,
        subscription=one.id,
        plan=standing.plan.code,
        state=one.state,
        used=standing.charges.used,
        beyond=standing.charges.beyond,
        cost=format_minor(standing.charges.total_minor, currency),
        period_start=one.period_start,
        period_end=one.period_end,
    )


def copy_view(state: CopyState) -> wire.CatalogueCopyView:
    copy = state.copy
    return wire.CatalogueCopyView(
        remote=copy.remote,
        listings=copy.listings,
        whole=copy.is_whole,
        checked_at=copy.checked_at,
        age_s=None if state.age_s is None else round(state.age_s, 1),
        refreshing=state.refreshing,
        trouble=state.trouble,
    )


def market_search_view(answer: Answer) -> wire.MarketSearchView:
    live = isinstance(answer.found, wire.SearchView)
    found = answer.found if isinstance(answer.found, wire.SearchView) else search_view(answer.found)
    return wire.MarketSearchView(**dict(found), live=live, copied=copy_view(answer.state))


def change_view(change: Change | Removal) -> wire.CatalogueChange:
    if isinstance(change, Removal):
        return wire.CatalogueChange(id=change.api_id, changed=change.changed, api=None)
    card = change.card
    return wire.CatalogueChange(
        id=card.listing.api_id, changed=card.changed, api=card_view(card), paths=_bounded(change.paths)
    )


def _bounded(paths: Sequence[str]) -> list[str]:
    """One API's endpoints must not make the catalogue too large to follow."""
    chars = accumulate(len(path) + 1 for path in paths)
    return [path for path, so_far in zip(paths, chars, strict=False) if so_far <= PATHS_CHARS]
