"""The log of an API, or of several: follows, freezes, finds, and marks which generation or which API said what."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from apimarket_tui.clean import one_line
from apimarket_tui.history import Line, LogHistory
from apimarket_tui.json_lines import json_line
from apimarket_tui.widgets.canvas import fit
from apimarket_tui.widgets.lines import LineView
from apimarket_tui.words import Spans, Tone

if TYPE_CHECKING:
    from local_server.wire.apis import LogLineView

GUTTER = 22
"""Cells before the text: time, generation, stream, and of several replicas which."""
NAME_CELLS = 16
"""For the API's name, where there are several in place of the generation."""
STREAMS: dict[str, tuple[str, Tone]] = {"out": ("│", "text"), "err": ("!", "bad"), "apimarket": ("›", "accent")}


class LogLines:
    """A history as lines on the screen. The generation, or with `named` the API, stands where it changes, and on the
    first line in view."""

    def __init__(self, history: LogHistory, *, named: bool = False) -> None:
        self._history, self._named = history, named
        self.laid_out = True
        """Whether lines of JSON are laid out for reading, or shown as they came."""

    def __len__(self) -> int:
        return len(self._history)

    def spans(self, index: int, first_visible: bool) -> Spans:
        line = self._history[index]
        new = first_visible or index == 0 or self._whose(self._history[index - 1]) != self._whose(line)
        mark, tone = STREAMS.get(line.stream, STREAMS["out"])
        replica: Spans = [(f"#{line.replica} ", "dim")] if line.replica else []
        spans: Spans = [
            (f" {line.at:%H:%M:%S} ", "dim"),
            (self._whose(line) if new else " " * (NAME_CELLS + 1 if self._named else 6), "primary"),
            (f"{mark} ", "dim" if tone == "text" else tone),
            *replica,
        ]
        pieces = json_line(line.text) if self.laid_out else None
        return [*spans, *pieces] if pieces is not None else [*spans, (line.text, tone)]

    def _whose(self, line: Line) -> str:
        if self._named:
            return fit([(line.api, "primary")], NAME_CELLS)[0][0].ljust(NAME_CELLS + 1) if line.api else ""
        return f"{f'g{line.generation}' if line.generation else '':>5} "


class LogPane(Vertical):
    class Opened(Message):
        """A line was clicked twice."""

    def __init__(self, history: LogHistory, *, named: bool = False, id: str | None = None) -> None:
        """`named`: the lines are those of several APIs."""
        super().__init__(id=id)
        self._history = self.shown = history
        self._named = named
        self._lines = LogLines(history, named=named)
        self.generation: int | None = None
        """The one whose lines alone are shown."""
        self.wanted = ""
        """The text looked for last."""
        self._note = ""

    def compose(self) -> ComposeResult:
        yield LineView(self._lines, follow=True, id="lines")
        yield Static(id="log-status")

    def on_mount(self) -> None:
        self._show_status()

    @property
    def view(self) -> LineView:
        return self.query_one(LineView)

    def take(self, lines: "Sequence[LogLineView]") -> None:
        dropped = self._history.extend(lines)
        if self.shown is not self._history:
            dropped = self.shown.extend(lines)
        self.view.grown(self._width, dropped)
        self._show_status()

    @property
    def _width(self) -> int:
        return self.shown.widest + GUTTER + (NAME_CELLS if self._named else 0)

    def clear(self) -> None:
        """Before the whole of it is read again."""
        self._history.clear()
        if self.shown is not self._history:
            self.shown.clear()

    def show_only(self, generation: int | None, earlier: "Sequence[LogLineView]" = ()) -> None:
        """Only what that generation printed, or everything again; `earlier` are lines of it that may not be here."""
        self.generation = generation
        if generation is None:
            self.shown = self._history
        else:
            self.shown = LogHistory(generation=generation)
            oldest = self._history[0].at if len(self._history) else None
            self.shown.extend(line for line in earlier if oldest is None or line.at < oldest)
            self.shown.extend_from(self._history)
        laid_out, self._lines = self._lines.laid_out, LogLines(self.shown, named=self._named)
        self._lines.laid_out = laid_out
        self._note = ""
        self.view.show(self._lines, self._width)
        self._show_status()

    def toggle_json(self) -> None:
        self._lines.laid_out = not self._lines.laid_out
        self._note = "" if self._lines.laid_out else "JSON as it came"
        self.view.refresh()
        self._show_status()

    def in_hand(self) -> int | None:
        """Index of the line that is meant: the marked one, else the last in view; None where there is none."""
        if self.view.marked is not None:
            return self.view.marked
        last = self.view.first_visible + self.view.scrollable_content_region.height - 1
        return min(last, len(self.shown) - 1) if len(self.shown) else None

    def generation_in_hand(self) -> int:
        """Of the line that is meant, or of the last before it that is one's; 0: there is none."""
        index = self.in_hand()
        numbers = (self.shown[at].generation for at in range(index if index is not None else -1, -1, -1))
        return next((number for number in numbers if number), 0)

    @on(LineView.Clicked)
    def _clicked(self, event: LineView.Clicked) -> None:
        self.view.mark(event.index, scroll=False)
        if event.twice:
            self.post_message(self.Opened())

    def toggle_follow(self) -> None:
        self.view.follow = not self.view.follow

    @on(LineView.FollowChanged)
    def _show_status(self) -> None:
        view = self.view
        follow = ("● following", "$success") if view.follow else ("❄ frozen · f follows", "$warning")
        whose = f" of g{self.generation} · v shows all" if self.generation is not None else ""
        count = f"  {len(self.shown):,} lines{whose}"
        gone = f", {self.shown.dropped:,} older dropped" if self.shown.dropped else ""
        note = f"  {self._note}" if self._note else ""
        key = Content.assemble(("  │ out  ", "$dim"), ("! err  ", "$error"), ("› apimarket", "$accent"))
        text = Content.assemble(" ", follow, (count + gone, "$dim"), (note, "$warning"))
        self.query_one("#log-status", Static).update(text + key)

    # -- Finding

    def find(self, text: str) -> None:
        self.wanted = one_line(text)
        start = self.view.marked if self.view.marked is not None else self.view.first_visible
        self._go(self.shown.find(self.wanted, start))

    def find_again(self, step: int) -> None:
        if self.wanted:
            here = self.view.marked if self.view.marked is not None else self.view.first_visible
            self._go(self.shown.find(self.wanted, here + step, step))

    def _go(self, index: int | None) -> None:
        if index is None:
            self._note = f"“{self.wanted}” is not in the log" if self.wanted else ""
        else:
            self._note = f"“{self.wanted}” line {index + 1:,}"
            self.view.mark(index)
        self._show_status()
