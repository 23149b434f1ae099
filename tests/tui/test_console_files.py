"""Try it, beyond the one call: found again after a restart, written into files, filled in from a document."""

import json
from pathlib import Path
from typing import Any

import pytest
from textual.events import Paste
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from apimarket_tui.drafts import Outgoing
from apimarket_tui.saved_calls import content_of, name_for
from apimarket_tui.screens.operations import OperationScreen
from apimarket_tui.widgets.ask import AskPane, AuthPicker
from apimarket_tui.widgets.method import MethodPicker
from apimarket_tui.widgets.table import LineTable
from local_server.client.results import CallResult

from .fake_backend import FakeBackend
from .screen_text import screen_text
from .screens import press, running, until
from .test_operations import WEATHER


def url(pilot: Pilot[Any]) -> Input:
    return pilot.app.screen.query_one("#url", Input)


async def send(pilot: Pilot[Any], address: str) -> None:
    url(pilot).value = address
    await pilot.press("ctrl+s")
    await until(pilot, lambda: "200" in screen_text(pilot.app))


async def answer(pilot: Pilot[Any], text: str) -> None:
    """The question that is open."""
    field = pilot.app.focused
    assert isinstance(field, Input)
    field.value = text
    await press(pilot, "enter")


class TestAfterARestart:
    async def test_a_call_is_found_again_without_its_secrets(self, tmp_path: Path) -> None:
        async with running(home=tmp_path) as pilot:
            await press(pilot, "3")
            ask = pilot.app.screen.query_one(AskPane)
            ask.fill("units=metric", "X-A: 1", "", "bearer", "am_live_secret")
            await send(pilot, "weather/now?q=oslo")
        assert "am_live_secret" not in (tmp_path / "calls.json").read_text()
        backend = FakeBackend()
        async with running(backend, home=tmp_path) as pilot:
            await press(pilot, "3")
            history = pilot.app.screen.query_one("#history", LineTable)
            await until(pilot, lambda: len(history.rows) == 1)
            history.focus()
            await press(pilot, "down", "up")
            history.post_message(LineTable.Chosen(history))
            await until(pilot, lambda: url(pilot).value.endswith("/ana/weather/now?q=oslo&units=metric"))
            headers = pilot.app.screen.query_one("#headers", TextArea)
            assert headers.text == "X-A: 1\nAuthorization: Bearer [redacted]"
            await until(pilot, lambda: "is not kept beyond the run" in screen_text(pilot.app))
            await press(pilot, "ctrl+s")
            await until(pilot, lambda: "A secret was not kept" in screen_text(pilot.app))
            assert backend.called == []

    async def test_what_cannot_be_kept_is_said_and_the_answer_shown(self, tmp_path: Path) -> None:
        (tmp_path / "home").write_text("a file where the directory should be")
        async with running(home=tmp_path / "home") as pilot:
            await press(pilot, "3")
            url(pilot).value = "weather"
            await pilot.press("ctrl+s")
            await until(pilot, lambda: '"temperature": -3.5' in screen_text(pilot.app))
            assert "not kept beyond this run" in str([note.message for note in pilot.app._notifications])


