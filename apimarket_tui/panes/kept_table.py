"""A tab with one table: what it was before shows at once with its age, and is asked for again while it is seen."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widget import Widget

from apimarket_tui.asked import Asked
from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.panes.pane import Pane
from apimarket_tui.widgets.bars import Rule
from apimarket_tui.widgets.table import LineTable
from apimarket_tui.widgets.worded import WordedTable

if TYPE_CHECKING:
    from local_server.wire.apis import ApiView

Found = TypeVar("Found")
Row = TypeVar("Row")


class KeptTablePane(Pane, Generic[Found, Row]):
    """Subclasses say what to ask, and how the answer is told. `id` names the tab, and what is kept for it."""

    REFRESH_S: ClassVar[float] = 10.0
    NONE: ClassVar[Content]
    """In the place of the table where it has no rows."""

    def __init__(self, current: "Callable[[], ApiView | None]", *, id: str) -> None:
        super().__init__(current, id=id)
        self._asked: Asked[Found] | None = None
        self._under_way = False

    # -- What subclasses say

    def make_table(self) -> "LineTable[Row]":
        raise NotImplementedError

    async def ask(self, api: "ApiView") -> Found:
        """Raises what `attempt` takes for a trouble."""
        raise NotImplementedError

    def rows(self, found: Found) -> Sequence[Row]:
        raise NotImplementedError

    def told(self, found: Found) -> Content:
        """All of it in a few words, above the table."""
        raise NotImplementedError

    # -- Life

    def compose(self) -> ComposeResult:
        yield Rule(id=f"{self.id}-head")
        yield WordedTable(self.make_table(), self.NONE, id=f"{self.id}-table")

    def on_mount(self) -> None:
        self.set_interval(self.REFRESH_S, self._refresh)
        self.set_interval(1.0, self._tick)

    @property
    def table(self) -> "WordedTable[Row]":
        return self.query_one(WordedTable)

    @property
    def selected(self) -> Row | None:
        return self.table.selected

    @property
    def found(self) -> Found | None:
        return self._asked.found if self._asked is not None else None

    def main(self) -> Widget:
        return self.table.table

    def opened(self) -> None:
        api = self.api
        if api is None:
            return
        self._asked = Asked(self.market.kept, (str(self.id), api.id), self.market.clock)
        self._show()
        self.ask_again()

    # -- Asking

    def ask_again(self) -> None:
        """At once, in the place of what is asked already: something was changed since."""
        self.run_worker(self._load(), name=self.id or "", group=self.id or "", exclusive=True)

    def _refresh(self) -> None:
        # A server that is slower than the pace is not asked anew for ever, and never heard.
        if self.in_view and not self._under_way:
            self.ask_again()

    async def _load(self) -> None:
        api, asked = self.api, self._asked
        if api is None or asked is None:
            return
        self._under_way = True
        try:
            answer = await attempt(self.ask(api))
        finally:
            self._under_way = False
        if not self.standing:
            return
        new = asked.take(answer)
        if isinstance(answer, Trouble):
            self.report(answer)
            self.table.refuse(answer)
        if new:
            self._show()
        else:
            self._show_head()

    # -- Showing

    def _show(self) -> None:
        found = self.found
        if found is not None:
            had_none = not self.table.table.display
            rows = self.rows(found)
            self.table.show(rows)
            if had_none and rows and self.in_view:
                self.main().focus()
        self._show_head()

    def _tick(self) -> None:
        if self.in_view:
            self._show_head()
            self.table.table.refresh()

    def _show_head(self) -> None:
        found = self.found
        if self._asked is not None:
            told = self.told(found) if found is not None else Content("")
            self.query_one(Rule).show(told, self._asked.age())

    @on(LineTable.Chosen)
    def _chosen(self, event: LineTable.Chosen) -> None:
        event.stop()
        self.chosen()

    def chosen(self) -> None:
        """A row was clicked twice."""
