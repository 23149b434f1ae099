"""Logs: bounded, found in, followed, frozen, and fast at a million lines."""

import time
from datetime import timedelta

import pytest
from textual.widgets import Input

from apimarket_tui.history import LogHistory
from apimarket_tui.json_lines import json_line
from apimarket_tui.screens.detail import DetailScreen
from apimarket_tui.widgets.lines import LineView
from apimarket_tui.widgets.logs import LogPane
from local_server.wire.apis import LogLineView
from local_server.wire.events import LogsWritten

from .fake_backend import NOW, FakeBackend
from .screen_text import screen_text
from .screens import press, running, settle, type_text, until


def lines(count: int, text: str = "line", generation: int = 14) -> list[LogLineView]:
    return [
        LogLineView(
            api="billing",
            generation=generation,
            stream="out",
            text=f"{text} {number}",
            at=NOW + timedelta(seconds=number),
        )
        for number in range(count)
    ]


class TestHistory:
    def test_keeps_the_newest_and_counts_what_it_drops(self) -> None:
        history = LogHistory(cap=100)
        assert history.extend(lines(100)) == 0
        assert history.extend(lines(1, "new")) == 10
        assert (len(history), history.dropped, history[-1].text) == (91, 10, "new 0")

    def test_more_than_the_cap_at_once_keeps_the_end(self) -> None:
        history = LogHistory(cap=50)
        history.extend(lines(500))
        assert len(history) <= 50
        assert history[-1].text == "line 499"

    def test_finds_forwards_backwards_and_round(self) -> None:
        history = LogHistory()
        history.extend(lines(30))
        assert history.find("LINE 7", 0) == 7
        assert history.find("line 7", 8) == 7
        assert history.find("line 1", 9, step=-1) == 1
        assert history.find("nope", 3) is None
        assert LogHistory().find("x", 0) is None


