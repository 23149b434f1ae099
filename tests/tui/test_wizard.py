"""A new API: what the server says of a wrong field stands by that field."""

import pytest
from textual.widgets import Input, Static

from apimarket_tui.screens.local import LocalScreen
from apimarket_tui.screens.wizard import WizardScreen
from local_server.client.errors import ApimarketClientError

from .fake_backend import FakeBackend
from .screen_text import screen_text
from .screens import press, running, said, type_text, until


def refusal(code: str) -> ApimarketClientError:
    return ApimarketClientError(f"refused: {code} [/x]", hint="do it so", code=code, status=422, title="Refused")


async def test_a_template_makes_an_api_and_selects_it() -> None:
    backend = FakeBackend()
    async with running(backend) as pilot:
        await press(pilot, "n")
        await type_text(pilot, "tides")
        pilot.app.screen.query_one("#templates").focus()
        await press(pilot, "down", "ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, LocalScreen))
        assert ("scaffold", "tides from fastapi") in backend.did
        assert pilot.app.screen.current_api().name == "tides"  # type: ignore[attr-defined]
        assert "tides is registered" in said(pilot)


async def test_an_existing_directory_is_registered() -> None:
    backend = FakeBackend()
    async with running(backend) as pilot:
        await press(pilot, "n", "ctrl+e")
        pilot.app.screen.query_one("#directory", Input).value = "/home/ana/code/tides"
        await press(pilot, "enter")
        await until(pilot, lambda: ("register", "/home/ana/code/tides") in backend.did)


@pytest.mark.parametrize(
    ("code", "field"),
    [
        ("invalid_name", "name"),
        ("name_taken", "name"),
        ("template_not_found", "templates"),
        ("unusable_directory", "directory"),
        ("something_new", "directory"),
    ],
)
async def test_a_refusal_stands_by_its_field(code: str, field: str) -> None:
    backend = FakeBackend()
    backend.refusals["scaffold"] = refusal(code)
    async with running(backend) as pilot:
        await press(pilot, "n", "x", "y", "ctrl+s")
        screen = pilot.app.screen
        assert isinstance(screen, WizardScreen)
        assert screen.query_one(f"#{field}-error", Static).display
        assert f"refused: {code} [/x]" in screen_text(pilot.app)
        assert "do it so" in screen_text(pilot.app)
        assert screen.query_one(f"#{field}").has_focus


async def test_a_missing_name_is_asked_for_without_the_server() -> None:
    backend = FakeBackend()
    async with running(backend) as pilot:
        await press(pilot, "n", "ctrl+s")
        assert "What is it called?" in screen_text(pilot.app)
        assert not backend.did


async def test_templates_that_cannot_be_read_are_told() -> None:
    backend = FakeBackend()
    backend.refusals["templates"] = refusal("internal")
    async with running(backend) as pilot:
        await press(pilot, "n")
        assert "refused: internal" in screen_text(pilot.app)


async def test_escape_leaves_without_doing_anything() -> None:
    backend = FakeBackend()
    async with running(backend) as pilot:
        await press(pilot, "n", "x", "y", "escape")
        assert isinstance(pilot.app.screen, LocalScreen)
        assert not backend.did
