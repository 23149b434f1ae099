"""The operations of an OpenAPI document, to choose one for the Try-it console."""

from collections.abc import Sequence
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from apimarket_tui.clean import one_line
from apimarket_tui.operations import Operation
from apimarket_tui.screens.frame import TooSmall, mind_size
from apimarket_tui.widgets.table import Column, LineTable
from apimarket_tui.words import METHOD_TONE, Spans

COLUMNS = (
    Column("method", "METHOD", 7, 7),
    Column("path", "PATH", 16, 60),
    Column("title", "", 10, 60, rank=1),
)


class OperationScreen(ModalScreen[Operation]):
    """The result is the operation, or None. What is typed narrows the list down."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", show=False, priority=True),
        Binding("enter", "take", show=False, priority=True),
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("down", "move(1)", show=False, priority=True),
    ]

    def __init__(self, where: str, operations: Sequence[Operation]) -> None:
        super().__init__()
        self._where, self._operations = where, operations

    def compose(self) -> ComposeResult:
        yield TooSmall()
        with Vertical(classes="dialog tall"):
            yield Static(Content.styled(f"{len(self._operations):,} operations", "bold"))
            yield Static(Content.styled(one_line(self._where), "$dim"), classes="more")
            yield Input(placeholder="method, path or words", compact=True, id="wanted")
            yield LineTable[Operation](COLUMNS, lambda one: f"{one.method} {one.path}", _cell, id="operations")
            yield Static(Content.styled("enter fills the console in · esc leaves", "$dim"))

    def on_mount(self) -> None:
        self.query_one(LineTable).show_rows(self._operations)
        self.query_one(Input).focus()

    def on_resize(self, event: events.Resize) -> None:
        mind_size(self, event.size.width, event.size.height)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        words = event.value.casefold().split()
        rows = [one for one in self._operations if all(word in _words(one) for word in words)]
        self.query_one(LineTable).show_rows(rows)

    def action_move(self, by: int) -> None:
        self.query_one(LineTable).action_move(by)

    @on(LineTable.Chosen)
    def action_take(self) -> None:
        chosen = self.query_one(LineTable).selected
        if chosen is not None:
            self.dismiss(chosen)

    def action_leave(self) -> None:
        self.dismiss(None)


def _words(one: Operation) -> str:
    return f"{one.method} {one.path} {one.title}".casefold()


def _cell(one: Operation, column: str, width: int) -> Spans:
    match column:
        case "method":
            return [(one.method, METHOD_TONE.get(one.method, "text"))]
        case "path":
            return [(one.path, "strong")]
        case _:
            return [(one.title, "dim")]
