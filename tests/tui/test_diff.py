"""What changed between two states of an API: chosen in Versions, file by file, anew with each save."""

from typing import Any

import pytest
from textual.pilot import Pilot

from apimarket_tui.diff_rows import lines_of
from apimarket_tui.screens.diff import DiffScreen
from apimarket_tui.widgets.lines import LineView
from local_server.client.errors import ApimarketClientError
from local_server.wire.apis import GenerationView
from local_server.wire.events import ApiUpdated

from .fake_backend import NOW, FakeBackend
from .fake_diff import a_file
from .screen_text import screen_text
from .screens import press, running, said, tab, type_text, until


def shows(pilot: Pilot[Any], text: str) -> bool:
    return text in screen_text(pilot.app)


def asked(backend: FakeBackend) -> list[str]:
    return [what for method, what in backend.did if method == "diff"]


class TestChoosing:
    @pytest.mark.parametrize(
        ("pressed", "sides"),
        [
            (["equals_sign"], "None None"),
            (["down", "down", "equals_sign"], "1.2.0 dev"),
            (["down", "down", "space", "space", "equals_sign"], "1.1.4 1.2.0"),
        ],
    )
    async def test_the_selected_one_or_two_that_are_marked(self, pressed: list[str], sides: str) -> None:
        backend = FakeBackend()
        async with running(backend, size=(120, 40)) as pilot:
            await tab("versions", *pressed)(pilot)
            await until(pilot, lambda: shows(pilot, "7 files"))
            assert asked(backend) == [f"weather {sides} None"]

    async def test_three_that_are_marked_are_too_many(self) -> None:
        async with running(size=(120, 40)) as pilot:
            await tab("versions", "space", "space", "space", "equals_sign")(pilot)
            assert not isinstance(pilot.app.screen, DiffScreen)
            assert "3 are marked; two can be compared" in said(pilot)

    async def test_others_are_typed_and_turned_round(self) -> None:
        backend = FakeBackend()
        async with running(backend, size=(120, 40)) as pilot:
            await tab("versions", "equals_sign", "c")(pilot)
            await press(pilot, "ctrl+u")
            await type_text(pilot, "g13 serving")
            await press(pilot, "enter", "x")
            await until(pilot, lambda: shows(pilot, "serving → g13"))
            assert asked(backend)[1:] == ["weather g13 serving None", "weather serving g13 None"]


class TestReading:
    async def test_the_file_under_the_cursor_is_read(self) -> None:
        async with running(size=(120, 40)) as pilot:
            await tab("versions", "equals_sign", "right_square_bracket", "right_square_bracket")(pilot)
            await until(pilot, lambda: shows(pilot, "+ import httpx"))
            assert shows(pilot, "- import urllib.request")
            await press(pilot, "tab")
            assert isinstance(pilot.app.focused, LineView)
            await press(pilot, "left_square_bracket")
            assert shows(pilot, "It is too large to be compared line by line: 4.0 MB → 4.1 MB")

    async def test_all_lines_of_a_long_one_come_when_asked_for(self) -> None:
        backend = FakeBackend()
        async with running(backend, size=(120, 40)) as pilot:
            await tab("versions", "equals_sign", *["down"] * 3)(pilot)
            await press(pilot, "tab", "G")
            assert shows(pilot, "… there is more of it: a shows all")
            await press(pilot, "a")
            await until(pilot, lambda: asked(backend)[-1] == "weather None None places.py")
            await press(pilot, "G")
            await until(pilot, lambda: shows(pilot, "840 + place 839"))

    async def test_the_same_files_say_so(self) -> None:
        backend = FakeBackend()
        backend.changed_files = []
        async with running(backend) as pilot:
            await tab("versions", "equals_sign")(pilot)
            await until(pilot, lambda: shows(pilot, "They hold the same files"))

    async def test_a_save_compares_again(self) -> None:
        backend = FakeBackend()
        async with running(backend, size=(120, 40)) as pilot:
            await tab("versions", "equals_sign")(pilot)
            await until(pilot, lambda: shows(pilot, "7 files"))
            backend.changed_files = backend.changed_files[:1]
            saved = GenerationView(
                number=99, digest="ab" * 32, outcome="serving", started_at=NOW, deps_key="", timings_ms={}, failure=None
            )
            backend.emit(ApiUpdated(api=backend.known["weather"].model_copy(update={"generation": saved})))
            await until(pilot, lambda: shows(pilot, "1 file  "))

    async def test_a_refusal_stands_in_the_place_of_the_files(self) -> None:
        backend = FakeBackend()
        backend.refusals["diff"] = ApimarketClientError(
            "Nothing of it serves", hint="Name two sides.", code="nothing_to_compare", status=409, title="Nothing"
        )
        async with running(backend) as pilot:
            await tab("versions", "equals_sign")(pilot)
            await until(pilot, lambda: shows(pilot, "✗ Nothing of it serves") and shows(pilot, "Name two sides."))


class TestLines:
    def test_each_has_its_number(self) -> None:
        file = a_file("x", lines=["@@ -9,2 +11,2 @@", " same", "-old\r", "+old", "\\ No newline at end of file"])
        texts = ["".join(text for text, _ in line) for line in lines_of(file)]
        assert texts == [
            "@@ -9,2 +11,2 @@",
            "   11   same",
            "   10 - old^M",
            "   12 + old",
            "      \\  No newline at end of file",
        ]

    def test_what_would_steer_a_terminal_is_taken_out(self) -> None:
        file = a_file("x", lines=["@@ -0,0 +1 @@", "+\x1b]0;mine\x07\x9b31mred\x1b[2J\u202eabc"])
        assert "".join(text for text, _ in lines_of(file)[1]) == "    1 + redabc"
