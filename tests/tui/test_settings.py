"""The Settings tab: variables and secrets, which of them lack a value, and how they get one."""

from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from apimarket_tui.acts import ApiActs
from apimarket_tui.screens.detail import DetailScreen
from apimarket_tui.screens.set_secret import SetSecretScreen
from local_server.client.errors import ApimarketClientError

from .fake_backend import FakeBackend
from .screen_text import screen_text
from .screens import press, running, said, tab, type_text, until


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was to be edited where, rather than an editor."""
    opened: list[object] = []
    monkeypatch.setattr("apimarket_tui.panes.settings.variable_line", lambda api, name: name)
    monkeypatch.setattr(ApiActs, "do_edit", lambda self, api, file, line: opened.append((api.name, file, line)))
    return opened


def shows(pilot: Pilot[Any], text: str) -> bool:
    return text in screen_text(pilot.app)


async def test_what_lacks_a_value_and_what_nobody_uses_is_told() -> None:
    async with running(size=(120, 40)) as pilot:
        await tab("settings")(pilot)
        rows = {line.split()[0].lstrip("▸"): line for line in screen_text(pilot.app).splitlines() if line.strip()}
        assert "● set" in rows["API_TOKEN"]
        assert "✗ no value" in rows["SMTP_PASSWORD"]
        assert "○ not used" in rows["OLD_TOKEN"]
        assert "metric" in rows["UNITS"]
        assert shows(pilot, "2 variables")
        assert shows(pilot, "1 without a value")


async def test_a_value_is_set_and_shows_nowhere() -> None:
    backend = FakeBackend()
    async with running(backend, size=(120, 40)) as pilot:
        await tab("settings", "enter")(pilot)
        assert pilot.app.screen.query_one("#name", Input).value == "SMTP_PASSWORD"
        await type_text(pilot, "hunter 2 ")
        assert not shows(pilot, "hunter")
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: ("put_secret", "weather SMTP_PASSWORD=hunter 2 ") in backend.did)
        await until(pilot, lambda: isinstance(pilot.app.screen, DetailScreen) and not shows(pilot, "without a value"))
        assert "starts afresh with it" in said(pilot)


async def test_a_text_of_several_lines_is_refused_and_not_cut_off() -> None:
    backend = FakeBackend()
    async with running(backend, size=(120, 40)) as pilot:
        await tab("settings", "enter")(pilot)
        pilot.app.screen.query_one("#value", Input).post_message(events.Paste("-----BEGIN\nsecond\n"))
        await until(pilot, lambda: shows(pilot, "more than one line"))
        assert pilot.app.screen.query_one("#value", Input).value == ""
        pilot.app.screen.query_one("#value", Input).post_message(events.Paste("one line"))
        await until(pilot, lambda: pilot.app.screen.query_one("#value", Input).value == "one line")


async def test_a_variable_is_no_secret(opened: list[object]) -> None:
    async with running(size=(120, 40)) as pilot:
        await tab("settings", "G", "d")(pilot)
        assert "UNITS is no secret" in said(pilot)
        await press(pilot, "enter", "e")
        assert opened == [("weather", "apimarket.toml", "UNITS")] * 2


async def test_the_servers_refusal_stands_in_the_form() -> None:
    backend = FakeBackend()
    backend.refusals["put_secret"] = ApimarketClientError(
        "'a b' is no name of a secret", hint="Write it as: API_TOKEN", code="x", status=422, title="No"
    )
    async with running(backend, size=(120, 40)) as pilot:
        await tab("settings", "n")(pilot)
        await type_text(pilot, "a b")
        pilot.app.screen.query_one("#value", Input).value = "v"
        await press(pilot, "ctrl+s")
        assert isinstance(pilot.app.screen, SetSecretScreen)
        assert shows(pilot, "Write it as: API_TOKEN")


async def test_a_value_is_forgotten_after_asking() -> None:
    backend = FakeBackend()
    async with running(backend, size=(120, 40)) as pilot:
        await tab("settings", "down", "d")(pilot)
        assert shows(pilot, "Forget the value of API_TOKEN?")
        await press(pilot, "y")
        await until(pilot, lambda: ("remove_secret", "weather API_TOKEN") in backend.did)
        await until(pilot, lambda: shows(pilot, "2 without a value"))


async def test_without_any_it_says_where_they_come_from() -> None:
    backend = FakeBackend()
    backend.secret_list, backend.variable_list = [], []
    async with running(backend, size=(120, 40)) as pilot:
        await tab("settings")(pilot)
        assert shows(pilot, "No settings")
