"""A table of any number of rows that draws only the visible ones, and whose cursor stays on its row."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Generic, TypeVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from apimarket_tui.widgets.canvas import LineCanvas, pad
from apimarket_tui.words import Spans, Tone

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Column:
    key: str
    title: str
    least: int
    """Cells."""
    most: int
    right: bool = False
    rank: int = 0
    """0 always shows; of the others the highest goes first when there is no room."""


ROOMY = 100
"""Cells from which on a column of figures stands a little apart from the words after it."""


def apart(columns: Sequence[Column], width: int) -> frozenset[str]:
    """The columns that are followed by two blanks."""
    if width < ROOMY:
        return frozenset()
    return frozenset(one.key for one, following in pairwise(columns) if one.right and not following.right)


def lay_out(columns: Sequence[Column], width: int) -> dict[str, int]:
    """Cells for each column that fits, with one blank between; what is left over is shared out."""
    kept = list(columns)
    while sum(column.least + 1 for column in kept) > width and any(column.rank for column in kept):
        kept.remove(max(kept, key=lambda column: column.rank))
    cells = {column.key: column.least for column in kept}
    spare = width - sum(column.least + 1 for column in kept)
    growing = kept
    while spare > 0 and (growing := [column for column in growing if cells[column.key] < column.most]):
        for column in growing[:spare]:
            cells[column.key] += 1
        spare -= len(growing)
    return cells


class LineTable(LineCanvas, Generic[Row]):
    """Rows come through `show_rows`; `cell(row, column, width)` says what stands in one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("home,g", "jump(0)", "first", show=False),
        Binding("end,G", "jump(-1)", "last", show=False),
    ]

    IDLE_CURSOR: ClassVar[bool] = True
    """Whether the cursor shows while another widget has the focus."""

    class Moved(Message):
        """The cursor is on another row, or on none."""

        def __init__(self, table: "LineTable[Any]") -> None:
            super().__init__()
            self.table = table

        @property
        def control(self) -> "LineTable[Any]":
            return self.table

    class Chosen(Message):
        """A row was clicked twice."""

        def __init__(self, table: "LineTable[Any]") -> None:
            super().__init__()
            self.table = table

        @property
        def control(self) -> "LineTable[Any]":
            return self.table

    def __init__(
        self,
        columns: Sequence[Column],
        key: Callable[[Row], str],
        cell: Callable[[Row, str, int], Spans],
        *,
        titles: Callable[[Column, int], str] | None = None,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self._columns = columns
        self._key, self._cell = key, cell
        self._titles = titles or (lambda column, width: column.title)
        self._rows: Sequence[Row] = ()
        self._cursor = 0
        self._cursor_key: str | None = None
        self.marks: set[str] = set()
        """Keys of rows; they stay while their rows are out of sight."""
        self._widths: Mapping[str, int] = {}
        self._apart: frozenset[str] = frozenset()
        self._laid_out_for = -1

    # -- Data

    @property
    def rows(self) -> Sequence[Row]:
        return self._rows

    @property
    def selected(self) -> Row | None:
        return self._rows[self._cursor] if 0 <= self._cursor < len(self._rows) else None

    def show_rows(self, rows: Sequence[Row]) -> None:
        """Show these; the cursor follows its row, or stays at its place where the row is gone."""
        self._rows = rows
        kept = self._place_of(self._cursor_key)
        self._cursor = kept if kept is not None else max(0, min(self._cursor, len(rows) - 1))
        height = Size(1, len(rows) + 1)
        if self.virtual_size != height:
            self.virtual_size = height
        self._note_cursor()
        self.refresh()

    def select(self, key: str) -> bool:
        """Put the cursor on the row with this key; False if there is none."""
        index = self._place_of(key)
        if index is None:
            return False
        self._go(index)
        return True

    def mark(self) -> None:
        """Mark the row under the cursor, or take its mark off, and go on to the next."""
        if self._cursor_key is not None:
            self.marks ^= {self._cursor_key}
            self._go(self._cursor + 1)

    def unmark(self) -> None:
        self.marks.clear()
        self.refresh()

    def _place_of(self, key: str | None) -> int | None:
        if key is None:
            return None
        if 0 <= self._cursor < len(self._rows) and self._key(self._rows[self._cursor]) == key:
            return self._cursor
        return next((index for index, row in enumerate(self._rows) if self._key(row) == key), None)

    def _note_cursor(self) -> None:
        row = self.selected
        key = None if row is None else self._key(row)
        if key != self._cursor_key:
            self._cursor_key = key
            self.post_message(self.Moved(self))

    # -- Moving

    def action_move(self, by: int) -> None:
        self._go(self._cursor + by)

    def action_page(self, by: int) -> None:
        self._go(self._cursor + by * max(self.size.height - 2, 1))

    def action_jump(self, to: int) -> None:
        self._go(to if to >= 0 else len(self._rows) - 1)

    def _go(self, index: int) -> None:
        self._cursor = max(0, min(index, len(self._rows) - 1))
        self._note_cursor()
        visible = max(self.size.height - 1, 1)
        top = round(self.scroll_y)
        if self._cursor < top:
            self.scroll_to(y=self._cursor, animate=False)
        elif self._cursor >= top + visible:
            self.scroll_to(y=self._cursor - visible + 1, animate=False)
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        index = round(self.scroll_y) + event.y - 1
        if event.y < 1 or index >= len(self._rows):
            return
        self._go(index)
        if event.chain == 2:
            self.post_message(self.Chosen(self))

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def on_resize(self) -> None:
        if self._rows:
            self.call_after_refresh(self._go, self._cursor)

    # -- Drawing

    def widths(self) -> Mapping[str, int]:
        width = self.scrollable_content_region.width
        if width != self._laid_out_for:
            self._apart = apart(self._columns, width)
            self._widths = lay_out(self._columns, width - 1 - len(self._apart))
            self._laid_out_for = width
        return self._widths

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        if y == 0:
            return self.draw(self._head(), width, "head")
        index = round(self.scroll_y) + y - 1
        if index >= len(self._rows):
            return self.draw([], width)
        here = index == self._cursor and (self.IDLE_CURSOR or self.has_focus)
        marked = self._key(self._rows[index]) in self.marks
        spans: Spans = [("✓", "ok")] if marked else [("▸" if here else " ", "primary")]
        for key, cells in self.widths().items():
            right = self._right(key)
            spans += [*pad(self._cell(self._rows[index], key, cells), cells, right), self._gap(key)]
        return self.draw(spans, width, ("cursor" if self.has_focus else "idle") if here else None)

    def _gap(self, key: str) -> tuple[str, Tone]:
        return ("  " if key in self._apart else " ", "text")

    def _right(self, key: str) -> bool:
        return next(column.right for column in self._columns if column.key == key)

    def _head(self) -> Spans:
        spans: Spans = [(" ", "dim")]
        for column in self._columns:
            cells = self.widths().get(column.key)
            if cells is not None:
                spans += [*pad([(self._titles(column, cells), "dim")], cells, column.right), self._gap(column.key)]
        return spans
