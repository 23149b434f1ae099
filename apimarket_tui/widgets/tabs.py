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

    def on_click(self, event: events.Click) -> None:
        index = event.style.meta.get(_CLICKED)
        if isinstance(index, int):
            self.active = index

    def watch_active(self, before: int, index: int) -> None:
        if before != index:
            self.post_message(self.Changed(self, index))

    def render(self) -> Content:
        line = Content(" ")
        for index, title in enumerate(self._titles):
            here = index == self.active
            name = Content.styled(f" {title} ", "bold underline $primary" if here else "$dim")
            line += name.stylize(Style.from_meta({_CLICKED: index})) + Content("  ")
        return line
