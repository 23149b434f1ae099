"""Figures over time with an axis, a line for the point that is read, and its reading beside the title."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len
from textual import events
from textual.message import Message
from textual.strip import Strip

from apimarket_tui.plot import LogScale, Series, cell_of, cell_ranges, lines, peak, stacked
from apimarket_tui.widgets.canvas import LineCanvas, pad
from apimarket_tui.words import Spans

AXIS_CELLS = 7


@dataclass(frozen=True, slots=True)
class Charted:
    """What one chart shows."""

    title: str
    series: Sequence[Series] = ()
    kind: str = "bars"
    """`bars` are stacked over a straight scale, `lines` stand over a logarithmic one."""
    times: Sequence[str] = ()
    """What stands below each point, where there is room."""
    label: Callable[[float], str] = field(default=str)
    """A value of the axis in words."""
    reading: Callable[[int], Spans] | None = None
    """What there is to say of one point."""


class Chart(LineCanvas, can_focus=False):
    """Takes `Charted`; the point that is read is given too, so that several charts move together."""

    class Pointed(Message):
        """A point was clicked, or the mouse was drawn over it."""

        def __init__(self, point: int) -> None:
            super().__init__()
            self.point = point

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._charted = Charted("")
        self._cursor: int | None = None
        self._drawn: tuple[int, int, Charted] | None = None
        self._rows: list[Spans] = []
        self._axis: list[str] = []
        self._below = ""

    def show(self, charted: Charted, cursor: int | None) -> None:
        self._charted, self._cursor = charted, cursor
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        self._point_at(event.x)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if event.button:
            self._point_at(event.x)

    def _point_at(self, x: int) -> None:
        ranges = cell_ranges(self._points, self._plot_width)
        cell = x - AXIS_CELLS
        if 0 <= cell < len(ranges):
            self.post_message(self.Pointed(ranges[cell][1] - 1))

    @property
    def _points(self) -> int:
        return max((len(one.values) for one in self._charted.series), default=0)

    @property
    def _plot_width(self) -> int:
        return max(self.size.width - AXIS_CELLS - 1, 0)

    # -- Drawing

    def render_line(self, y: int) -> Strip:
        width, height = self.size.width, self.size.height
        if y == 0:
            return self.draw(self._heading(width), width)
        self._plot(height)
        if y == height - 1:
            return self.draw([(self._below, "dim")], width)
        if y - 1 >= len(self._rows):
            return self.draw([], width)
        spans: Spans = [(f"{self._axis[y - 1]:>{AXIS_CELLS - 1}} ", "dim"), *self._rows[y - 1]]
        strip = self.draw(spans, width)
        if self._cursor is None:
            return strip
        start, end = cell_of(self._cursor, self._points, self._plot_width)
        low, high = AXIS_CELLS + start, AXIS_CELLS + end
        here = strip.crop(low, high).apply_style(self.ground("cursor"))
        return Strip.join([strip.crop(0, low), here, strip.crop(high, width)])

    def _plot(self, height: int) -> None:
        rows = max(height - 2, 1)
        asked = (self._plot_width, rows, self._charted)
        if asked == self._drawn:
            return
        self._drawn = asked
        self._below = self._times()
        charted = self._charted
        if charted.kind == "bars":
            top = peak(charted.series)
            self._rows = stacked(charted.series, self._plot_width, rows, top)
            self._axis = _axis(rows, lambda place: charted.label(top * place) if top else "")
        else:
            scale = LogScale.over(charted.series)
            self._rows = lines(charted.series, self._plot_width, rows, scale)
            known = any(value is not None for one in charted.series for value in one.values)
            self._axis = _axis(rows, lambda place: charted.label(scale.at(place)) if known else "")

    def _heading(self, width: int) -> Spans:
        charted = self._charted
        left: Spans = [(f" {charted.title} ", "strong")]
        for one in charted.series:
            left += [(" ■ ", one.tone), (one.name, "dim")]
        right = charted.reading(self._cursor) if charted.reading and self._cursor is not None else []
        taken = sum(cell_len(text) for text, _ in right)
        return [*pad(left, max(width - taken - 1, 8)), *right]

    def _times(self) -> str:
        """As many as fit, each below its point."""
        line = ""
        points, width = self._points, self._plot_width
        for point, text in enumerate(self._charted.times):
            if not text:
                continue
            place = AXIS_CELLS + cell_of(point, points, width)[0]
            if (not line or place >= len(line) + 2) and place + len(text) <= self.size.width:
                line = line.ljust(place) + text
        return line


def _axis(rows: int, label: Callable[[float], str]) -> list[str]:
    """The top, the middle where there is room for it, and the bottom."""
    texts = [""] * rows
    texts[-1] = label(0.0)
    texts[0] = label(1.0)
    if rows >= 5:
        texts[rows // 2] = label(1 - (rows // 2) / (rows - 1))
    return texts
