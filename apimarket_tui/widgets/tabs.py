"""Names of views side by side, one of them open."""

from collections.abc import Sequence

from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.style import Style
from textual.widget import Widget

_CLICKED = "apimarket_tab"
"""Textual's own `@click` would draw every name as an underlined link."""


class TabLine(Widget):
    """`[` and `]` go through them, a click opens one."""

    active: reactive[int] = reactive(0)

    class Changed(Message):
        def __init__(self, tabs: "TabLine", index: int) -> None:
            super().__init__()
            self.tabs, self.index = tabs, index

        @property
        def control(self) -> "TabLine":
            return self.tabs

    def __init__(self, titles: Sequence[str], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._titles = list(titles)

    def retitle(self, index: int, title: str) -> None:
        if self._titles[index] != title:
            self._titles[index] = title
            self.refresh()

    def go(self, by: int) -> None:
        self.active = (self.active + by) % len(self._titles)

    def open(self, index: int) -> None:
        self.active = index

    def places(self) -> list[tuple[int, int]]:
        """(index, cells from the left) of every name that is shown."""
        spans = self.render().spans
        return [
            (span.style.meta[_CLICKED], span.start)
            for span in spans
            if isinstance(span.style, Style) and _CLICKED in span.style.meta
        ]

    def on_click(self, event: events.Click) -> None:
        index = event.style.meta.get(_CLICKED)
        if isinstance(index, int):
            self.active = index

    def watch_active(self, before: int, index: int) -> None:
        if before != index:
            self.post_message(self.Changed(self, index))

    def render(self) -> Content:
        """With room around the names where there is some; where there is too little, those around the open one."""
        return _fitting(self._titles, self.active, self.size.width)


def _fitting(titles: Sequence[str], active: int, width: int) -> Content:
    for pad, gap in ((" ", "  "), ("", "  "), ("", " ")):
        line = _line(titles, range(len(titles)), active, pad, gap)
        if line.cell_length <= width:
            return line
    first, last = active, active + 1
    shown = _line(titles, range(first, last), active, "", " ")
    while first > 0 or last < len(titles):
        wider = range(max(first - 1, 0), min(last + 1, len(titles)))
        line = _line(titles, wider, active, "", " ")
        if line.cell_length + 4 > width:
            break
        first, last, shown = wider.start, wider.stop, line
    before, after = ("‹" if first > 0 else ""), (" ›" if last < len(titles) else "")
    return Content.assemble((before, "$dim"), shown, (after, "$dim"))


def _line(titles: Sequence[str], shown: range, active: int, pad: str, gap: str) -> Content:
    names = [
        Content.styled(f"{pad}{titles[index]}{pad}", "bold underline $primary" if index == active else "$dim").stylize(
            Style.from_meta({_CLICKED: index})
        )
        for index in shown
    ]
    return Content(" ") + Content(gap).join(names)
