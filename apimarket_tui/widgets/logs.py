"""An API's log: follows, freezes, finds, and marks which generation said what."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from apimarket_tui.clean import one_line
from apimarket_tui.history import LogHistory
from apimarket_tui.widgets.lines import LineView
from apimarket_tui.words import Spans, Tone

if TYPE_CHECKING:
    from local_server.wire.apis import LogLineView

GUTTER = 19
"""Cells before the text: time, generation, stream."""
STREAMS: dict[str, tuple[str, Tone]] = {"out": ("│", "text"), "err": ("!", "bad"), "apimarket": ("›", "accent")}


class LogLines:
    """A history as lines on the screen. The generation stands where it changes, and on the first line in view."""

    def __init__(self, history: LogHistory) -> None:
        self._history = history

    def __len__(self) -> int:
        return len(self._history)

    def spans(self, index: int, first_visible: bool) -> Spans:
        line = self._history[index]
        new = first_visible or index == 0 or self._history[index - 1].generation != line.generation
        mark, tone = STREAMS.get(line.stream, STREAMS["out"])
        generation = f"g{line.generation}" if new and line.generation else ""
        return [
            (f" {line.at:%H:%M:%S} ", "dim"),
            (f"{generation:>5} ", "primary"),
            (f"{mark} ", "dim" if tone == "text" else tone),
            (line.text, tone),
        ]


class LogPane(Vertical):
    def __init__(self, history: LogHistory, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._history = history
        self.wanted = ""
        """The text looked for last."""
        self._note = ""

    def compose(self) -> ComposeResult:
        yield LineView(LogLines(self._history), follow=True, id="lines")
        yield Static(id="log-status")

    def on_mount(self) -> None:
        self._show_status()

    @property
    def view(self) -> LineView:
        return self.query_one(LineView)

    def take(self, lines: "Sequence[LogLineView]") -> None:
        dropped = self._history.extend(lines)
        self.view.grown(self._history.widest + GUTTER, dropped)
        self._show_status()

    def clear(self) -> None:
        """Before the whole of it is read again."""
        self._history.clear()

    def toggle_follow(self) -> None:
        self.view.follow = not self.view.follow

    @on(LineView.FollowChanged)
    def _show_status(self) -> None:
        view = self.view
        follow = ("● following", "$success") if view.follow else ("❄ frozen · f follows", "$warning")
        count = f"  {len(self._history):,} lines"
        gone = f", {self._history.dropped:,} older dropped" if self._history.dropped else ""
        note = f"  {self._note}" if self._note else ""
        key = Content.assemble(("  │ out  ", "$dim"), ("! err  ", "$error"), ("› apimarket", "$accent"))
        text = Content.assemble(" ", follow, (count + gone, "$dim"), (note, "$warning"))
        self.query_one("#log-status", Static).update(text + key)

    # -- Finding

    def find(self, text: str) -> None:
        self.wanted = one_line(text)
        start = self.view.marked if self.view.marked is not None else self.view.first_visible
        self._go(self._history.find(self.wanted, start))

    def find_again(self, step: int) -> None:
        if self.wanted:
            here = self.view.marked if self.view.marked is not None else self.view.first_visible
            self._go(self._history.find(self.wanted, here + step, step))

    def _go(self, index: int | None) -> None:
        if index is None:
            self._note = f"“{self.wanted}” is not in the log" if self.wanted else ""
        else:
            self._note = f"“{self.wanted}” line {index + 1:,}"
            self.view.mark(index)
        self._show_status()
