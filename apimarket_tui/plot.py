"""Figures over time as rows of text: stacked bars of eighths, and lines of braille dots. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from apimarket_tui.words import BARS, Spans, Tone

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of U+2800 by row and column of a cell: https://www.unicode.org/charts/PDF/U2800.pdf"""


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    tone: Tone
    values: Sequence[float | None]
    """One for each point of time; None where nothing is known."""


def cell_ranges(points: int, width: int) -> list[tuple[int, int]]:
    """For each cell of the plot the points it shows, from and to. Few points get several cells each, of many
    several share one."""
    if not points or width <= 0:
        return []
    return [
        (cell * points // width, max((cell + 1) * points // width, cell * points // width + 1)) for cell in range(width)
    ]


def cell_of(point: int, points: int, width: int) -> tuple[int, int]:
    """The cells in which a point stands, from and to."""
    cells = [index for index, (low, high) in enumerate(cell_ranges(points, width)) if low <= point < high]
    return (cells[0], cells[-1] + 1) if cells else (0, 0)


def peak(series: Sequence[Series]) -> float:
    """The highest stack."""
    points = max((len(one.values) for one in series), default=0)
    return max((sum(one.values[point] or 0.0 for one in series) for point in range(points)), default=0.0)


def stacked(series: Sequence[Series], width: int, height: int, top: float) -> list[Spans]:
    """Bars, the first series on top of the others; where points share a cell it shows their mean."""
    points = max((len(one.values) for one in series), default=0)
    columns = [_column(series, low, high, height, top) for low, high in cell_ranges(points, width)]
    return [_joined([column[row] for column in columns]) for row in range(height)]


def _column(series: Sequence[Series], low: int, high: int, height: int, top: float) -> list[tuple[str, Tone]]:
    """One cell wide, from the top down. A cell has one colour: that of the worse of two series that meet in it."""
    means = [sum(one.values[point] or 0.0 for point in range(low, high)) / (high - low) for one in series]
    whole = sum(means)
    if top <= 0 or whole <= 0:
        blank: tuple[str, Tone] = (" ", "dim")
        return [blank] * (height - 1) + [("▁", "dim")]
    eighths = max(1, round(whole / top * height * 8))
    cells: list[tuple[str, Tone]] = []
    for row in reversed(range(height)):
        filled = min(8, eighths - row * 8)
        if filled <= 0:
            cells.append((" ", "dim"))
        else:
            cells.append((BARS[filled - 1], _tone_at(series, means, row / height * top)))
    return cells


def _tone_at(series: Sequence[Series], means: Sequence[float], level: float) -> Tone:
    """The last series lies at the bottom, so that the rare and bad one is always seen."""
    reached = 0.0
    for one, mean in zip(reversed(series), reversed(means), strict=True):
        reached += mean
        if mean > 0 and level < reached:
            return one.tone
    return series[0].tone


@dataclass(frozen=True, slots=True)
class LogScale:
    """From `low` to `high`, each step up the same factor: a median and a hundredth are both readable."""

    low: float
    high: float

    @classmethod
    def over(cls, series: Sequence[Series]) -> "LogScale":
        known = [value for one in series for value in one.values if value is not None and value > 0]
        if not known:
            return cls(1.0, 10.0)
        low, high = min(known) / 1.2, max(known) * 1.2
        return cls(low, high) if high / low >= 2 else cls(low / 1.5, high * 1.5)

    def place(self, value: float) -> float:
        """0 at the bottom, 1 at the top."""
        inside = min(max(value, self.low), self.high)
        return math.log(inside / self.low) / math.log(self.high / self.low)

    def at(self, place: float) -> float:
        return float(self.low * (self.high / self.low) ** place)


def lines(series: Sequence[Series], width: int, height: int, scale: LogScale) -> list[Spans]:
    """Lines of dots, two across and four down in a cell; a gap where nothing is known."""
    dots = [[0] * width for _ in range(height)]
    tones: list[list[Tone]] = [["dim"] * width for _ in range(height)]
    for one in series:
        for x, y in _path(one.values, width, height, scale):
            row, column = y // 4, x // 2
            dots[row][column] |= _DOTS[y % 4][x % 2]
            tones[row][column] = one.tone
    return [
        _joined([(chr(0x2800 + bits) if bits else " ", tone) for bits, tone in zip(row, row_tones, strict=True)])
        for row, row_tones in zip(dots, tones, strict=True)
    ]


def _path(values: Sequence[float | None], width: int, height: int, scale: LogScale) -> list[tuple[int, int]]:
    """The dots of one line. Where points share a cell it shows the highest: a spike must not vanish."""
    levels: list[tuple[float, int] | None] = []
    bottom = height * 4 - 1
    for (low, high), cells in groupby(enumerate(cell_ranges(len(values), width)), key=lambda numbered: numbered[1]):
        places = [cell for cell, _ in cells]
        known = [value for value in values[low:high] if value is not None]
        centre = places[0] + places[-1] + 1
        levels.append((bottom - scale.place(max(known)) * bottom, centre) if known else None)
    path: list[tuple[int, int]] = []
    before: tuple[float, int] | None = None
    for level in levels:
        if level is not None:
            path += _segment(before or level, level)
        before = level
    return path


def _segment(start: tuple[float, int], end: tuple[float, int]) -> list[tuple[int, int]]:
    (y0, x0), (y1, x1) = start, end
    steps = max(abs(x1 - x0), round(abs(y1 - y0)), 1)
    return [(round(x0 + (x1 - x0) * step / steps), round(y0 + (y1 - y0) * step / steps)) for step in range(steps + 1)]


def _joined(cells: Sequence[tuple[str, Tone]]) -> Spans:
    """Neighbours of one tone as one piece."""
    spans: Spans = []
    for text, tone in cells:
        if spans and spans[-1][1] == tone:
            spans[-1] = (spans[-1][0] + text, tone)
        else:
            spans.append((text, tone))
    return spans
