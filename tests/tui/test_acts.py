"""Keys do what they say, to the API under the cursor."""

import os
from pathlib import Path

import pytest

from apimarket_tui.app import ApimarketApp
from apimarket_tui.screens.confirm import ConfirmScreen
from apimarket_tui.screens.console import ConsoleScreen
from apimarket_tui.screens.detail import TABS, DetailScreen
from apimarket_tui.screens.doctor import DoctorScreen
from apimarket_tui.screens.help import HelpScreen
from apimarket_tui.screens.local import LocalScreen
from apimarket_tui.widgets.peek import Peek
from apimarket_tui.widgets.prompt import Prompt
from apimarket_tui.widgets.table import LineTable
from local_server.client.errors import ApimarketClientError
from local_server.wire.events import ApiGone, ApiUpdated

from .fake_backend import FakeBackend, an_api
from .screen_text import screen_text
from .screens import press, running, said, type_text, until


@pytest.mark.parametrize(
    ("key", "api", "did"),
    [
        ("r", "weather", ("restart", "weather")),
        ("s", "weather", ("stop", "weather")),
        ("s", "notes", ("deploy", "notes")),
        ("s", "ledger", ("deploy", "ledger")),
        ("z", "weather", ("undo", "weather")),
    ],
)
async def test_a_key_asks_the_server(key: str, api: str, did: tuple[str, str]) -> None:
    backend = FakeBackend()
    async with running(backend) as pilot:
        pilot.app.screen.choose(api)  # type: ignore[attr-defined]
        await pilot.press(key)
        await until(pilot, lambda: did in backend.did)


async def test_the_answer_shows_before_any_event() -> None:
    async with running() as pilot:
        pilot.app.screen.choose("notes")  # type: ignore[attr-defined]
        await pilot.press("s")
        await until(pilot, lambda: "notes       py   ◐ starting" in screen_text(pilot.app))


async def test_a_refusal_is_told_with_what_to_do() -> None:
    backend = FakeBackend()
    backend.refusals["undo"] = ApimarketClientError(
        "weather has no [/generation] before this one",
        hint="Save once more first.",
        code="nothing_to_undo",
        status=409,
        title="Nothing to undo",
    )
    async with running(backend, size=(120, 40)) as pilot:
        await pilot.press("z")
        await until(pilot, lambda: "Save once more first." in screen_text(pilot.app))


class TestMany:
    async def test_what_is_marked_is_done_with_all_of_it(self) -> None:
        backend = FakeBackend()
        async with running(backend, size=(120, 40)) as pilot:
            await press(pilot, "space", "down", "space")
            assert "2 marked" in screen_text(pilot.app)
            await press(pilot, "b")
            assert "billing, geocode" in screen_text(pilot.app)
            await press(pilot, "r")
            await until(pilot, lambda: "2 APIs reloaded" in said(pilot))
            assert [did for did in backend.did if did[0] == "restart"] == [
                ("restart", "billing"),
                ("restart", "geocode"),
            ]
            await press(pilot, "escape")
            assert "marked" not in screen_text(pilot.app).splitlines()[0]

    async def test_without_marks_all_that_is_shown_is_meant_and_those_it_changes_nothing_for_are_left(self) -> None:
        backend = FakeBackend()
        async with running(backend, size=(120, 40)) as pilot:
            await press(pilot, "slash", "n", "o", "t", "e", "enter", "b")
            assert "With 1 API" in screen_text(pilot.app)
            await press(pilot, "x")
            assert "None of them is to be stopped" in said(pilot)
            await press(pilot, "b", "s")
            await until(pilot, lambda: ("deploy", "notes") in backend.did)

    async def test_one_that_cannot_stops_no_other_and_is_told(self) -> None:
        backend = FakeBackend()

        async def undo(name: str) -> object:
            if name == "billing":
                raise ApimarketClientError("nothing before it", hint="", code="x", status=409, title="No")
            return backend.known[name]

        backend.undo = undo  # type: ignore[method-assign, assignment]
        async with running(backend, size=(120, 40)) as pilot:
            await press(pilot, "space", "space", "b", "z")
            await until(pilot, lambda: "1 API undone\n✗ billing: nothing before it" in said(pilot))

    async def test_removing_many_asks_and_names_them(self) -> None:
        backend = FakeBackend()
        async with running(backend, size=(120, 40)) as pilot:
            await press(pilot, "space", "space", "b", "d")
            assert "Remove 2 APIs?" in screen_text(pilot.app)
            assert "billing, fx-rates" in screen_text(pilot.app)
            await press(pilot, "escape")
            assert len(backend.known) == 10
            await press(pilot, "b", "d", "y")
            await until(pilot, lambda: len(backend.known) == 8)
            await until(pilot, lambda: "marked" not in screen_text(pilot.app).splitlines()[0])


