"""What storage/market.py promises, of every store."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import product
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_server.domain.catalogue import Endpoint, Listing, ListingTexts, Standing
from local_server.domain.catalogue_search import CANDIDATES, NO_FILTERS, Facets, Filters, Sort, facets_of
from local_server.domain.executions import CallOutcome
from local_server.domain.idempotency import KEPT_FOR, Outcome
from local_server.domain.ids import ApiId, KeyId, PlanId, SubscriptionId, UserId
from local_server.domain.keys import ApiKey
from local_server.domain.manifest import Visibility
from local_server.domain.market_errors import IdempotencyKeyReused, SubscriptionChanged
from local_server.domain.metering import UsageEvent
from local_server.domain.plans import Plan
from local_server.domain.reviews import Review, ReviewSummary
from local_server.domain.subscriptions import Subscription, cancelled, subscribed
from local_server.storage.base import ReadTx, Storage, Tx
from local_server.storage.market import Change, Removal
from tests.contracts.test_storage_accounts import a_key
from tests.domain.test_subscriptions import terms
from tests.storage.factories import ALICE, NOON, a_user, add_apis, an_api, an_execution, an_id

BOB = a_user(50, "bob")
README = "# Weather\nForecasts by the hour, fröhlich."


def a_listing(number: int, slug: str = "", **more: Any) -> Listing:
    given: dict[str, Any] = {
        "api_id": ApiId(an_id(number)),
        "owner": "alice",
        "slug": slug or f"api-{number}",
        "summary": "Forecasts for any place",
        "tags": ("geo", "3d"),
        "category": "data",
        "runtime": "python",
        "visibility": Visibility.PUBLIC,
        "version": "1.0.0",
        "free": True,
        "price_from_minor": 0,
        "currency": "EUR",
        "published_at": NOON,
        "updated_at": NOON,
    }
    return Listing(**(given | more))


TEXTS = ListingTexts(
    README, (Endpoint("GET", "/forecast/{city}", "Tomorrow"), Endpoint("POST", "/forecast/{city}", ""))
)


async def listed(storage: Storage, *listings: Listing, texts: ListingTexts = TEXTS) -> None:
    await add_apis(
        storage, *(an_api(int(one.api_id[:13].replace("-", ""), 16) - 1_700_000_000_000, one.slug) for one in listings)
    )

    def act(tx: Tx) -> None:
        for listing in listings:
            tx.catalogue.put(listing, texts, NOON)

    await storage.write(act)


def found(text: str, filters: Filters = NO_FILTERS) -> Callable[[ReadTx], list[str]]:
    return lambda tx: [one.slug for one in tx.catalogue.candidates(text, filters, 100)]


class TestCatalogue:
    async def test_a_listing_comes_back_as_it_was(self, storage: Storage) -> None:
        listing = a_listing(1, free=False, price_from_minor=450)
        await listed(storage, listing)
        card = await storage.read(lambda tx: tx.catalogue.card(listing.api_id))
        assert card is not None
        assert (card.listing, card.standing) == (listing, Standing())
        assert await storage.read(lambda tx: tx.catalogue.card_by_name("alice", "api-1")) == card
        assert await storage.read(lambda tx: tx.catalogue.texts(listing.api_id)) == TEXTS
        assert await storage.read(lambda tx: tx.catalogue.cards([ApiId("gone"), listing.api_id])) == [card]

    async def test_hostile_text_is_kept_as_text(self, storage: Storage) -> None:
        hostile = ListingTexts("\x1b[31m<script>\0\udcff\u202e", (Endpoint("GET", "/\udcff\0", "\0"),))
        await listed(storage, a_listing(1, summary="\x1b]0;x\x07\0"), texts=hostile)
        kept = await storage.read(lambda tx: tx.catalogue.texts(ApiId(an_id(1))))
        assert kept is not None
        assert kept.readme == "\x1b[31m<script>\ufffd\ufffd\u202e"

    @pytest.mark.parametrize(
        "text",
        ["api-1", "forec", "FORECAST", "geo", "alice", "hour", "frohlich", "city", "api-1 geo hour", "alice/api-1"],
    )
    async def test_words_are_found_wherever_they_stand(self, storage: Storage, text: str) -> None:
        await listed(storage, a_listing(1))
        assert await storage.read(found(text)) == ["api-1"]

    @pytest.mark.parametrize("text", ["nothing", "api-1 nothing", '"', "a OR", "NEAR(", "*", "geo*:"])
    async def test_any_text_is_a_question(self, storage: Storage, text: str) -> None:
        await listed(storage, a_listing(1))
        assert set(await storage.read(found(text))) <= {"api-1"}

    async def test_the_best_come_first_and_the_name_always(self, storage: Storage) -> None:
        many = [a_listing(number, f"weather-{number}") for number in range(2, 9)]
        await listed(storage, a_listing(1, "weather"), *many)
        for listing in many:
            standing = Standing(50, 10, 1000, 1000, 0, 1000)
            await storage.write(lambda tx, id=listing.api_id, s=standing: tx.catalogue.stand(id, s, NOON))
        best = await storage.read(lambda tx: tx.catalogue.candidates("weather", NO_FILTERS, 3))
        assert [one.slug == "weather" for one in best] == [False, False, False, True]
        assert best[0].subscribers == 1000

    async def test_filters_narrow_it_down(self, storage: Storage) -> None:
        other = a_listing(2, "other", category="money", tags=("eur",), runtime="go", free=False, owner="alice")
        await listed(storage, a_listing(1), other)
        rated = Standing(500, 100)
        await storage.write(lambda tx: tx.catalogue.stand(other.api_id, rated, NOON))
        for filters in (
            Filters(category="money"), Filters(tags=("eur",)), Filters(runtime="go"), Filters(free=False),
            Filters(min_rating=4.5),
        ):  # fmt: skip
            for text in ("", "forecasts"):
                assert await storage.read(found(text, filters)) == ["other"]
        assert await storage.read(found("", Filters(owner="nobody"))) == []

    @pytest.mark.parametrize("stars", [1, 3.5, 4, 4.5, 5])
    async def test_so_many_stars_are_those_that_people_gave(self, storage: Storage, stars: float) -> None:
        """Not the prior's, by which an API that nobody rated would have three and a half."""
        standings = [Standing(), Standing(4, 1), Standing(9, 2), Standing(7, 2), Standing(399, 100), Standing(50, 10)]
        await listed(storage, *(a_listing(number) for number in range(1, len(standings) + 1)))
        for number, standing in enumerate(standings, 1):
            await storage.write(lambda tx, n=number, s=standing: tx.catalogue.stand(ApiId(an_id(n)), s, NOON))
        expected = {f"api-{n}" for n, one in enumerate(standings, 1) if one.stars is not None and one.stars >= stars}
        for text in ("", "forecasts"):
            assert set(await storage.read(found(text, Filters(min_rating=stars)))) == expected
            if stars == 4:
                assert (await self._counted(storage, text, NO_FILTERS))["rating"]["4"] == len(expected)

    async def test_several_tags_are_all_wanted(self, storage: Storage) -> None:
        await listed(
            storage,
            a_listing(1, tags=("geo", "3d-maps")),
            a_listing(2, tags=("geo", "maps"), summary="3d-maps of any place"),
            a_listing(3, tags=("3d-maps",)),
        )
        assert await storage.read(found("", Filters(tags=("geo", "3d-maps")))) == ["api-1"]
        assert await storage.read(found("forec", Filters(tags=("3d-maps", "geo")))) == ["api-1"]
        assert await storage.read(found("place", Filters(tags=("maps", "geo")))) == ["api-2"]
        for tag in ('"', "'", "*", "a:b", "\0", "\udcff", "OR", ""):
            for text in ("", "place"):
                assert await storage.read(found(text, Filters(tags=("geo", tag)))) == []

    async def test_a_filter_looks_beyond_the_best_and_facets_say_what_it_finds(self, storage: Storage) -> None:
        """1,100 match, of which the best 1,000 are counted; what is narrowed down is counted whole again."""
        many = [
            a_listing(
                number,
                tags=(f"t{number % 4}", f"u{number % 10}"),
                category=f"c{number % 3}",
                runtime=("python", "node")[number % 2],
                free=number % 5 > 0,
            )
            for number in range(1, 1101)
        ]
        await listed(storage, *many)

        def praise(tx: Tx) -> None:
            for listing in many[:1000]:
                tx.catalogue.stand(listing.api_id, Standing(50, 10), NOON)

        await storage.write(praise)
        for text in ("", "forecasts"):
            all_there_is = await self._counted(storage, text, NO_FILTERS)
            assert sum(all_there_is["category"].values()) == 1000
            for values in product([(), ("t0",), ("t1", "u1"), ("t1", "u2")], [None, "c1"], [None, "node"]):
                narrowed = Filters(tags=values[0], category=values[1], runtime=values[2])
                if narrowed == NO_FILTERS:
                    continue
                expected = [
                    one
                    for one in many
                    if set(values[0]) <= set(one.tags)
                    and values[1] in (None, one.category)
                    and values[2] in (None, one.runtime)
                ]
                facets = await self._counted(storage, text, narrowed)
                assert facets["tag"] == Counter(tag for one in expected for tag in one.tags)
                assert facets["category"] == Counter(one.category for one in expected)
                assert facets["runtime"] == Counter(one.runtime for one in expected)
                assert facets["price"] == Counter("free" if one.free else "paid" for one in expected)
                browsed = await storage.read(lambda tx, f=narrowed: tx.catalogue.browse(Sort.NAME, f, 2000, None))
                assert [card.listing.slug for _, card in browsed] == sorted(one.slug for one in expected)

    async def _counted(self, storage: Storage, text: str, filters: Filters) -> Facets:
        return facets_of(await storage.read(lambda tx: tx.catalogue.candidates(text, filters, CANDIDATES)))

    async def test_unlisted_ones_are_found_by_name_alone(self, storage: Storage) -> None:
        await listed(storage, a_listing(1, visibility=Visibility.UNLISTED))
        assert await storage.read(found("")) == []
        assert await storage.read(found("api-1")) == []
        assert await storage.read(lambda tx: tx.catalogue.browse(Sort.NAME, NO_FILTERS, 9, None)) == []
        assert await storage.read(lambda tx: tx.catalogue.tags()) == {}
        assert await storage.read(lambda tx: tx.catalogue.categories()) == {}
        assert await storage.read(lambda tx: tx.catalogue.card_by_name("alice", "api-1")) is not None

    @pytest.mark.parametrize("sort", list(Sort))
    async def test_pages_show_every_row_once(self, storage: Storage, sort: Sort) -> None:
        await listed(
            storage, *(a_listing(number, published_at=NOON + timedelta(seconds=number // 3)) for number in range(1, 12))
        )
        for number in range(1, 12):
            standing = Standing(number, 2, number // 4)
            await storage.write(lambda tx, n=number, s=standing: tx.catalogue.stand(ApiId(an_id(n)), s, NOON))
        seen: list[str] = []
        mark = None
        while page := await storage.read(lambda tx, mark=mark: tx.catalogue.browse(sort, NO_FILTERS, 4, mark)):
            seen += [card.listing.slug for _, card in page]
            mark = page[-1][0]
        assert sorted(seen) == sorted(f"api-{number}" for number in range(1, 12))

    async def test_changes_are_told_in_order_and_removals_too(self, storage: Storage) -> None:
        await listed(storage, a_listing(1), a_listing(2), a_listing(3))
        first = await storage.read(lambda tx: tx.catalogue.changes(0, 100))
        assert [type(change) for change in first] == [Change] * 3
        since = await storage.read(lambda tx: tx.catalogue.latest_change())
        await storage.write(lambda tx: tx.catalogue.remove(ApiId(an_id(1))))
        await storage.write(lambda tx: tx.catalogue.put(a_listing(2, visibility=Visibility.UNLISTED), TEXTS, NOON))
        await storage.write(lambda tx: tx.catalogue.put(a_listing(3, summary="New"), TEXTS, NOON))
        second = await storage.read(lambda tx: tx.catalogue.changes(since, 100))
        assert [type(change) for change in second] == [Removal, Removal, Change]
        assert second[-1].card.listing.summary == "New"  # type: ignore[union-attr]
        await storage.write(lambda tx: tx.catalogue.put(a_listing(2), TEXTS, NOON))
        assert [type(one) for one in await storage.read(lambda tx: tx.catalogue.changes(0, 100))] == [
            Removal,
            Change,
            Change,
        ]

    async def test_of_what_was_never_public_no_change_is_told(self, storage: Storage) -> None:
        await listed(storage, a_listing(1, visibility=Visibility.UNLISTED))
        again = a_listing(1, visibility=Visibility.UNLISTED, summary="Two")
        await storage.write(lambda tx: tx.catalogue.put(again, TEXTS, NOON))
        await storage.write(lambda tx: tx.catalogue.remove(ApiId(an_id(1))))
        assert await storage.read(lambda tx: tx.catalogue.changes(0, 100)) == []

    async def test_it_goes_with_its_api(self, storage: Storage) -> None:
        await listed(storage, a_listing(1))
        await storage.write(lambda tx: tx.registry.remove(ApiId(an_id(1))))
        assert await storage.read(found("forecasts")) == []
        assert await storage.read(lambda tx: tx.catalogue.tags()) == {}

    async def test_categories_and_tags_are_counted(self, storage: Storage) -> None:
        await listed(storage, a_listing(1), a_listing(2, tags=("geo",), category="maps"))
        assert await storage.read(lambda tx: tx.catalogue.tags()) == {"geo": 2, "3d": 1}
        assert await storage.read(lambda tx: tx.catalogue.categories()) == {"data": 1, "maps": 1}


class Counted(NamedTuple):
    tags: Mapping[str, int]
    categories: Mapping[str, int]


def counted(tx: ReadTx) -> Counted:
    return Counted(tx.catalogue.tags(), tx.catalogue.categories())


def counted_anew(tx: ReadTx) -> Counted:
    public = [card.listing for card in tx.catalogue.all("", 1000) if card.listing.visibility is Visibility.PUBLIC]
    tags = Counter(tag for one in public for tag in one.tags)
    return Counted(tags, Counter(one.category for one in public if one.category))


COUNTED_APIS = [an_api(number) for number in range(1, 5)]
a_listed_one = st.builds(
    lambda number, **more: a_listing(number, **more),
    st.integers(1, len(COUNTED_APIS)),
    tags=st.lists(st.sampled_from(["geo", "maps", "3d"]), unique=True).map(tuple),
    category=st.sampled_from(["", "data", "money"]),
    visibility=st.sampled_from([Visibility.PUBLIC, Visibility.UNLISTED]),
)
acts_on_listings = st.lists(
    st.one_of(
        a_listed_one.map(lambda one: lambda tx: tx.catalogue.put(one, TEXTS, NOON)),
        a_listed_one.map(lambda one: lambda tx: tx.catalogue.stand(one.api_id, Standing(50, 10, 100), NOON)),
        a_listed_one.map(lambda one: lambda tx: tx.catalogue.remove(one.api_id)),
        a_listed_one.map(lambda one: lambda tx: remove_and_register(tx, one.api_id)),
    ),
    max_size=20,
)


def remove_and_register(tx: Tx, api_id: ApiId) -> None:
    """The listing goes with its API, and the catalogue is not asked."""
    (api,) = [api for api in COUNTED_APIS if api.id == api_id]
    tx.registry.remove(api_id)
    tx.registry.add(api)


class TestCounts:
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(acts_on_listings)
    async def test_are_what_counting_anew_gives(self, storage: Storage, acts: list[Callable[[Tx], None]]) -> None:
        for api in COUNTED_APIS:
            await storage.write(lambda tx, api=api: tx.registry.remove(api.id))
        assert await storage.read(counted) == ({}, {})
        await storage.write(lambda tx: [tx.registry.add(api) for api in COUNTED_APIS])
        for act in acts:
            await storage.write(act)
            assert await storage.read(counted) == await storage.read(counted_anew)

    async def test_stay_so_however_many_count_at_once(self, storage: Storage) -> None:
        numbers = range(1, 25)
        await add_apis(storage, *(an_api(number) for number in numbers))

        async def come_and_go(number: int) -> None:
            one = a_listing(number, tags=("geo", f"t{number % 3}"), category=f"c{number % 2}")
            for _ in range(2):
                await storage.write(lambda tx: tx.catalogue.put(one, TEXTS, NOON))
                await storage.write(lambda tx: tx.catalogue.put(replace(one, tags=("3d",)), TEXTS, NOON))
            if number % 4:
                await storage.write(lambda tx: tx.registry.remove(one.api_id))

        await asyncio.gather(*(come_and_go(number) for number in numbers))
        assert await storage.read(counted) == await storage.read(counted_anew) == ({"3d": 6}, {"c0": 6})


def a_plan(number: int, version: int = 1, **more: Any) -> Plan:
    return Plan(PlanId(an_id(number)), ApiId(an_id(1)), version, terms(**more), NOON)


@pytest.fixture
async def market(storage: Storage) -> Storage:
    await listed(storage, a_listing(1))
    await storage.write(lambda tx: tx.accounts.add(BOB))
    await storage.write(lambda tx: tx.plans.add(a_plan(1)))
    return storage


class TestPlans:
    async def test_one_comes_back_as_it_was(self, market: Storage) -> None:
        for number, more in enumerate(
            [{"quota": None, "quota_interval": None},
             {"overage": "bill", "overage_price": Decimal("0.000000000000001")},
             {"price_minor": 10**14, "overage": "bill", "overage_price": Decimal("100")}], start=2,
        ):  # fmt: skip
            plan = a_plan(number, number, **more)
            await market.write(lambda tx, plan=plan: tx.plans.add(plan))
            assert await market.read(lambda tx, plan=plan: tx.plans.get(plan.id)) == plan

    async def test_what_is_offered_is_replaced_and_old_versions_stay(self, market: Storage) -> None:
        second, free = a_plan(2, 2), a_plan(3, code="free")
        for plan in (second, free):
            await market.write(lambda tx, plan=plan: tx.plans.add(plan))
        await market.write(lambda tx: tx.plans.offer(ApiId(an_id(1)), [a_plan(1)]))
        await market.write(lambda tx: tx.plans.offer(ApiId(an_id(1)), [second, free]))
        assert await market.read(lambda tx: tx.plans.offered(ApiId(an_id(1)))) == [second, free]
        assert await market.read(lambda tx: tx.plans.versions(ApiId(an_id(1)), "pro")) == [a_plan(1), second]


def a_subscription(number: int = 7, user: UserId = BOB.id) -> Subscription:
    return replace(subscribed(SubscriptionId(an_id(number)), user, a_plan(1), NOON), spend_cap_minor=500)


def key_of_the_subscription() -> ApiKey:
    return a_key(7, id=KeyId("k"), user_id=BOB.id, quota_subject=a_subscription().id)


class TestSubscriptions:
    async def test_one_comes_back_as_it_was_to_its_subscriber(self, market: Storage) -> None:
        one = a_subscription()
        assert await market.write(lambda tx: tx.subscriptions.add(one))
        assert await market.read(lambda tx: tx.subscriptions.get(one.id, BOB.id)) == one
        assert await market.read(lambda tx: tx.subscriptions.get(one.id, ALICE.id)) is None
        assert await market.read(lambda tx: tx.subscriptions.live(BOB.id, one.api_id)) == one
        assert await market.read(lambda tx: tx.subscriptions.of_user(BOB.id)) == [one]
        assert await market.read(lambda tx: tx.subscriptions.of_api(one.api_id)) == [one]
        assert await market.read(lambda tx: tx.subscriptions.count(one.api_id)) == 1

    async def test_there_is_one_live_one_however_many_ask(self, market: Storage) -> None:
        wanted = [a_subscription(number) for number in range(10, 26)]
        done = await asyncio.gather(*(market.write(lambda tx, one=one: tx.subscriptions.add(one)) for one in wanted))
        assert sorted(done) == [False] * 15 + [True]
        (live,) = await market.read(lambda tx: tx.subscriptions.of_user(BOB.id))
        over = await market.write(lambda tx: tx.subscriptions.save(cancelled(live, NOON, at_once=True)))
        assert over.row_version == 2
        assert await market.write(lambda tx: tx.subscriptions.add(a_subscription(30)))

    async def test_who_read_an_older_one_changes_nothing(self, market: Storage) -> None:
        one = a_subscription()
        await market.write(lambda tx: tx.subscriptions.add(one))
        await market.write(lambda tx: tx.subscriptions.save(replace(one, cancel_at_end=True)))
        with pytest.raises(SubscriptionChanged):
            await market.write(lambda tx: tx.subscriptions.save(one))

    async def test_those_whose_period_is_over_are_due(self, market: Storage) -> None:
        one = a_subscription()
        await market.write(lambda tx: tx.subscriptions.add(one))
        before = one.period_end - timedelta(microseconds=1)
        assert await market.read(lambda tx: tx.subscriptions.due(before, 10)) == []
        assert await market.read(lambda tx: tx.subscriptions.due(one.period_end, 10)) == [one]


class TestMetering:
    @pytest.fixture
    async def metered(self, market: Storage) -> Storage:
        await market.write(lambda tx: tx.subscriptions.add(a_subscription()))
        return market

    async def test_an_event_counts_once_however_often_and_by_how_many_it_is_told(self, metered: Storage) -> None:
        events = [
            UsageEvent(a_subscription().id, "gateway", an_id(number % 40), NOON + timedelta(hours=number % 40))
            for number in range(160)
        ]
        parts = [events[start::8] for start in range(8)]
        counts = await asyncio.gather(*(metered.write(lambda tx, p=part: tx.metering.count(p)) for part in parts * 2))
        assert sum(counts) == 40
        daily = await metered.read(lambda tx: tx.metering.daily(a_subscription().id, date(2026, 3, 1)))
        assert (sum(daily.values()), set(daily)) == (40, {date(2026, 3, 14), date(2026, 3, 15), date(2026, 3, 16)})

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(
            st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["gateway", "other"])), max_size=15), max_size=6
        )
    )
    async def test_totals_are_the_distinct_events(self, metered: Storage, told: list[list[tuple[int, str]]]) -> None:
        def begin(tx: Tx) -> None:
            live = tx.subscriptions.live(BOB.id, ApiId(an_id(1)))
            assert live is not None
            tx.subscriptions.save(cancelled(live, NOON, at_once=True))
            tx.subscriptions.add(replace(a_subscription(), id=fresh))

        fresh = SubscriptionId(f"{an_id(99)}-{self._number()}")
        await metered.write(begin)
        batches = [
            [UsageEvent(fresh, source, an_id(number), NOON + timedelta(hours=number)) for number, source in batch]
            for batch in told
        ]
        await asyncio.gather(*(metered.write(lambda tx, b=batch: tx.metering.count(b)) for batch in batches))
        daily = await metered.read(lambda tx: tx.metering.daily(fresh, date(2026, 1, 1)))
        assert sum(daily.values()) == len({pair for batch in told for pair in batch})

    _count = 0

    def _number(self) -> int:
        TestMetering._count += 1
        return TestMetering._count

    async def test_pruned_events_leave_their_totals(self, metered: Storage) -> None:
        events = [UsageEvent(a_subscription().id, "gateway", an_id(number), NOON) for number in range(5)]
        await metered.write(lambda tx: tx.metering.count(events))
        assert await metered.write(lambda tx: tx.metering.prune(NOON, 10)) == 0
        assert await metered.write(lambda tx: tx.metering.prune(NOON + timedelta(seconds=1), 3)) == 3
        daily = await metered.read(lambda tx: tx.metering.daily(a_subscription().id, date(2026, 3, 14)))
        assert daily == {date(2026, 3, 14): 5}

    async def test_events_of_nobodys_subscription_are_dropped(self, metered: Storage) -> None:
        event = UsageEvent(SubscriptionId("gone"), "gateway", "e", NOON)
        assert await metered.write(lambda tx: tx.metering.count([event])) == 0

    async def test_the_request_log_is_metered_in_the_same_act_and_only_what_was_answered(
        self, metered: Storage
    ) -> None:
        await metered.write(lambda tx: tx.keys.add(key_of_the_subscription()))
        api = an_api(1)
        rows = [
            an_execution(api, number, outcome=outcome, key_id=KeyId("k"), generation=generation)
            for number, (outcome, generation) in enumerate(
                [(outcome, 1) for outcome in CallOutcome] + [(CallOutcome.ABORTED, 0)], start=1
            )
        ]
        rows.append(an_execution(api, 100))
        rows.append(an_execution(api, 101, key_id=KeyId("another")))
        for _ in range(2):
            await metered.write(lambda tx: tx.usage.add(rows))
        daily = await metered.read(lambda tx: tx.metering.daily(a_subscription().id, date(2026, 3, 1)))
        assert daily == {date(2026, 3, 14): 3}  # ok, client error, aborted at work
        assert await metered.read(lambda tx: tx.reviews.has_used(api.id, BOB.id))
        assert not await metered.read(lambda tx: tx.reviews.has_used(api.id, ALICE.id))