class TestPane:
    async def test_follows_what_comes(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await press(pilot, "l")
            await until(pilot, lambda: backend.listeners("log:api_billing") == 1)
            backend.emit(LogsWritten(api_id="api_billing", lines=lines(300)))
            await until(pilot, lambda: "line 299" in screen_text(pilot.app))

    async def test_frozen_it_stays_where_it_is(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await press(pilot, "l")
            await until(pilot, lambda: "41 lines" in screen_text(pilot.app))
            await press(pilot, "f")
            before = screen_text(pilot.app).splitlines()[3:20]
            backend.emit(LogsWritten(api_id="api_billing", lines=lines(300)))
            await until(pilot, lambda: "341 lines" in screen_text(pilot.app))
            after = screen_text(pilot.app).splitlines()[3:20]
            assert [line[:70].rstrip() for line in after] == [line[:70].rstrip() for line in before]
            assert "frozen" in screen_text(pilot.app)
            await press(pilot, "f")
            await until(pilot, lambda: "line 299" in screen_text(pilot.app))

    async def test_scrolling_up_freezes(self) -> None:
        async with running() as pilot:
            await press(pilot, "l", "up")
            assert not pilot.app.screen.query_one("#lines", LineView).follow

    async def test_finds_and_goes_on(self) -> None:
        backend = FakeBackend()
        backend.log_lines = lines(200)
        async with running(backend) as pilot:
            await press(pilot, "l")
            await until(pilot, lambda: "line 199" in screen_text(pilot.app))
            await press(pilot, "slash")
            await type_text(pilot, "line 4")
            await press(pilot, "enter")
            pane = pilot.app.screen.query_one(LogPane)
            assert pane.view.marked == 4
            await press(pilot, "n")
            assert pane.view.marked == 40
            await press(pilot, "N", "N")
            assert pane.view.marked == 149 - 100
            await press(pilot, "slash")
            await type_text(pilot, "zzz")
            await press(pilot, "enter")
            assert "zzz” is not in the log" in screen_text(pilot.app)

    async def test_the_generation_stands_where_it_changes(self) -> None:
        backend = FakeBackend()
        backend.log_lines = [*lines(3, "old", 13), *lines(3, "new", 14)]
        async with running(backend) as pilot:
            await press(pilot, "l")
            await until(pilot, lambda: "new 2" in screen_text(pilot.app))
            marks = [line[10:16].strip() for line in screen_text(pilot.app).splitlines()[3:9]]
        assert marks == ["g13", "", "", "g14", "", ""]

    async def test_one_generation_alone_with_what_only_the_server_has(self) -> None:
        backend = FakeBackend()
        backend.older_lines = [
            line.model_copy(update={"at": NOW - timedelta(hours=1)}) for line in lines(2, "long", 13)
        ]
        backend.log_lines = [*lines(3, "old", 13), *lines(3, "new", 14), *lines(1, "nobody's", 0)]
        async with running(backend) as pilot:
            await press(pilot, "l")
            await until(pilot, lambda: "new 2" in screen_text(pilot.app))
            await press(pilot, "v")
            field = pilot.app.focused
            assert isinstance(field, Input)
            assert field.value == "14"
            field.value = "x"
            await press(pilot, "enter")
            await until(pilot, lambda: "'x' is no generation" in screen_text(pilot.app))
            field.value = "g13"
            await press(pilot, "enter")
            await until(pilot, lambda: "5 lines of g13" in screen_text(pilot.app))
            assert "new" not in screen_text(pilot.app).split("following")[0]
            more = [*lines(1, "later of 14", 14), *lines(1, "later of 13", 13)]
            backend.emit(LogsWritten(api_id="api_billing", lines=more))
            await until(pilot, lambda: "later of 13 0" in screen_text(pilot.app))
            assert "later of 14 0" not in screen_text(pilot.app)
            await press(pilot, "v")
            await until(pilot, lambda: "later of 14 0" in screen_text(pilot.app))
            assert "9 lines  " in screen_text(pilot.app)

    async def test_json_is_laid_out_and_a_line_can_be_seen_whole(self) -> None:
        backend = FakeBackend()
        said = '{"level": "error", "message": "no city", "city": "bergen op zoom", "tries": 3, "at": {"x": [1, 2]}}'
        backend.log_lines = [lines(1)[0], lines(1)[0].model_copy(update={"text": said})]
        async with running(backend, size=(120, 30)) as pilot:
            await press(pilot, "l")
            laid_out = 'ERROR no city  city="bergen op zoom"  tries=3  at={"x": [1, 2]}'
            await until(pilot, lambda: laid_out in screen_text(pilot.app))
            await press(pilot, "J")
            await until(pilot, lambda: said in screen_text(pilot.app))
            await press(pilot, "enter")
            await until(pilot, lambda: '"city": "bergen op zoom",' in screen_text(pilot.app))
            await until(pilot, lambda: "line 2 of 2" in screen_text(pilot.app))
            await press(pilot, "y", "left")
            assert pilot.app.clipboard == said
            await until(pilot, lambda: "line 1 of 2" in screen_text(pilot.app))

    async def test_logs_of_several_apis_are_one_by_time(self) -> None:
        backend = FakeBackend()
        backend.log_lines = []
        async with running(backend) as pilot:
            await press(pilot, "g", "space", "space", "b", "l")
            await until(pilot, lambda: backend.listeners("log:api_billing") == 1)
            await until(pilot, lambda: "0 lines" in screen_text(pilot.app))
            later = lines(2, "of billing")[1:]
            earlier = [lines(1, "of fx")[0].model_copy(update={"api": "fx-rates"})]
            backend.emit(LogsWritten(api_id="api_billing", lines=later))
            backend.emit(LogsWritten(api_id="api_fx-rates", lines=earlier))
            await until(pilot, lambda: "2 lines" in screen_text(pilot.app))
            shown = [line.split()[1:] for line in screen_text(pilot.app).splitlines()[2:4]]
        assert shown == [["fx-rates", "│", "of", "fx", "0"], ["billing", "│", "of", "billing", "1"]]

    async def test_a_replica_stands_before_what_it_wrote(self) -> None:
        backend = FakeBackend()
        first, second = lines(2, "said")
        backend.log_lines = [first, second.model_copy(update={"replica": 2})]
        async with running(backend) as pilot:
            await press(pilot, "l")
            await until(pilot, lambda: "#2 said 1" in screen_text(pilot.app))
            assert "│ said 0" in screen_text(pilot.app)

    async def test_a_million_lines_scroll_without_a_wait(self) -> None:
        backend = FakeBackend()
        async with running(backend) as pilot:
            await press(pilot, "l")
            await until(pilot, lambda: "41 lines" in screen_text(pilot.app))
            screen = pilot.app.screen
            assert isinstance(screen, DetailScreen)
            pane = screen.query_one(LogPane)
            one = lines(1)[0]
            for _ in range(10):
                pane.take([one] * 100_000)
            await settle(pilot)
            started = time.process_time()
            await pilot.press("g", "pagedown", "G", "pageup")
            took_s = time.process_time() - started
            started = time.process_time()
            pane.show_only(14)
            await pilot.press("g", "pagedown")
            took_s = max(took_s, time.process_time() - started)
            assert len(screen._history) > 900_000
        assert took_s < 0.5


class TestJsonLines:
    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ('{"level": 30, "time": 1, "msg": "listening", "port": 8080}', "INFO  listening  port=8080  "),
            ('{"severity": "WARNING", "event": "slow", "ms": 1.5}', "WARNING slow  ms=1.5  "),
            ('{"city": "oslo", "none": null, "empty": ""}', 'city=oslo  none=null  empty=""  '),
        ],
    )
    def test_level_words_and_the_rest(self, text: str, told: str) -> None:
        spans = json_line(text)
        assert spans is not None
        assert "".join(part for part, _ in spans) == told

    @pytest.mark.parametrize("text", ["{broken", '{"a": }', "[1, 2]", "plain", "{" * 100_000 + "}"])
    def test_anything_else_is_left_as_it_is(self, text: str) -> None:
        assert json_line(text) is None

    def test_nothing_in_it_reaches_the_terminal_that_should_not(self) -> None:
        spans = json_line('{"msg": "a\\u001b[2Jb", "k\\u0007": "\\u009b1m\\n"}')
        assert spans is not None
        assert "".join(part for part, _ in spans).isprintable()