class TestJump:
    async def test_a_letter_goes_to_a_tab(self) -> None:
        async with running() as pilot:
            await press(pilot, "enter", "ctrl+o")
            labels = [label.content.plain.strip() for label in pilot.app.screen.query(".jump")]  # type: ignore[attr-defined]
            assert len(labels) == len(TABS) + 1  # and what is on the first
            await press(pilot, "s")
            assert isinstance(pilot.app.screen, DetailScreen)
            assert pilot.app.screen.tab == "logs"

    async def test_a_letter_goes_to_a_field(self) -> None:
        async with running() as pilot:
            await press(pilot, "3", "escape", "ctrl+o", "d")
            assert isinstance(pilot.app.screen, ConsoleScreen)
            assert pilot.app.focused is not None
            assert pilot.app.focused.id == "send"

    async def test_escape_goes_nowhere(self) -> None:
        async with running() as pilot:
            await press(pilot, "ctrl+o", "escape")
            assert isinstance(pilot.app.screen, LocalScreen)


class TestShell:
    async def test_an_api_that_runs_in_no_container_says_so(self) -> None:
        async with running() as pilot:
            pilot.app.screen.choose("search")  # type: ignore[attr-defined]
            await press(pilot, "x")
            assert "runs in no container" in said(pilot)

    async def test_one_that_does_not_run_says_how_to_start_it(self) -> None:
        async with running() as pilot:
            pilot.app.screen.choose("notes")  # type: ignore[attr-defined]
            await press(pilot, "x")
            assert "s starts it" in said(pilot)


