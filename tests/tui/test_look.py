"""What the look promises: readable without colour, in both themes, and words that fit their columns."""

from datetime import timedelta

import pytest
from textual.color import Color

from apimarket_tui.theme import DARK, LIGHT
from apimarket_tui.widgets.canvas import fit, pad
from apimarket_tui.widgets.table import Column, lay_out
from apimarket_tui.words import bar, condition, millis, rate, share, size, span, sparkline

from .fake_backend import NOW, an_api
from .screen_text import screen_text
from .screens import running


async def test_no_color_shows_only_shades_of_grey(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with running() as pilot:
        assert "✗ failing" in screen_text(pilot.app)
        assert "▸billing" in screen_text(pilot.app)
        line = pilot.app.screen.query_one("#table").render_lines(pilot.app.screen.query_one("#table").size.region)
        colours = {
            tuple(colour.triplet)
            for strip in line
            for segment in strip
            if segment.style
            for colour in (segment.style.color, segment.style.bgcolor)
            if colour is not None and colour.triplet is not None
        }
        assert colours
        assert all(max(colour) - min(colour) <= 2 for colour in colours)


@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=lambda theme: theme.name)
def test_every_tone_can_be_read(theme: object) -> None:
    """WCAG AA for text: 4.5 to 1 against the ground."""
    ground = Color.parse(theme.background)  # type: ignore[attr-defined]
    names = ("foreground", "primary", "accent", "success", "warning", "error")
    tones = [getattr(theme, name) for name in names] + [theme.variables["dim"]]  # type: ignore[attr-defined]
    for tone in tones:
        light, dark = sorted((_luminance(Color.parse(tone)), _luminance(ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, tone


def _luminance(colour: Color) -> float:
    parts = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in colour.normalized]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


class TestWords:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (None, "–"),
            (0.04, "0.0ms"),
            (0.42, "0.4ms"),
            (41.2, "41ms"),
            (999.4, "999ms"),
            (999.6, "1.0s"),
            (61_000, "61.0s"),
            (600_000, "10m"),
        ],
    )
    def test_millis(self, value: float | None, text: str) -> None:
        assert millis(value) == text

    def test_figures(self) -> None:
        assert [rate(0), rate(0.42), rate(12.3), rate(9_999), rate(25_000)] == ["–", "0.4", "12", "9999", "25k"]
        assert [share(0), share(0.002), share(0.5)] == ["0%", "0.2%", "50%"]
        assert [size(0), size(1023), size(48_400_000)] == ["0 B", "1.0 KB", "46 MB"]
        assert [span(0.2), span(59), span(3600), span(200_000)] == ["now", "59s", "1h", "2d"]

    def test_a_sparkline_has_the_width_asked_for(self) -> None:
        assert sparkline([0, 1, 2, 4], 4) == "▁▃▅█"
        assert sparkline([1] * 60, 7) == "███████"
        assert sparkline([], 5) == "     "
        assert sparkline([3], 3) == "  █"

    def test_a_bar_shows_even_a_sliver(self) -> None:
        assert bar(0.001, 100, 20) == "▏"
        assert bar(100, 100, 4) == "████"
        assert bar(0, 100, 4) == ""

    def test_every_state_has_glyph_and_word(self) -> None:
        states = {
            state: condition(an_api("x", state=state)).text
            for state in ("running", "building", "starting", "stopping", "stopped", "failed")
        }
        assert states == {
            "running": "● up",
            "building": "◐ building",
            "starting": "◐ starting",
            "stopping": "◐ stopping",
            "stopped": "○ stopped",
            "failed": "✗ failed",
        }
        assert condition(an_api("x", error="no")).text == "✗ failing"

    def test_a_clock_that_went_back_is_now(self) -> None:
        assert span((NOW - (NOW + timedelta(seconds=9))).total_seconds()) == "now"


class TestFitting:
    def test_wide_characters_are_cut_by_cells(self) -> None:
        assert fit([("日本語です", "text")], 6) == [("日本 …", "text")]
        assert pad([("日本", "text")], 6) == [("日本", "text"), ("  ", "text")]

    def test_a_later_piece_that_has_no_room_leaves_a_mark(self) -> None:
        assert fit([("abcd", "text"), ("e", "dim")], 4) == [("abc…", "text")]

    def test_columns_go_by_rank_and_never_overflow(self) -> None:
        columns = (Column("a", "A", 10, 20), Column("b", "B", 5, 5, rank=2), Column("c", "C", 5, 9, rank=1))
        for width in range(11, 80):
            cells = lay_out(columns, width)
            assert sum(cells.values()) + len(cells) <= width
        assert list(lay_out(columns, 17)) == ["a", "c"]
