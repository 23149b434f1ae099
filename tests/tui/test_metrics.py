"""The Metrics tab: figures over time, read point by point, kept with their age."""

import pytest
from textual.events import MouseMove

from apimarket_tui.panes.metrics import MetricsPane
from apimarket_tui.plot import LogScale, Series, cell_of, cell_ranges, lines, peak, stacked
from apimarket_tui.widgets.chart import Chart
from local_server.client.errors import ApimarketClientError

from .fake_backend import FakeBackend, some_stats
from .screen_text import screen_text
from .screens import press, running, settle, until

METRICS = ["right_square_bracket"] * 3


def rows(spans: list[list[tuple[str, str]]]) -> list[str]:
    return ["".join(text for text, _ in row) for row in spans]


class TestPlot:
    def test_every_point_has_its_cells_and_every_cell_its_points(self) -> None:
        for points in range(1, 200):
            for width in (1, 7, 52, 113):
                ranges = cell_ranges(points, width)
                assert len(ranges) <= width
                assert {point for low, high in ranges for point in range(low, high)} == set(range(points))
                start, end = cell_of(points - 1, points, width)
                assert 0 <= start < end <= width

    def test_bars_stand_on_the_ground_and_reach_the_peak(self) -> None:
        series = [Series("ok", "ok", (0.0, 4.0, 8.0))]
        assert peak(series) == 8
        assert rows(stacked(series, 3, 2, 8.0)) == ["  █", "▁██"]

    def test_the_bad_lies_at_the_bottom_however_little_it_is(self) -> None:
        series = [Series("2xx", "ok", (99.0,)), Series("5xx", "bad", (1.0,))]
        assert [row[0][1] for row in stacked(series, 1, 4, 100.0)] == ["ok", "ok", "ok", "bad"]

    def test_points_that_share_a_cell_show_their_mean_as_bars_and_their_peak_as_lines(self) -> None:
        assert rows(stacked([Series("a", "ok", (0.0, 8.0))], 1, 2, 8.0)) == [" ", "█"]
        spike = Series("a", "ok", (1.0, 100.0))
        (row,) = rows(lines([spike], 1, 1, LogScale(1.0, 100.0)))
        assert row == "⠈"

    def test_a_gap_is_not_bridged(self) -> None:
        (row,) = rows(lines([Series("a", "ok", (5.0, 5.0, None, 5.0, 5.0))], 5, 1, LogScale(1.0, 10.0)))
        assert row[2] == " "
        assert row[0] != " " != row[4]

    def test_each_factor_is_the_same_step(self) -> None:
        scale = LogScale(1.0, 100.0)
        assert scale.place(10.0) == pytest.approx(0.5)
        assert scale.at(scale.place(42.0)) == pytest.approx(42.0)
        assert (scale.place(0.0), scale.place(1e9)) == (0.0, 1.0)

    def test_nothing_known_draws_nothing(self) -> None:
        silent = [Series("a", "ok", (None, None))]
        assert rows(lines(silent, 4, 2, LogScale.over(silent))) == ["    ", "    "]
        assert rows(stacked([], 4, 2, peak([]))) == ["", ""]


