"""What shall be done to many APIs at once: one key, or one row."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from apimarket_tui.bulk import BULKS, Bulk, counted, names_of
from apimarket_tui.screens.frame import TooSmall, mind_size
from apimarket_tui.widgets.table import Column, LineTable
from apimarket_tui.words import Spans

if TYPE_CHECKING:
    from local_server.wire.apis import ApiView

COLUMNS = (Column("key", "KEY", 4, 4), Column("title", "", 8, 8), Column("help", "", 20, 60))


class BulkScreen(ModalScreen[Bulk]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", show=False),
        Binding("enter", "take", show=False),
    ]

    def __init__(self, apis: "Sequence[ApiView]") -> None:
        super().__init__()
        self._apis = apis

    def compose(self) -> ComposeResult:
        yield TooSmall()
        with Vertical(classes="dialog"):
            yield Static(Content.styled(f"With {counted(len(self._apis))}", "bold"))
            yield Static(Content.styled(names_of(self._apis), "$dim"), classes="more")
            yield LineTable[Bulk](COLUMNS, lambda bulk: bulk.key, _cell, id="bulks")

    def on_mount(self) -> None:
        table = self.query_one(LineTable)
        table.show_rows(BULKS)
        table.focus()

    def on_resize(self, event: events.Resize) -> None:
        mind_size(self, event.size.width, event.size.height)

    def on_key(self, event: events.Key) -> None:
        bulk = next((one for one in BULKS if one.key == event.key), None)
        if bulk is not None:
            event.stop()
            self.dismiss(bulk)

    @on(LineTable.Chosen)
    def action_take(self) -> None:
        self.dismiss(self.query_one(LineTable).selected)

    def action_leave(self) -> None:
        self.dismiss(None)


def _cell(bulk: Bulk, column: str, width: int) -> Spans:
    match column:
        case "key":
            return [(bulk.key, "primary")]
        case "title":
            return [(bulk.title, "strong")]
        case _:
            return [(bulk.help, "dim")]
