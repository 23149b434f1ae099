"""What every tab that asks the server has: the API it is about, and a life in view and out of it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from textual.containers import Vertical
from textual.widget import Widget

from apimarket_tui.backend import Trouble

if TYPE_CHECKING:
    from apimarket_tui.app import ApimarketApp
    from local_server.wire.apis import ApiView


class Pane(Vertical):
    """The actions of its tab are its `do_` methods. Asks for nothing while it is out of view."""

    def __init__(self, current: "Callable[[], ApiView | None]", *, id: str) -> None:
        super().__init__(id=id)
        self._current = current

    @property
    def market(self) -> "ApimarketApp":
        return cast("ApimarketApp", self.app)

    @property
    def api(self) -> "ApiView | None":
        return self._current()

    @property
    def in_view(self) -> bool:
        """Its tab is open, and its screen is the one that is seen."""
        return self.is_attached and self.display and self.app.is_running and self.screen.is_current

    @property
    def standing(self) -> bool:
        """Its widgets are all there: ask after waiting."""
        return self.is_attached and self.app.is_running

    def opened(self) -> None:
        """Its tab came into view."""

    def main(self) -> Widget:
        """Where the focus belongs, so that the letter keys work."""
        return self

    def report(self, trouble: Trouble) -> None:
        """An answer that was asked for by itself did not come: told in the banner, not in the corner."""
        self.market.live.report(trouble)