class TestRemove:
    async def test_asks_first_and_keeps_on_escape(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await press(pilot, "ctrl+d")
            assert isinstance(pilot.app.screen, ConfirmScreen)
            await press(pilot, "escape")
            assert "billing" in backend.known

    async def test_enter_on_the_default_keeps(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await press(pilot, "ctrl+d", "enter")
            assert "billing" in backend.known

    async def test_yes_removes(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await press(pilot, "ctrl+d", "y")
            await until(pilot, lambda: "billing" not in backend.known)
            await until(pilot, lambda: len(pilot.app.screen.query_one("#table", LineTable).rows) == 9)


class TestGoing:
    async def test_modes(self) -> None:
        async with running() as pilot:
            for key, kind in (("3", ConsoleScreen), ("5", DoctorScreen), ("1", LocalScreen)):
                # In Try it the address has the focus; esc leaves it so that letters and digits are keys again.
                await press(pilot, "escape", key)
                assert isinstance(pilot.app.screen, kind)

    async def test_enter_opens_and_escape_goes_back(self) -> None:
        async with running() as pilot:
            await press(pilot, "enter")
            assert isinstance(pilot.app.screen, DetailScreen)
            await press(pilot, "escape")
            assert isinstance(pilot.app.screen, LocalScreen)

    async def test_l_opens_the_logs_and_brackets_turn_the_tabs(self) -> None:
        async with running() as pilot:
            await press(pilot, "l")
            screen = pilot.app.screen
            assert isinstance(screen, DetailScreen)
            assert screen.tab == "logs"
            await press(pilot, "right_square_bracket")
            assert screen.tab == "requests"
            await press(pilot, "left_square_bracket", "left_square_bracket")
            assert screen.tab == "overview"

    async def test_help_opens_and_closes(self) -> None:
        async with running() as pilot:
            await press(pilot, "question_mark")
            assert isinstance(pilot.app.screen, HelpScreen)
            await press(pilot, "escape")
            assert isinstance(pilot.app.screen, LocalScreen)

    async def test_a_removed_api_closes_its_screen(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await press(pilot, "enter")
            backend.emit(ApiGone(id="api_billing", name="billing"))
            await until(pilot, lambda: isinstance(pilot.app.screen, LocalScreen))

    async def test_quit_leaves_with_0_and_closes_the_client(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await pilot.press("ctrl+q")
        assert pilot.app.return_value == 0
        assert backend.closed


class TestTheMouse:
    async def test_a_click_selects_and_two_open(self) -> None:
        async with running() as pilot:
            await pilot.click("#table", offset=(4, 3))
            await until(pilot, lambda: pilot.app.screen.current_api().name == "geocode")  # type: ignore[attr-defined]
            await pilot.click("#table", offset=(4, 3), times=2)
            await until(pilot, lambda: isinstance(pilot.app.screen, DetailScreen))

    async def test_a_key_of_the_bar_can_be_clicked(self) -> None:
        async with running() as pilot:
            await pilot.click("KeyBar", offset=(78, 0))
            await until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen))

    async def test_a_tab_can_be_clicked(self) -> None:
        async with running() as pilot:
            await press(pilot, "enter")
            await pilot.click("TabLine", offset=(14, 0))
            await until(pilot, lambda: pilot.app.screen.tab == "logs")  # type: ignore[attr-defined]


class TestFilter:
    async def test_narrows_as_one_types_and_escape_shows_all(self) -> None:
        async with running() as pilot:
            table = pilot.app.screen.query_one("#table", LineTable)
            await press(pilot, "slash", "g", "o")
            assert [api.name for api in table.rows] == ["fx-rates", "thumbnails"]
            await press(pilot, "escape")
            assert len(table.rows) == 10

    async def test_enter_keeps_it_and_letters_are_keys_again(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await press(pilot, "slash", "t", "h", "u", "m", "enter")
            assert not pilot.app.screen.query_one(Prompt).display
            await pilot.press("r")
            await until(pilot, lambda: ("restart", "thumbnails") in backend.did)

    async def test_letters_typed_in_a_field_are_no_keys(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await press(pilot, "slash", "r", "s", "z", "5", "n")
            assert isinstance(pilot.app.screen, LocalScreen)
            assert backend.did == []

    async def test_nothing_found_says_how_to_see_all(self) -> None:
        async with running() as pilot:
            await press(pilot, "slash", "q", "q", "q")
            assert "No API matches qqq" in screen_text(pilot.app)


class TestCommandLine:
    async def test_acts_on_the_named_api(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await press(pilot, "colon")
            await type_text(pilot, "restart notes")
            await press(pilot, "enter")
            await until(pilot, lambda: ("restart", "notes") in backend.did)

    async def test_a_wrong_word_is_refused_in_place(self) -> None:
        async with running() as pilot:
            await press(pilot, "colon")
            await type_text(pilot, "frob")
            await press(pilot, "enter")
            assert "no command 'frob'" in screen_text(pilot.app)

    async def test_an_unknown_api_is_refused_in_place(self) -> None:
        async with running() as pilot:
            await press(pilot, "colon")
            await type_text(pilot, "logs nope")
            await press(pilot, "enter")
            assert "no API 'nope'" in screen_text(pilot.app)

    async def test_doctor_goes_there(self) -> None:
        async with running() as pilot:
            await press(pilot, "colon")
            await type_text(pilot, "doctor")
            await press(pilot, "enter")
            await until(pilot, lambda: isinstance(pilot.app.screen, DoctorScreen))


async def test_the_palette_offers_actions_and_apis_and_does_them() -> None:
    backend = FakeBackend()
    async with running(backend) as pilot:
        await press(pilot, "ctrl+p")
        await until(pilot, lambda: "logs billing" in screen_text(pilot.app))
        await type_text(pilot, "reload")
        await until(pilot, lambda: "reload billing" in screen_text(pilot.app))
        await press(pilot, "enter")
        await until(pilot, lambda: ("restart", "billing") in backend.did)


class TestCopyAndEdit:
    async def test_y_copies_the_url(self) -> None:
        async with running() as pilot:
            await press(pilot, "y")
            assert pilot.app.clipboard == "http://127.0.0.1:8080/ana/billing"

    async def test_o_opens_the_url(self, monkeypatch: pytest.MonkeyPatch) -> None:
        opened: list[str] = []
        async with running() as pilot:
            monkeypatch.setattr(pilot.app, "open_url", opened.append)
            await press(pilot, "o")
        assert opened == ["http://127.0.0.1:8080/ana/billing"]

    async def test_o_refuses_what_is_no_web_address(self, monkeypatch: pytest.MonkeyPatch) -> None:
        opened: list[str] = []
        async with running(FakeBackend([an_api("odd", url="file:///etc/passwd")])) as pilot:
            monkeypatch.setattr(pilot.app, "open_url", opened.append)
            await press(pilot, "o")
            assert "no web address" in said(pilot)
        assert opened == []

    async def test_e_without_an_editor_says_what_to_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("EDITOR", raising=False)
        monkeypatch.delenv("VISUAL", raising=False)
        async with running() as pilot:
            await press(pilot, "e")
            assert "$EDITOR is not set" in said(pilot)

    async def test_e_on_a_directory_of_another_machine_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(os.environ, "EDITOR", "true")
        async with running(FakeBackend([an_api("far", directory=str(Path("/no/such/directory")))])) as pilot:
            await press(pilot, "e")
            assert "not a directory on this machine" in said(pilot)


class TestTheCursor:
    async def test_stays_on_its_row_when_others_come(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            pilot.app.screen.choose("geocode")  # type: ignore[attr-defined]
            backend.emit(ApiUpdated(api=an_api("aardvark")))
            table = pilot.app.screen.query_one("#table", LineTable)
            await until(pilot, lambda: len(table.rows) == 11)
            assert table.selected is not None
            assert table.selected.name == "geocode"

    async def test_peek_shows_what_it_is_on(self) -> None:
        async with running() as pilot:
            pilot.app.screen.choose("geocode")  # type: ignore[attr-defined]
            await until(pilot, lambda: "g7 is still serving" in screen_text(pilot.app))
            peek = pilot.app.screen.query_one(Peek)
            assert peek.api is not None
            assert peek.api.name == "geocode"


async def test_the_theme_turns_light_and_back() -> None:
    async with running() as pilot:
        app = pilot.app
        assert isinstance(app, ApimarketApp)
        await press(pilot, "ctrl+t")
        assert app.theme == "apimarket-light"
        await press(pilot, "ctrl+t")
        assert app.theme == "apimarket-dark"
