"""Market: what is asked when, what is shown meanwhile, and what becomes of subscribing and cloning."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from apimarket_tui.app import ApimarketApp
from apimarket_tui.screens.console import ConsoleScreen
from apimarket_tui.screens.form import FieldError
from apimarket_tui.screens.listing import ListingScreen
from apimarket_tui.screens.local import LocalScreen
from apimarket_tui.screens.market import MarketScreen
from apimarket_tui.screens.new_key import KeyShownScreen
from apimarket_tui.screens.subscribe import SubscribeScreen, minor_of
from apimarket_tui.widgets.method import MethodPicker
from local_server.client.errors import ApimarketClientError
from local_server.wire.events import PullUpdated

from .fake_backend import FakeBackend
from .fake_market import KEY, MARKET_URL, NOW, a_review, some_plans
from .screen_text import screen_text
from .screens import listing, market, press, running, said, settle, type_text, until


def rows(pilot: Pilot[Any]) -> list[str]:
    return [card.slug for card in pilot.app.screen.table.rows]  # type: ignore[attr-defined]


def shows(pilot: Pilot[Any], text: str) -> bool:
    return text in screen_text(pilot.app)


class TestSearching:
    async def test_a_word_typed_quickly_is_one_question_to_the_copy_and_none_to_the_marketplace(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await market("slash", *"geoc")(pilot)
            await until(pilot, lambda: rows(pilot) == ["geocode"])
            assert backend.elsewhere.copies_searched == ["", "geoc"]
            assert backend.elsewhere.searched == []

    async def test_an_old_answer_never_takes_the_place_of_a_new_one(self) -> None:
        backend = FakeBackend()
        gate = backend.elsewhere.copy_gates["weather"] = asyncio.Event()
        async with running(backend) as pilot:
            await market("slash")(pilot)
            await type_text(pilot, "weather")
            await until(pilot, lambda: "weather" in backend.elsewhere.copies_searched)
            pilot.app.screen.query_one("#words", Input).value = "qr"
            await until(pilot, lambda: rows(pilot) == ["qr"] and not shows(pilot, "asking"))
            gate.set()
            await settle(pilot)
            assert rows(pilot) == ["qr"]

    async def test_an_old_copy_tells_its_age_and_gives_way_once_it_is_renewed(self) -> None:
        backend = FakeBackend()
        backend.elsewhere.copied = {"refreshing": True, "checked_at": NOW - timedelta(hours=2)}
        async with running(backend) as pilot:
            await market()(pilot)
            assert shows(pilot, "copy of 2h ago  renewing…")
            backend.elsewhere.copied = {}
            backend.elsewhere.cards = backend.elsewhere.cards[:3]
            await until(pilot, lambda: shows(pilot, "copy of now") and len(rows(pilot)) == 3)

    async def test_without_a_network_the_copy_is_searched_and_says_so(self) -> None:
        backend = FakeBackend()
        backend.elsewhere.down = True
        backend.elsewhere.copied = {"checked_at": NOW - timedelta(days=1)}
        async with running(backend, size=(120, 40)) as pilot:
            await market()(pilot)
            assert len(rows(pilot)) == 12
            assert shows(pilot, "offline: copy of 1d ago")
            assert shows(pilot, "market.example does not answer: connection refused")
            backend.elsewhere.down = False
            await press(pilot, "r")
            await until(pilot, lambda: shows(pilot, "as of now") and not shows(pilot, "does not answer"))

    async def test_where_no_copy_is_yet_the_marketplaces_answer_comes_through_the_server(self) -> None:
        backend = FakeBackend()
        backend.elsewhere.live = True
        async with running(backend) as pilot:
            await market()(pilot)
            assert shows(pilot, "as of now")
            assert len(rows(pilot)) == 12

    async def test_the_marketplace_itself_is_asked_on_request_and_its_refusal_told_with_what_to_do(self) -> None:
        backend = FakeBackend()
        async with running(backend, size=(120, 40)) as pilot:
            await market("r")(pilot)
            await until(pilot, lambda: shows(pilot, "as of now"))
            assert backend.elsewhere.searched == [""]
            backend.elsewhere.refusals["search"] = ApimarketClientError(
                "Too many", hint="Wait.", code="rate_limited", status=429, title="No"
            )
            await press(pilot, "r")
            await until(pilot, lambda: shows(pilot, "✗ Too many · Wait."))
            assert len(rows(pilot)) == 12

    async def test_what_the_copy_does_not_find_the_marketplace_may(self) -> None:
        async with running(size=(120, 40)) as pilot:
            await market("slash", *"nobody")(pilot)
            await until(pilot, lambda: shows(pilot, "Nothing matches."))
            assert shows(pilot, "r asks the marketplace, which knows READMEs too")

    async def test_a_server_that_keeps_no_copy_and_reaches_nobody_says_why(self) -> None:
        backend = FakeBackend()
        backend.refusals["market_search"] = ApimarketClientError(
            "There is no copy of https://market.example here", hint="Ask again.", code="x", status=503, title="No"
        )
        async with running(backend, size=(120, 40)) as pilot:
            await market()(pilot)
            assert shows(pilot, "✗ There is no copy of https://market.example here · Ask again.")

    async def test_what_narrows_is_chosen_and_dropped(self) -> None:
        async with running(size=(120, 40)) as pilot:
            await market("c", "down", "enter")(pilot)
            assert rows(pilot) == ["qr", "ocr", "thumbnails"]
            assert shows(pilot, "✓ media")
            await press(pilot, "f")
            await until(pilot, lambda: rows(pilot) == ["qr"])
            await press(pilot, "x")
            await until(pilot, lambda: len(rows(pilot)) == 12)

    async def test_the_end_of_a_page_brings_the_next(self) -> None:
        backend = FakeBackend()
        backend.elsewhere.page = 5
        async with running(backend) as pilot:
            await market()(pilot)
            await until(pilot, lambda: len(rows(pilot)) == 12)
            assert len(set(rows(pilot))) == 12

    async def test_the_cursor_stays_on_its_api_when_the_order_changes(self) -> None:
        async with running() as pilot:
            await market("down", "o")(pilot)
            assert pilot.app.screen.table.selected.slug == "fx-rates"  # type: ignore[attr-defined]
            assert shows(pilot, "rating first")


class TestWhere:
    async def test_signing_in_turns_to_that_marketplace_and_out_again_back(self) -> None:
        async with running(size=(120, 40)) as pilot:
            app: ApimarketApp = pilot.app  # type: ignore[assignment]
            await press(pilot, "2")
            await until(pilot, lambda: shows(pilot, "No public APIs yet"))
            session = await app.accounts.sign_in(MARKET_URL, "ana", "correct horse")
            app.account_acts.signed_in(session)  # type: ignore[arg-type]
            await until(pilot, lambda: len(rows(pilot)) == 12)
            assert shows(pilot, "market.example  ana")
            await press(pilot, "m")
            await until(pilot, lambda: shows(pilot, "this machine") and not rows(pilot))
            await press(pilot, "m")
            await until(pilot, lambda: len(rows(pilot)) == 12)
            await app.accounts.sign_out(session)  # type: ignore[arg-type]
            app.relay(_server_changed())
            await until(pilot, lambda: shows(pilot, "this machine"))

    async def test_one_marketplace_alone_says_how_to_have_another(self) -> None:
        async with running() as pilot:
            await press(pilot, "2", "m")
            assert "A signs in" in said(pilot)


class TestListing:
    async def test_it_opens_and_goes_back_with_the_cursor_where_it_was(self) -> None:
        async with running() as pilot:
            await market("down", "enter")(pilot)
            assert isinstance(pilot.app.screen, ListingScreen)
            await press(pilot, "escape")
            assert isinstance(pilot.app.screen, MarketScreen)
            assert pilot.app.screen.table.selected.slug == "fx-rates"

    async def test_one_that_nobody_rated_called_or_wrote_a_readme_for(self) -> None:
        backend = FakeBackend()
        backend.elsewhere.readme = ""
        async with running(backend, size=(120, 40)) as pilot:
            await market("slash", *"senti", "enter", "enter")(pilot)
            await until(pilot, lambda: shows(pilot, "This API has no README."))
            assert shows(pilot, "v1.4.0  free")

    async def test_read_before_it_shows_without_a_network(self) -> None:
        backend = FakeBackend()
        async with running(backend, size=(120, 40)) as pilot:
            await listing("escape")(pilot)
            backend.elsewhere.down = True
            await press(pilot, "enter")
            await until(pilot, lambda: shows(pilot, "offline: as of now"))
            await until(pilot, lambda: shows(pilot, "a forecast of ten days"))

    async def test_never_read_it_says_why_it_cannot_be(self) -> None:
        backend = FakeBackend()
        async with running(backend, size=(120, 40)) as pilot:
            await market()(pilot)
            backend.elsewhere.down = True
            await press(pilot, "enter")
            await until(pilot, lambda: shows(pilot, "✗ No apimarket server answers"))
            await press(pilot, "right_square_bracket")
            assert shows(pilot, "✗ No apimarket server answers")

    async def test_the_url_is_copied_and_called(self) -> None:
        async with running(size=(120, 40)) as pilot:
            await market("y")(pilot)
            assert pilot.app.clipboard == f"{MARKET_URL}/mara/weather-now/"
            await press(pilot, "t")
            await until(
                pilot, lambda: pilot.app.screen.query_one("#url", Input).value == f"{MARKET_URL}/mara/weather-now/"
            )

    async def test_from_the_endpoints_the_one_under_the_cursor_is_called(self) -> None:
        async with running(size=(120, 40)) as pilot:
            await listing("right_square_bracket", "down", "down", "down", "t")(pilot)
            url = f"{MARKET_URL}/mara/weather-now/alerts"
            await until(pilot, lambda: isinstance(pilot.app.screen, ConsoleScreen))
            await until(pilot, lambda: pilot.app.screen.query_one("#url", Input).value == url)
            assert pilot.app.screen.query_one(MethodPicker).method == "POST"

    async def test_the_readme_is_laid_out_anew_for_another_width(self) -> None:
        async with running(size=(120, 40)) as pilot:
            await listing()(pilot)
            assert shows(pilot, "on earth, from the met offices")
            await pilot.resize_terminal(70, 30)
            await until(pilot, lambda: not shows(pilot, "on earth, from the met offices"))
            assert shows(pilot, "offices' open data")


class TestReviewing:
    async def test_stars_and_words_are_sent_and_shown_as_ones_own(self) -> None:
        async with running(size=(120, 40)) as pilot:
            await listing("w", "right", "right", "right", "tab", *"ok")(pilot)
            await press(pilot, "ctrl+s")
            await until(pilot, lambda: shows(pilot, "yours: w writes it anew"))
            assert shows(pilot, "★★★☆☆  ana")

    async def test_what_was_said_before_is_there_to_be_written_anew(self) -> None:
        backend = FakeBackend()
        backend.elsewhere.reviews.reviews.append(a_review("ana", 2, "Too slow", 3))
        async with running(backend, size=(120, 40)) as pilot:
            await listing("w")(pilot)
            await until(pilot, lambda: shows(pilot, "Too slow") and shows(pilot, "2 of 5"))
            await press(pilot, "5", "ctrl+s")
            await until(pilot, lambda: shows(pilot, "★★★★★  ana"))

    async def test_it_is_taken_back_after_asking(self) -> None:
        backend = FakeBackend()
        backend.elsewhere.reviews.reviews.append(a_review("ana", 2, "Too slow", 3))
        async with running(backend, size=(120, 40)) as pilot:
            await listing(*["right_square_bracket"] * 3, "D", "y")(pilot)
            await until(pilot, lambda: not shows(pilot, "Too slow"))
            assert [one.reviewer for one in backend.elsewhere.reviews.reviews] == ["ivo", "kim", "otto"]

    async def test_who_may_not_is_told_in_the_servers_words_and_keeps_the_text(self) -> None:
        backend = FakeBackend()
        backend.elsewhere.refusals["write_review"] = ApimarketClientError(
            "You have not called it", hint="Subscribe first.", code="not_used", status=403, title="No"
        )
        async with running(backend, size=(120, 40)) as pilot:
            await listing("w", "5", "tab", *"fine", "ctrl+s")(pilot)
            assert shows(pilot, "You have not called it")
            assert shows(pilot, "Subscribe first.")
            assert shows(pilot, "fine")

    async def test_without_stars_nothing_is_sent(self) -> None:
        async with running() as pilot:
            await listing("w", "ctrl+s")(pilot)
            assert shows(pilot, "How many stars? Press 1 to 5.")


class TestSubscribing:
    async def test_the_plan_that_is_chosen_and_a_cap(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await listing("s", "down", "tab")(pilot)
            await type_text(pilot, "20.50")
            await press(pilot, "enter")
            await until(pilot, lambda: isinstance(pilot.app.screen, KeyShownScreen))
            name, wanted = backend.elsewhere.subscribed[0]
            assert (name, wanted.plan, wanted.spend_cap_minor) == ("mara/weather-now", "pro", 2050)
            await press(pilot, "y")
            assert pilot.app.clipboard == KEY
            await press(pilot, "escape")
            assert pilot.app.clipboard == ""
            assert not shows(pilot, KEY)

    async def test_from_the_plans_the_one_under_the_cursor_is_meant(self) -> None:
        async with running() as pilot:
            await listing(*["right_square_bracket"] * 2, "down", "s")(pilot)
            assert isinstance(pilot.app.screen, SubscribeScreen)
            await until(pilot, lambda: pilot.app.screen.query_one("#plans").selected.code == "pro")  # type: ignore[attr-defined]

    async def test_sent_again_after_a_lost_answer_it_is_one_subscription_with_a_key_to_see(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await listing("s")(pilot)
            backend.elsewhere.down = True
            await press(pilot, "enter")
            await until(pilot, lambda: shows(pilot, "connection refused"))
            backend.elsewhere.down = False
            await press(pilot, "ctrl+s")
            await until(pilot, lambda: isinstance(pilot.app.screen, KeyShownScreen))
            first, second = backend.elsewhere.once
            assert first == second
            assert first is not None
            assert shows(pilot, "am_rotated")

    async def test_another_plan_is_another_request(self) -> None:
        backend = FakeBackend()
        backend.elsewhere.refusals["subscribe"] = ApimarketClientError("No", hint="", code="x", status=409, title="No")
        async with running(backend) as pilot:
            await listing("s")(pilot)
            await press(pilot, "enter", "shift+tab", "down", "enter")
            first, second = backend.elsewhere.once
            assert first != second

    async def test_without_a_session_it_says_how_to_begin_one(self) -> None:
        backend = FakeBackend()
        refusal = ApimarketClientError("Who are you?", hint="x", code="token", status=401, title="No")
        backend.elsewhere.refusals["subscribe"] = refusal
        async with running(backend) as pilot:
            await listing("s", "enter")(pilot)
            assert shows(pilot, "Who are you?")
            assert shows(pilot, "A signs in there")

    @pytest.mark.parametrize(("text", "minor"), [("", None), ("20", 2000), ("0", 0), ("4.50 EUR", 450)])
    def test_amounts(self, text: str, minor: int | None) -> None:
        assert minor_of(text, some_plans()[1]) == minor

    @pytest.mark.parametrize("text", ["x", "-1", "1.005", "NaN", "Infinity", "1e999", "٢٠x"])
    def test_what_is_no_amount(self, text: str) -> None:
        with pytest.raises(FieldError):
            minor_of(text, some_plans()[1])


class TestCloning:
    async def test_the_published_version_comes_and_is_chosen_in_local(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await market("p")(pilot)
            await press(pilot, "enter")
            await until(pilot, lambda: isinstance(pilot.app.screen, LocalScreen))
            assert ("pull_version", f"mara/weather-now from {MARKET_URL}") in backend.did
            assert pilot.app.screen.current_api().name == "weather-now"  # type: ignore[attr-defined]

    async def test_it_says_how_long_it_takes_and_is_given_up_with_esc(self) -> None:
        backend = FakeBackend()
        backend.pull_gate = asyncio.Event()
        async with running(backend) as pilot:
            await market("p")(pilot)
            await press(pilot, "ctrl+s")
            await until(pilot, lambda: shows(pilot, "⟳ fetching and checking"))
            await until(pilot, lambda: backend.listeners("pull") == 1)
            moved = PullUpdated(remote=MARKET_URL, name="mara/weather-now", done_bytes=512, total_bytes=1024)
            backend.emit(moved.model_copy(update={"name": "mara/other", "done_bytes": 1024}))
            backend.emit(moved)
            await until(pilot, lambda: shows(pilot, "████████░░░░░░░░ 512 B of 1.0 KB"))
            await press(pilot, "escape")
            assert isinstance(pilot.app.screen, MarketScreen)
            backend.pull_gate.set()
            await settle(pilot)
            assert isinstance(pilot.app.screen, MarketScreen)

    async def test_the_version_under_the_cursor_is_meant(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await listing(*["right_square_bracket"] * 4, "down", "down", "p", "ctrl+s")(pilot)
            await until(pilot, lambda: isinstance(pilot.app.screen, LocalScreen))
            assert ("pull_version", f"mara/weather-now@1.3.1 from {MARKET_URL}") in backend.did

    async def test_a_refusal_stands_by_its_field(self) -> None:
        backend = FakeBackend()
        backend.refusals["pull_version"] = ApimarketClientError(
            "There is one already", hint="Choose another.", code="unusable_directory", status=422, title="No"
        )
        async with running(backend) as pilot:
            await market("p")(pilot)
            await press(pilot, "ctrl+s")
            assert shows(pilot, "There is one already")


def _server_changed() -> Any:
    from apimarket_tui.live import ServerChanged

    return ServerChanged()