class TestReviews:
    def a_review(self, **more: Any) -> Review:
        given: dict[str, Any] = {
            "api_id": ApiId(an_id(1)), "user_id": BOB.id, "reviewer": "bob", "rating": 4, "text": "\x1b[31mgood",
            "created_at": NOON, "updated_at": NOON, "answer": None, "answered_at": None,
        }  # fmt: skip
        return Review(**(given | more))

    async def test_one_for_each_user_and_written_again_replaced(self, market: Storage) -> None:
        first = self.a_review()
        again = self.a_review(
            rating=2, text="worse", updated_at=NOON + timedelta(days=1), answer="sorry", answered_at=NOON
        )
        for review in (first, again):
            await market.write(lambda tx, review=review: tx.reviews.put(review))
            assert await market.read(lambda tx: tx.reviews.get(ApiId(an_id(1)), BOB.id)) == review
        mine = self.a_review(user_id=ALICE.id, reviewer="alice", rating=5)
        await market.write(lambda tx: tx.reviews.put(mine))
        summary = await market.read(lambda tx: tx.reviews.summary(ApiId(an_id(1))))
        assert summary == ReviewSummary(2, 7, {1: 0, 2: 1, 3: 0, 4: 0, 5: 1})
        pages = await market.read(lambda tx: tx.reviews.of_api(ApiId(an_id(1)), 1, None))
        rest = await market.read(lambda tx: tx.reviews.of_api(ApiId(an_id(1)), 9, (pages[0].updated_at, BOB.id)))
        assert [*pages, *rest] == [again, mine]
        await market.write(lambda tx: tx.reviews.remove(ApiId(an_id(1)), BOB.id))
        assert (await market.read(lambda tx: tx.reviews.summary(ApiId(an_id(1))))).count == 1


