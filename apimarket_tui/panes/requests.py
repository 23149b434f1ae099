"""Requests through the gateway, newest first, and what can be done with one."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.widget import Widget

from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import clean
from apimarket_tui.panes.pane import Pane
from apimarket_tui.widgets.requests import RequestTable, curl

if TYPE_CHECKING:
    from local_server.wire.apis import ApiView, ExecutionView


class RequestsPane(Pane):
    """Is given its rows: they come with the events of the API."""

    def __init__(self, current: "Callable[[], ApiView | None]") -> None:
        super().__init__(current, id="requests")

    def compose(self) -> ComposeResult:
        yield RequestTable()

    @property
    def table(self) -> RequestTable:
        return self.query_one(RequestTable)

    def main(self) -> Widget:
        return self.table

    def show_rows(self, rows: "Sequence[ExecutionView]") -> None:
        self.table.show_rows(rows)

    @on(RequestTable.Chosen)
    def do_inspect(self) -> None:
        from apimarket_tui.screens.exchange import ExchangeScreen

        api, request = self.api, self.table.selected
        if api is not None and request is not None:
            self.app.push_screen(ExchangeScreen(api.id, request))

    def do_take(self) -> None:
        api, request = self.api, self.table.selected
        if api is not None and request is not None:
            self.market.run_worker(self.market.open_console(api, request.method, request.path), group="console")

    def do_copy_curl(self) -> None:
        api, request = self.api, self.table.selected
        if api is not None and request is not None:
            self.run_worker(self._copy(api, request), name="copy curl", group="copy", exclusive=True)

    async def _copy(self, api: "ApiView", request: "ExecutionView") -> None:
        """The whole of it where it is kept; else what the log knows of it."""
        exchange = await attempt(self.market.backend.exchange(api.name, request.id))
        kept = not isinstance(exchange, Trouble) and bool(exchange.curl)
        if kept and not isinstance(exchange, Trouble):
            self.app.copy_to_clipboard(clean(exchange.curl))
            self.market.tell("copied as curl, with variables in the place of secrets")
        else:
            self.app.copy_to_clipboard(curl(request.method, api.url.rstrip("/") + request.path))
            self.market.tell("copied as curl; its headers and body are not kept")
