"""Figures in a row, broken between two of them where the line ends, never within one."""

from collections.abc import Sequence

from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

GAP = 3


class Figures(Widget):
    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._figures: Sequence[Content] = ()

    def show(self, figures: Sequence[Content]) -> None:
        self._figures = figures
        self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return max(len(self._lines(width)), 1)

    def render(self) -> Content:
        return Content("\n").join(self._lines(self.size.width))

    def _lines(self, width: int) -> list[Content]:
        lines: list[Content] = []
        for figure in self._figures:
            if lines and lines[-1].cell_length + GAP + figure.cell_length <= width:
                lines[-1] += Content(" " * GAP) + figure
            else:
                lines.append(figure.truncate(max(width, 1), ellipsis=True))
        return lines