class TestParts:
    async def test_query_and_auth_go_along(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await press(pilot, "3")
            pilot.app.screen.query_one("#query", TextArea).text = "q=oslo\n# units=metric"
            pilot.app.screen.query_one(AuthPicker).choose("basic")
            pilot.app.screen.query_one(AuthPicker).method = "basic"
            await pilot.pause()
            pilot.app.screen.query_one("#auth-secret", Input).value = "ana:x"
            await send(pilot, "weather/now")
            assert "Query•" in screen_text(pilot.app)
            assert "ana:x" not in screen_text(pilot.app)
        (called,) = backend.called
        assert called[1].endswith("/ana/weather/now?q=oslo")
        assert called[2] == {"Authorization": "Basic YW5hOng="}

    async def test_brackets_turn_the_parts_and_zoom_gives_the_answer_room(self) -> None:
        async with running() as pilot:
            await press(pilot, "3", "escape", "right_square_bracket", "right_square_bracket")
            await until(pilot, lambda: pilot.app.screen.query_one("#body", TextArea).display)
            before = pilot.app.screen.query_one("#answer").size.width
            await press(pilot, "plus", "plus")
            answer = pilot.app.screen.query_one("#answer")
            await until(pilot, lambda: answer.size.width > before + 20)
            await press(pilot, "underscore", "underscore")
            await until(pilot, lambda: answer.size.width == before)

    async def test_a_curl_command_may_be_pasted_anywhere(self) -> None:
        async with running() as pilot:
            await press(pilot, "3", "escape")
            pilot.app.screen.post_message(Paste("curl -X PUT -H 'X-A: 1' -d '{}' http://h/x"))
            await until(pilot, lambda: url(pilot).value == "http://h/x")
            assert pilot.app.screen.query_one("#method", MethodPicker).method == "PUT"
            assert pilot.app.screen.query_one("#body", TextArea).text == "{}"


class TestWriting:
    async def test_the_answer_and_the_request(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        async with running() as pilot:
            await press(pilot, "3")
            await send(pilot, "weather/now?q=oslo")
            await press(pilot, "w")
            field = pilot.app.focused
            assert isinstance(field, Input)
            assert field.value == "now.json"
            await press(pilot, "enter")
            await until(pilot, (tmp_path / "now.json").exists)
            assert json.loads((tmp_path / "now.json").read_bytes())["city"] == "oslo"
            await press(pilot, "w")
            await press(pilot, "enter")
            await until(pilot, lambda: "it is there; enter again replaces it" in screen_text(pilot.app))
            (tmp_path / "now.json").write_text("old")
            await press(pilot, "enter")
            await until(pilot, lambda: (tmp_path / "now.json").read_text().startswith("{"))
            await press(pilot, "w")
            await answer(pilot, "now.http")
            await until(pilot, (tmp_path / "now.http").exists)
            text = (tmp_path / "now.http").read_text()
            assert text.startswith("# 200 OK, 154 bytes")
            assert "GET http://127.0.0.1:8080/ana/weather/now?q=oslo\n" in text
            assert (tmp_path / "now.http").stat().st_mode & 0o777 == 0o600
            await press(pilot, "w")
            await answer(pilot, "no/such/place.json")
            await until(pilot, lambda: "No such file or directory" in screen_text(pilot.app))

    def test_without_an_answer_there_is_only_the_request(self) -> None:
        out = Outgoing("GET", "http://h/ana/weather/..%2Fx/", [("X-A", "it's")], "")
        assert name_for(out, None) == "2Fx.http"
        assert b"-H 'X-A: it'" in content_of(Path("x.sh"), out, None)
        with pytest.raises(ValueError, match="No answer is here"):
            content_of(Path("x.json"), out, None)


class TestDocuments:
    async def test_an_operation_of_ones_own_api_fills_everything_in(self) -> None:
        backend = FakeBackend()
        backend.answer = CallResult(200, "OK", [("content-type", "application/json")], WEATHER, 5.0)
        async with running(backend, size=(120, 30)) as pilot:
            await press(pilot, "3")
            url(pilot).value = "weather/now"
            await press(pilot, "escape", "i")
            field = pilot.app.focused
            assert isinstance(field, Input)
            assert field.value == "http://127.0.0.1:8080/ana/weather/openapi.json"
            await press(pilot, "enter")
            await until(pilot, lambda: isinstance(pilot.app.screen, OperationScreen))
            await until(pilot, lambda: "One station" in screen_text(pilot.app))
            pilot.app.screen.query_one(Input).value = "report"
            await press(pilot, "enter")
            await until(pilot, lambda: url(pilot).value.endswith("/ana/weather/stations/a%2Fb/{day}"))
            assert pilot.app.screen.query_one("#method", MethodPicker).method == "POST"
            assert '"city": "oslo"' in pilot.app.screen.query_one("#body", TextArea).text
            await press(pilot, "ctrl+s")
            await until(pilot, lambda: "still has {day} in it" in screen_text(pilot.app))

    async def test_a_file_is_read_too_and_what_is_none_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "api.json").write_bytes(WEATHER)
        (tmp_path / "api.yaml").write_text("openapi: 3.0.0")
        async with running(size=(120, 30)) as pilot:
            await press(pilot, "3", "escape", "i")
            await answer(pilot, str(tmp_path / "gone.json"))
            await until(pilot, lambda: "No such file" in " ".join(screen_text(pilot.app).split()))
            await press(pilot, "i")
            await answer(pilot, str(tmp_path / "api.yaml"))
            await until(pilot, lambda: "documents in JSON are read" in screen_text(pilot.app))
            await press(pilot, "i")
            await answer(pilot, str(tmp_path / "api.json"))
            await until(pilot, lambda: isinstance(pilot.app.screen, OperationScreen))
            await press(pilot, "escape")
            assert url(pilot).value == ""
