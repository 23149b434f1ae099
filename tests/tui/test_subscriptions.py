"""What one has subscribed to: what is shown of it, and what becomes of it."""

from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from apimarket_tui.amounts import amount
from apimarket_tui.screens.listing import ListingScreen
from apimarket_tui.screens.subscriptions import SubscriptionsScreen
from local_server.client.errors import ApimarketClientError

from .fake_backend import FakeBackend
from .fake_market import MARKET_URL, some_plans
from .screen_text import screen_text
from .screens import market, press, running, said, until


def shows(pilot: Pilot[Any], text: str) -> bool:
    return text in screen_text(pilot.app)


def row(pilot: Pilot[Any], api: str) -> str:
    return next(line for line in screen_text(pilot.app).splitlines() if api in line)


class TestShown:
    async def test_those_that_go_on_come_first_with_what_is_used_left_and_to_come(self) -> None:
        async with running(size=(120, 40)) as pilot:
            await market("S")(pilot)
            assert shows(pilot, "3 going on")
            apis = [one.api for one in pilot.app.screen.table.table.rows]  # type: ignore[attr-defined]
            assert apis == ["mara/weather-now", "ivo/fx-rates", "kim/geocode", "rae/qr"]
            assert "◐ then free" in row(pilot, "ivo/fx-rates")
            assert "◐ ends then" in row(pilot, "kim/geocode")
            assert "○ canceled" in row(pilot, "rae/qr")
            await press(pilot, "down")
            assert shows(pilot, "100,000/month, then 0.002 EUR each   spend cap 50.50 EUR")
            assert shows(pilot, "100,000 used, anew in 17d, 12,400 beyond   4.50 EUR + 24.80 EUR = 29.30 EUR so far")

    async def test_read_before_it_shows_without_a_network(self) -> None:
        backend = FakeBackend()
        async with running(backend, size=(120, 40)) as pilot:
            await market("S")(pilot)
            backend.elsewhere.down = True
            await press(pilot, "r")
            await until(pilot, lambda: shows(pilot, "offline: as of now"))
            assert shows(pilot, "mara/weather-now")

    async def test_without_a_session_it_says_why(self) -> None:
        backend = FakeBackend()
        backend.elsewhere.refusals["subscriptions"] = ApimarketClientError(
            "Who are you?", hint="Log in.", code="token", status=401, title="No"
        )
        async with running(backend) as pilot:
            await market("S")(pilot)
            await until(pilot, lambda: shows(pilot, "✗ Who are you?"))

    async def test_none_says_how_to_begin_one(self) -> None:
        backend = FakeBackend()
        backend.elsewhere.subscriptions = []
        async with running(backend) as pilot:
            await market("S")(pilot)
            await until(pilot, lambda: shows(pilot, "No subscriptions"))

    @pytest.mark.parametrize(("minor", "text"), [(0, "0 EUR"), (450, "4.50 EUR"), (2000, "20 EUR"), (5, "0.05 EUR")])
    def test_amounts(self, minor: int, text: str) -> None:
        assert amount(minor, some_plans()[1]) == text


class TestChanging:
    async def test_it_is_cancelled_after_asking_and_kept_again(self) -> None:
        backend = FakeBackend()
        async with running(backend, size=(120, 40)) as pilot:
            await market("S", "c")(pilot)
            assert shows(pilot, "It goes on until its period ends, in 12d")
            await press(pilot, "y")
            await until(pilot, lambda: "◐ ends then" in row(pilot, "mara/weather-now"))
            await press(pilot, "z")
            await until(pilot, lambda: "● active" in row(pilot, "mara/weather-now"))
            assert backend.elsewhere.changed == [("sub_1", {"cancel": "period_end"}), ("sub_1", {"keep": True})]

    async def test_another_plan_is_chosen_and_nothing_else_sent(self) -> None:
        backend = FakeBackend()
        async with running(backend, size=(120, 40)) as pilot:
            await market("S", "down", "p")(pilot)
            assert pilot.app.screen.query_one("#cap", Input).value == "50.50"
            assert pilot.app.screen.query_one("#plans").selected.code == "pro"  # type: ignore[attr-defined]
            await press(pilot, "enter")
            assert shows(pilot, "That is how it is already")
            pilot.app.screen.query_one("#cap", Input).value = "60"
            await press(pilot, "ctrl+s")
            await until(pilot, lambda: isinstance(pilot.app.screen, SubscriptionsScreen))
            assert backend.elsewhere.changed == [("sub_2", {"spend_cap_minor": 6000})]

    async def test_the_marketplaces_refusal_stands_in_the_form(self) -> None:
        backend = FakeBackend()
        backend.elsewhere.refusals["change_subscription"] = ApimarketClientError(
            "There is no such plan any more", hint="", code="x", status=404, title="No"
        )
        async with running(backend, size=(120, 40)) as pilot:
            await market("S", "p", "down", "enter")(pilot)
            assert shows(pilot, "There is no such plan any more")

    async def test_another_key_is_made_after_asking_and_shown_once(self) -> None:
        backend = FakeBackend()
        backend.elsewhere.subscriptions[0] = backend.elsewhere.subscriptions[0].model_copy(update={"key_id": "key_1"})
        async with running(backend, size=(120, 40)) as pilot:
            await market("S", "R", "y")(pilot)
            await until(pilot, lambda: shows(pilot, "am_rotated"))
            await press(pilot, "escape")
            assert not shows(pilot, "am_rotated")

    async def test_another_key_whose_answer_was_lost_is_the_same_request_again(self) -> None:
        backend = FakeBackend()
        there = backend.elsewhere
        there.subscriptions[0] = there.subscriptions[0].model_copy(update={"key_id": "key_1"})
        async with running(backend, size=(120, 40)) as pilot:
            await market("S")(pilot)
            there.down = True
            await press(pilot, "R", "y")
            await until(pilot, lambda: shows(pilot, "connection refused"))
            there.down = False
            there.subscriptions[0] = there.subscriptions[0].model_copy(update={"key_id": "key_2"})
            await press(pilot, "r", "R", "y")
            await until(pilot, lambda: shows(pilot, "am_rotated"))
        first, second = there.rotated
        assert first == second
        assert first[0] == "key_1"

    async def test_one_that_is_over_is_left_alone(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await market("S", "G", "c")(pilot)
            assert "is over" in said(pilot)
            assert backend.elsewhere.changed == []

    async def test_it_opens_what_it_is_to_and_copies_its_url(self) -> None:
        async with running(size=(120, 40)) as pilot:
            await market("S", "y")(pilot)
            assert pilot.app.clipboard == f"{MARKET_URL}/mara/weather-now/"
            await press(pilot, "enter")
            await until(pilot, lambda: isinstance(pilot.app.screen, ListingScreen))
