"""Any number of lines, scrolled both ways, following the end until frozen: logs, answers, tracebacks."""

from typing import ClassVar, Protocol

from rich.cells import cell_len
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from apimarket_tui.widgets.canvas import LineCanvas
from apimarket_tui.words import Spans


class LineSource(Protocol):
    """Where the lines come from."""

    def __len__(self) -> int: ...

    def spans(self, index: int, first_visible: bool) -> Spans:
        """Line `index`; `first_visible` where it stands at the top, and should say what it belongs to."""
        ...


class TextLines:
    """Lines that are all there already."""

    def __init__(self, lines: list[Spans] | None = None) -> None:
        self.lines = lines or []

    def __len__(self) -> int:
        return len(self.lines)

    def spans(self, index: int, first_visible: bool) -> Spans:
        return self.lines[index]

    @property
    def widest(self) -> int:
        return max((sum(cell_len(text) for text, _ in line) for line in self.lines), default=0)


class LineView(LineCanvas):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll(0, -1)", show=False),
        Binding("down,j", "scroll(0, 1)", show=False),
        Binding("left", "scroll(-8, 0)", show=False),
        Binding("right", "scroll(8, 0)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown,space", "page(1)", show=False),
        Binding("home,g", "top", show=False),
        Binding("end,G", "bottom", show=False),
    ]

    class FollowChanged(Message):
        def __init__(self, view: "LineView", following: bool) -> None:
            super().__init__()
            self.view, self.following = view, following

    class Clicked(Message):
        """A line was clicked, once or twice."""

        def __init__(self, index: int, twice: bool) -> None:
            super().__init__()
            self.index, self.twice = index, twice

    def __init__(self, source: LineSource | None = None, *, follow: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self._source: LineSource = TextLines() if source is None else source
        self._follow = follow
        self.marked: int | None = None
        """Index of the line that stands out (a hit)."""

    @property
    def follow(self) -> bool:
        return self._follow

    @follow.setter
    def follow(self, wanted: bool) -> None:
        if wanted != self._follow:
            self._follow = wanted
            self.post_message(self.FollowChanged(self, wanted))
        if wanted:
            self._to_end()

    def show(self, source: LineSource, widest: int, *, stay: bool = False) -> None:
        """Show other lines, from their beginning (or their end, if following); with `stay` scrolled as it is."""
        self._source = source
        self.marked = None
        self.grown(widest)
        if not self._follow and not stay:
            self.scroll_to(0, 0, animate=False, force=True)

    def grown(self, widest: int, dropped: int = 0) -> None:
        """The source has more lines; `dropped` of the oldest are gone."""
        if dropped and self.marked is not None:
            self.marked = self.marked - dropped if self.marked >= dropped else None
        wanted = Size(max(widest, 1), max(len(self._source), 1))
        if wanted != self.virtual_size:
            self.virtual_size = wanted
        if self._follow:
            self._to_end()
        elif dropped:
            self.scroll_to(y=max(0, self.scroll_y - dropped), animate=False)
        self.refresh()

    def mark(self, index: int, *, scroll: bool = True) -> None:
        """Bring a line into view and let it stand out; stops following."""
        self.follow = False
        self.marked = index
        if not scroll:
            self.refresh()
            return
        height = max(self.scrollable_content_region.height, 1)
        self.scroll_to(y=max(0, index - height // 2), animate=False)
        self.refresh()

    @property
    def first_visible(self) -> int:
        return round(self.scroll_y)

    def _to_end(self) -> None:
        bottom = max(0, len(self._source) - self.scrollable_content_region.height)
        self.scroll_to(y=bottom, animate=False, force=True)
        # A bar that appears with the same lines that move it is not told where it stands.
        self.vertical_scrollbar.position = bottom

    # -- Moving

    def action_scroll(self, columns: int, lines: int) -> None:
        if lines < 0:
            self.follow = False
        self.scroll_to(x=max(0, self.scroll_x + columns), y=self.scroll_y + lines, animate=False)

    def action_page(self, by: int) -> None:
        self.action_scroll(0, by * max(self.size.height - 1, 1))

    def action_top(self) -> None:
        self.follow = False
        self.scroll_to(y=0, animate=False)

    def action_bottom(self) -> None:
        self.scroll_to(y=self.max_scroll_y, animate=False)

    def on_click(self, event: events.Click) -> None:
        index = self.first_visible + event.y
        if index < len(self._source):
            self.post_message(self.Clicked(index, event.chain == 2))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self.follow = False

    def on_resize(self) -> None:
        if self._follow:
            self.call_after_refresh(self._to_end)

    # -- Drawing

    def render_line(self, y: int) -> Strip:
        region = self.scrollable_content_region
        index = round(self.scroll_y) + y
        if index >= len(self._source):
            return self.draw([], region.width)
        left = round(self.scroll_x)
        spans = self._source.spans(index, y == 0)
        row = "mark" if index == self.marked else None
        if not left:
            return self.draw(spans, region.width, row)
        return self.draw(spans, left + region.width, row).crop(left, left + region.width)
