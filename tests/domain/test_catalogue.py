"""What a listing is made of, how good it is, and in which order what was found is shown."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_server.domain.catalogue import (
    MAX_ENDPOINTS,
    README_BYTES,
    TIERS,
    WEIGHTS,
    Endpoint,
    Standing,
    endpoints_of,
    place_of,
    price_of,
    quality,
    readme_text,
)
from local_server.domain.catalogue_search import (
    Candidate,
    Sort,
    behind,
    cursor_of,
    facets_of,
    mark_of,
    ranked,
    score,
    text_score,
    words_of,
)
from local_server.domain.ids import ApiId
from local_server.domain.market_errors import CursorRefused
from tests.domain.test_subscriptions import terms
from tests.storage.factories import NOON


def a_candidate(slug: str = "weather", **more: Any) -> Candidate:
    given: dict[str, Any] = {
        "api_id": ApiId(f"id-{slug}"),
        "owner": "ana",
        "slug": slug,
        "summary": "Forecasts for ány place",
        "tags": ("geo",),
        "category": "data",
        "runtime": "python",
        "free": True,
        "rating": 3.5,
        "stars": None,
        "subscribers": 0,
        "quality": 0.5,
        "published_at": NOON,
    }
    return Candidate(**(given | more))


standings = st.builds(
    lambda count, stars, subscribers, requests, faults, p95: Standing(
        count * stars, count, subscribers, requests, min(faults, requests), p95
    ),
    st.integers(0, 1000),
    st.integers(1, 5),
    st.integers(0, 10**7),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.none() | st.integers(0, 10**9),
)


class TestQuality:
    def test_the_weights_are_all_there_is(self) -> None:
        assert sum(WEIGHTS.values()) == pytest.approx(1)

    def test_of_a_new_one_is_as_the_formula_says(self) -> None:
        expected = 0.35 * 2.5 / 4 + 0.25 * 0 + 0.20 * 1 + 0.10 * 0.5 + 0.10 * 1
        assert quality(Standing(), NOON, NOON) == pytest.approx(expected)

    @given(standings, st.integers(-1000, 10_000))
    def test_is_between_none_and_all(self, standing: Standing, days: int) -> None:
        assert 0 <= quality(standing, NOON, NOON + timedelta(days=days)) <= 1 + 1e-9

    @given(standings)
    def test_better_use_is_never_worse(self, standing: Standing) -> None:
        base = quality(standing, NOON, NOON)
        more_stars = Standing(standing.rating_sum + 5, standing.rating_count + 1, *_rest(standing))
        assert quality(more_stars, NOON, NOON) >= base - 1e-12
        assert quality(standing, NOON, NOON + timedelta(days=1)) < base

    def test_two_friends_are_no_record(self) -> None:
        assert Standing(10, 2).rating < Standing(460, 100).rating < 5
        assert Standing().stars is None

    def test_places_are_in_steps_of_quality_and_different(self) -> None:
        places = [place_of(step / 100, 7) for step in range(101)]
        assert places == sorted(places, reverse=True)
        assert len(set(places)) == TIERS
        assert place_of(0.5, 1) != place_of(0.5, 2)
        assert 0 < place_of(0.0, 2**30) < 2**62


def _rest(standing: Standing) -> tuple[int, int, int, int | None]:
    return standing.subscribers, standing.requests, standing.faults, standing.p95_us


slugs = st.text("ab-", min_size=2, max_size=4)


def _first(pair: tuple[str, float]) -> str:
    return pair[0]


class TestRanking:
    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("weather", 1.0), ("ana weather", 1.0), ("ana/weather", 1.0), ("WEATHER", 1.0), ("weath", 0.7),
            ("eath", 0.6), ("geo", 0.5), ("an", 0.5), ("forecast", 0.3), ("any", 0.3), ("readme", 0.1), ("", 1.0),
            ("geo readme", 0.3),
        ],
    )  # fmt: skip
    def test_where_a_word_stands_says_what_it_is_worth(self, query: str, expected: float) -> None:
        assert text_score(words_of(query), a_candidate()) == pytest.approx(expected)

    def test_quality_decides_between_double_and_half(self) -> None:
        words = words_of("weather")
        best, worst = a_candidate(quality=1.0), a_candidate(quality=0.0)
        assert score(words, best) == 2 * score(words, worst)

    def test_a_name_beats_a_better_one_that_only_mentions_it(self) -> None:
        named, better = a_candidate(quality=0.0), a_candidate("other", summary="all weather", quality=1.0)
        found = ranked([better, named], words_of("weather"), Sort.BEST)
        assert [one.slug for _, one in found] == ["weather", "other"]

    @given(
        st.lists(st.tuples(slugs, st.floats(0, 1)), max_size=30, unique_by=_first),
        st.sampled_from(Sort),
        st.integers(1, 7),
    )
    def test_pages_show_each_once_and_in_one_order(
        self, given_: list[tuple[str, float]], sort: Sort, size: int
    ) -> None:
        everyone = [a_candidate(slug, quality=good, rating=1 + 4 * good) for slug, good in given_]
        order = ranked(everyone, ("a",), sort)
        seen, mark = [], None
        while page := behind(order, mark, sort)[:size]:
            seen += [one.slug for _, one in page]
            mark = mark_of(cursor_of(sort, page[-1][0]), sort)
        assert seen == [one.slug for _, one in order]

    def test_facets_count_what_there_is(self) -> None:
        facets = facets_of([a_candidate(), a_candidate("b", free=False, tags=("geo", "x"), stars=4.0, category="")])
        assert facets["tag"] == {"geo": 2, "x": 1}
        assert facets["category"] == {"data": 1}
        assert facets["price"] == {"free": 1, "paid": 1}
        assert facets["rating"] == {"2": 1, "3": 1, "4": 1}


class TestCursors:
    @pytest.mark.parametrize(
        "cursor", ["", "x", "é", "W10", "WzEsMiwzXQ", "WyJiZXN0IixOYU4sImkiXQ", "WyJiZXN0IiwxZTk5OSwiaSJd"]
    )
    def test_what_is_none_is_refused(self, cursor: str) -> None:
        with pytest.raises(CursorRefused):
            mark_of(cursor, Sort.BEST)

    def test_one_of_another_order_is_refused(self) -> None:
        with pytest.raises(CursorRefused):
            mark_of(cursor_of(Sort.NAME, ("a", "i")), Sort.BEST)

    @given(st.text(max_size=60))
    def test_any_text_is_refused_or_read(self, text: str) -> None:
        try:
            value, api_id = mark_of(text, Sort.RATING)
        except CursorRefused:
            return
        assert isinstance(value, int | float)
        assert isinstance(api_id, str)


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["paths", "/a", "get", "summary"]), inner)
    ),
    max_leaves=12,
)


class TestTexts:
    def test_endpoints_are_those_of_the_contract(self) -> None:
        document = {
            "paths": {"/a": {"get": {"summary": "All"}, "parameters": []}, "/b": {"post": {}}, "x-y": {"get": {}}}
        }
        assert endpoints_of(document) == (Endpoint("GET", "/a", "All"), Endpoint("POST", "/b", ""))

    @given(st.dictionaries(st.sampled_from(["paths", "openapi"]), json_values))
    def test_any_document_has_some_or_none(self, document: dict[str, Any]) -> None:
        assert len(endpoints_of(document)) <= MAX_ENDPOINTS

    def test_a_giant_one_is_cut_off(self) -> None:
        document = {"paths": {f"/{number}": {"get": {"summary": "x" * 9999}} for number in range(2000)}}
        found = endpoints_of(document)
        assert (len(found), len(found[0].summary)) == (MAX_ENDPOINTS, 300)
        assert endpoints_of(None) == ()

    def test_a_readme_is_text_whatever_it_is(self) -> None:
        assert readme_text(b"\xff\x00ok") == "\ufffd\ufffdok"
        assert len(readme_text(b"x" * (README_BYTES + 9))) == README_BYTES

    def test_the_least_price_is_of_a_month(self) -> None:
        year = terms(code="year", price_minor=1200, interval="year")
        assert price_of([terms(), year]) == (False, 100, "EUR")
        assert price_of([terms(price_minor=0), year]) == (True, 0, "EUR")
        assert price_of([]) == (True, None, "")
