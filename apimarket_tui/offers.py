"""What can be done with one API of a marketplace, from wherever it is selected or open."""

from typing import TYPE_CHECKING
from urllib.parse import quote

from apimarket_tui.clean import one_line

if TYPE_CHECKING:
    from apimarket_tui.app import ApimarketApp
    from apimarket_tui.marketplaces import Place
    from local_server.wire.apis import ApiView
    from local_server.wire.market import EndpointView, ListingCard, NewSubscriptionView


class Offer:
    def __init__(
        self,
        app: "ApimarketApp",
        place: "Place",
        card: "ListingCard",
        plan: str = "",
        version: str = "",
        endpoint: "EndpointView | None" = None,
    ) -> None:
        """`plan`, `version` and `endpoint` are those that are meant, where some are."""
        self._app, self._place, self._card = app, place, card
        self._plan, self._version, self._endpoint = plan, version, endpoint

    @property
    def url(self) -> str:
        """Where it is called. The name is a stranger's: nothing in it ends the path."""
        return f"{self._place.url}/{quote(one_line(self._card.name), safe='/')}/"

    def do_subscribe(self) -> None:
        from apimarket_tui.screens.subscribe import SubscribeScreen

        self._app.push_screen(SubscribeScreen(self._place, self._card.name, self._plan), self._subscribed)

    def _subscribed(self, made: "NewSubscriptionView | None") -> None:
        from apimarket_tui.screens.new_key import KeyShownScreen

        if made is None:
            return
        if made.key is None:
            self._app.tell(f"Subscribed to {made.subscription.api}; its key was shown before")
        else:
            self._app.push_screen(KeyShownScreen(made.key, made.subscription.api))

    def do_clone(self) -> None:
        from apimarket_tui.screens.clone import CloneScreen

        if self._place.here:
            self._app.tell("It is on this machine already: 1 shows your APIs")
        else:
            self._app.push_screen(CloneScreen(self._place, self._card, self._version), self._cloned)

    def _cloned(self, api: "ApiView | None") -> None:
        if api is not None:
            self._app.live.fleet.put(api)
            self._app.show_mode("local")
            self._app.choose_local(api)
            self._app.tell(f"{api.name} is here")

    def do_try_offer(self) -> None:
        method, path = "GET", ""
        if self._endpoint is not None:
            method, path = one_line(self._endpoint.method), one_line(self._endpoint.path).lstrip("/")
        opening = self._app.open_console_at(self.url + path, method)
        self._app.run_worker(opening, name="console", group="console")

    def do_copy_offer(self) -> None:
        self._app.copy_to_clipboard(self.url)
        self._app.tell(f"copied {one_line(self.url)}")
