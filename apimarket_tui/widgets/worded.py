"""A table, and in its place a word where it has no rows: that it is asked for, that there are none, or why not."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from apimarket_tui.backend import Trouble
from apimarket_tui.clean import one_line
from apimarket_tui.widgets.table import LineTable

Row = TypeVar("Row")


class WordedTable(Vertical, Generic[Row]):
    def __init__(self, table: "LineTable[Row]", none: Content, *, id: str) -> None:
        """`none` is told where there are no rows."""
        super().__init__(id=id)
        self.table, self._none = table, none

    def compose(self) -> ComposeResult:
        yield self.table
        yield Static(Content.styled("asking…", "$dim"), classes="nothing")

    def on_mount(self) -> None:
        self.table.display = False

    @property
    def selected(self) -> Row | None:
        return self.table.selected if self.table.display else None

    def show(self, rows: Sequence[Row]) -> None:
        self.table.show_rows(rows)
        self._say(self._none if not rows else None)

    def refuse(self, trouble: Trouble) -> None:
        """What is there stays; where nothing is, why not."""
        if not self.table.rows:
            self._say(refusal(trouble))

    def _say(self, word: Content | None) -> None:
        self.table.display = word is None
        nothing: Any = self.query_one(".nothing", Static)
        nothing.display = word is not None
        if word is not None:
            nothing.update(word)


def block(lines: Sequence[str]) -> str:
    """Lines that stay under each other where text is centred."""
    width = max(map(len, lines))
    return "\n".join(line.ljust(width) for line in lines)


def refusal(trouble: Trouble) -> Content:
    detail = Content.assemble(("✗ ", "$error"), one_line(trouble.detail))
    return detail + Content.styled(f"\n\n{one_line(trouble.hint)}", "$dim") if trouble.hint else detail