class TestPane:
    async def test_w_goes_through_the_windows(self) -> None:
        backend = FakeBackend()
        async with running(backend, size=(120, 40)) as pilot:
            await press(pilot, "enter", *METRICS)
            for window in ("24h", "7d", "30d", "1h"):
                await press(pilot, "w")
                assert backend.did[-1] == ("stats", f"billing {window}")

    async def test_what_was_read_shows_at_once_the_next_time_with_its_age(self) -> None:
        backend = FakeBackend()
        async with running(backend, size=(120, 40)) as pilot:
            await press(pilot, "enter", *METRICS)
            await until(pilot, lambda: "as of now" in screen_text(pilot.app))
            await press(pilot, "escape")
            backend.refusals["stats"] = ApimarketClientError(
                "The store is busy", hint="Try again.", code="busy", status=503, title="Busy"
            )
            await press(pilot, "enter", *METRICS)
            text = screen_text(pilot.app)
            assert "17k requests" in text
            assert "✗ The store is busy" in text

    async def test_arrows_read_a_point_and_end_stops(self) -> None:
        async with running(size=(120, 40)) as pilot:
            await press(pilot, "enter", *METRICS, "left", "left")
            await until(pilot, lambda: "12:00  " in screen_text(pilot.app))
            assert "p50 " in screen_text(pilot.app).split("Latency")[1].splitlines()[0]
            await press(pilot, "right", "right")
            assert "12:01  " in screen_text(pilot.app)
            await press(pilot, "end")
            assert "12:01  " not in screen_text(pilot.app)

    async def test_a_click_on_a_chart_reads_that_point(self) -> None:
        async with running(size=(120, 40)) as pilot:
            await press(pilot, "enter", *METRICS)
            await pilot.click("#requests-chart", offset=(7, 4))
            await settle(pilot)
            assert "11:02  " in screen_text(pilot.app)

    async def test_the_mouse_drawn_over_a_chart_reads_what_is_below_it(self) -> None:
        async with running(size=(120, 40)) as pilot:
            await press(pilot, "enter", *METRICS)
            chart = pilot.app.screen.query_one("#requests-chart", Chart)
            for button, seen in ((0, False), (1, True)):
                chart.post_message(MouseMove(chart, 7, 4, 1, 0, button, False, False, False))
                await settle(pilot)
                assert ("11:02  " in screen_text(pilot.app)) == seen

    async def test_a_page_is_ten_points(self) -> None:
        async with running(size=(120, 40)) as pilot:
            await press(pilot, "enter", *METRICS, "left", "pageup")
            await until(pilot, lambda: "11:51  " in screen_text(pilot.app))

    async def test_out_of_view_nothing_is_asked(self) -> None:
        backend = FakeBackend()
        async with running(backend, size=(120, 40)) as pilot:
            await press(pilot, "enter", *METRICS)
            pane = pilot.app.screen.query_one(MetricsPane)
            asked = len([one for one in backend.did if one[0] == "stats"])
            pane._refresh()
            await settle(pilot)
            assert len([one for one in backend.did if one[0] == "stats"]) == asked + 1
            await press(pilot, "left_square_bracket")
            pane._refresh()
            await settle(pilot)
            assert len([one for one in backend.did if one[0] == "stats"]) == asked + 1

    async def test_an_api_that_was_never_called(self, monkeypatch: pytest.MonkeyPatch) -> None:
        empty = some_stats("billing", "1h")
        points = [
            point.model_copy(update={"requests": 0, "p50_ms": None, "p95_ms": None, "p99_ms": None, "statuses": {}})
            for point in empty.points
        ]
        silence = {"requests": 0, "requests_per_s": 0.0, "statuses": {}, "errors": [], "paths": [], "usage": None}
        nothing = empty.model_copy(update={"points": points, **silence})

        async def stats(name: str, window: str = "24h") -> object:
            return nothing

        backend = FakeBackend()
        monkeypatch.setattr(backend, "stats", stats)
        async with running(backend, size=(120, 40)) as pilot:
            await press(pilot, "enter", *METRICS)
            text = screen_text(pilot.app)
            assert "0 requests –/s" in text
            assert "■ no requests" in text
            await press(pilot, "left")
            assert "nothing answered" in screen_text(pilot.app)

    async def test_seven_days_are_drawn_again_only_when_they_change(self) -> None:
        async with running(size=(120, 40)) as pilot:
            await press(pilot, "enter", *METRICS, "w", "w")
            chart = pilot.app.screen.query_one("#latency-chart", Chart)
            before = chart._rows
            chart.refresh()
            await settle(pilot)
            assert chart._rows is before
