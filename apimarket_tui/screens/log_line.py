"""One line of a log whole: JSON laid out, a long text in as many lines as it takes; its neighbours by arrow."""

import textwrap
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from apimarket_tui.answers import pretty, text_spans
from apimarket_tui.clean import one_line
from apimarket_tui.history import Line, LogHistory
from apimarket_tui.screens.frame import TooSmall, mind_size
from apimarket_tui.widgets.lines import LineView, TextLines
from apimarket_tui.words import Spans


class LogLineScreen(ModalScreen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "dismiss", show=False),
        Binding("left", "step(-1)", show=False, priority=True),
        Binding("right", "step(1)", show=False, priority=True),
        Binding("y", "copy", show=False),
    ]

    def __init__(self, history: LogHistory, index: int) -> None:
        super().__init__()
        self._history, self._index = history, index

    def compose(self) -> ComposeResult:
        yield TooSmall()
        with Vertical(classes="dialog tall"):
            yield Static(id="which")
            yield Static(Content.styled("esc closes · ← → other lines · y copies", "$dim"), classes="more")
            yield LineView(id="whole")

    def on_mount(self) -> None:
        self.query_one(LineView).focus()
        self.call_after_refresh(self._show)

    def on_resize(self, event: events.Resize) -> None:
        mind_size(self, event.size.width, event.size.height)
        self.call_after_refresh(self._show)

    @property
    def _line(self) -> Line:
        return self._history[min(self._index, len(self._history) - 1)]

    def _show(self) -> None:
        line, view = self._line, self.query_one(LineView)
        whose = f"  g{line.generation}" if line.generation else ""
        name = f"  {one_line(line.api)}" if line.api else ""
        self.query_one("#which", Static).update(
            Content.assemble(
                (f"{line.at:%H:%M:%S}.{line.at.microsecond // 1000:03d}", "bold"),
                (f"{name}{whose}  {line.stream}", "$primary"),
                (f"  line {self._index + 1:,} of {len(self._history):,}", "$dim"),
            )
        )
        lines = TextLines(whole(line.text, max(view.scrollable_content_region.width, 20)))
        view.show(lines, lines.widest)

    def action_step(self, by: int) -> None:
        self._index = max(0, min(self._index + by, len(self._history) - 1))
        self._show()

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self._line.text)
        self.notify("copied the line", timeout=3, markup=False)


def whole(text: str, width: int) -> list[Spans]:
    printed = pretty(text.encode("utf-8", "replace")) if text.lstrip()[:1] in ("{", "[") else None
    if printed is not None:
        return text_spans(printed, is_json=True)
    return [[(piece, "text")] for piece in textwrap.wrap(text, width, drop_whitespace=False) or [""]]