class TestIdempotency:
    async def test_the_same_request_is_answered_alike_and_another_refused(self, market: Storage) -> None:
        outcome = Outcome(201, {"id": "s", "none": None})

        def first(tx: Tx) -> Outcome | None:
            before = tx.idempotency.claim(BOB.id, "k", "hash", NOON)
            if before is None:
                tx.idempotency.settle(BOB.id, "k", outcome)
            return before

        told = await asyncio.gather(*(market.write(first) for _ in range(8)))
        assert sorted(map(bool, told)) == [False] + [True] * 7
        assert [one for one in told if one] == [outcome] * 7
        with pytest.raises(IdempotencyKeyReused):
            await market.write(lambda tx: tx.idempotency.claim(BOB.id, "k", "other", NOON))
        assert await market.write(lambda tx: tx.idempotency.claim(ALICE.id, "k", "other", NOON)) is None

    async def test_a_failed_effect_leaves_no_claim(self, market: Storage) -> None:
        def fails(tx: Tx) -> None:
            tx.idempotency.claim(BOB.id, "k", "hash", NOON)
            raise ValueError

        with pytest.raises(ValueError):
            await market.write(fails)
        assert await market.write(lambda tx: tx.idempotency.claim(BOB.id, "k", "other", NOON)) is None

    async def test_a_key_is_free_again_when_it_has_expired(self, market: Storage) -> None:
        later = NOON + KEPT_FOR
        await market.write(lambda tx: tx.idempotency.claim(BOB.id, "k", "hash", NOON))
        assert await market.write(lambda tx: tx.idempotency.claim(BOB.id, "k", "other", later)) is None
        assert await market.write(lambda tx: tx.idempotency.prune(later)) == 0
        assert await market.write(lambda tx: tx.idempotency.prune(later + KEPT_FOR)) == 1
