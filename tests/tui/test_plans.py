"""The Plans tab: what is written, what of it is offered, who subscribed, and where it is changed."""

from typing import Any

import pytest
from textual.pilot import Pilot

from apimarket_tui.acts import ApiActs
from apimarket_tui.plan_rows import Known, offer_of, rows_of
from local_server.client.errors import ApimarketClientError

from .fake_backend import FakeBackend
from .fake_market import some_plans, some_users, some_written_plans
from .screen_text import screen_text
from .screens import _no_plans, plans, press, running, said, tab, until


def shows(pilot: Pilot[Any], text: str) -> bool:
    return text in screen_text(pilot.app)


class TestRows:
    def test_each_says_what_became_of_it(self) -> None:
        rows = rows_of(Known(some_written_plans(), "market", some_plans(), some_users()))
        assert [(row.code, offer_of(row).text, row.users) for row in rows] == [
            ("free", "● as written", 1),
            ("pro", "◐ still 4.50 EUR/month", 2),
            ("team", "◐ with the next version", 0),
        ]

    def test_one_that_is_written_no_more_is_offered_until_the_next_version(self) -> None:
        rows = rows_of(Known(some_written_plans()[:1], "market", some_plans()))
        assert [(row.code, offer_of(row).text) for row in rows][1:] == [("pro", "◐ until the next version")]

    def test_where_nothing_is_published_that_is_told(self) -> None:
        rows = rows_of(Known(some_written_plans(), "market"))
        assert {offer_of(row).text for row in rows} == {"○ not published"}

    def test_what_is_offered_for_want_of_a_plan_is_none(self) -> None:
        assert rows_of(Known([], "market", some_plans()[:1])) == []


class TestPane:
    async def test_plans_and_subscribers_of_the_marketplace_with_a_session(self) -> None:
        async with running(size=(120, 40)) as pilot:
            await plans()(pilot)
            assert shows(pilot, "3 in apimarket.toml   market.example: 2 offered, 3 subscribed")
            assert shows(pilot, "67.30 EUR")

    async def test_another_marketplace_is_asked(self) -> None:
        async with running(size=(120, 40)) as pilot:
            await plans("m")(pilot)
            await until(pilot, lambda: shows(pilot, "this machine: not listed there"))
            assert not shows(pilot, "67.30 EUR")
            await press(pilot, "m")
            await until(pilot, lambda: shows(pilot, "67.30 EUR"))

    async def test_who_may_not_know_who_subscribed_sees_the_plans(self) -> None:
        backend = FakeBackend()
        backend.elsewhere.refusals["subscribers"] = ApimarketClientError(
            "The session is over", hint="Log in.", code="session_invalid", status=401, title="Over"
        )
        async with running(backend, size=(120, 40)) as pilot:
            await plans()(pilot)
            await until(pilot, lambda: shows(pilot, "✗ The session is over"))
            assert shows(pilot, "◐ still 4.50 EUR/month")

    async def test_without_any_it_says_what_to_write(self) -> None:
        async with running() as pilot:
            await _no_plans(pilot)
            assert shows(pilot, "[[plan]]")

    async def test_the_manifest_is_opened_at_the_plan(self, monkeypatch: pytest.MonkeyPatch) -> None:
        opened: list[object] = []
        monkeypatch.setattr("apimarket_tui.panes.plans.plan_line", lambda api, code: code)
        monkeypatch.setattr(ApiActs, "do_edit", lambda self, api, file, line: opened.append((api.name, file, line)))
        async with running(size=(120, 40)) as pilot:
            await tab("plans", "down", "e", "m")(pilot)
            assert opened == [("weather", "apimarket.toml", "pro")]
            assert "No other marketplace has it" in said(pilot)
