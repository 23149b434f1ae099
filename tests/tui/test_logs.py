"""Logs: bounded, found in, followed, frozen, and fast at a million lines."""

import time
from datetime import timedelta

from apimarket_tui.history import LogHistory
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
            assert len(screen._history) > 900_000
        assert took_s < 0.5
