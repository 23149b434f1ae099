"""The command palette: every action that applies here, and every API by name."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.markup import escape

from apimarket_tui import actions
from apimarket_tui.clean import one_line
from apimarket_tui.words import condition

if TYPE_CHECKING:
    from apimarket_tui.app import ApimarketApp


class ActionProvider(Provider):
    """Reads what is known already: nothing here can fail or wait."""

    @property
    def market(self) -> "ApimarketApp":
        return cast("ApimarketApp", self.app)

    def _entries(self) -> list[tuple[str, str, Callable[[], object]]]:
        """Name, help, and what it does."""
        from apimarket_tui.screens.frame import FrameScreen

        screen = self.screen
        scopes = screen.scopes() if isinstance(screen, FrameScreen) else ("global",)
        api = screen.current_api() if isinstance(screen, FrameScreen) else None
        entries: list[tuple[str, str, Callable[[], object]]] = []
        for action in actions.in_scopes(scopes):
            if not action.palette or (action.scope == "row" and api is None):
                continue
            about = f" {one_line(api.name)}" if api is not None and action.scope == "row" else ""
            key = actions.key_label(action.keys[0])
            entries.append(
                (f"{action.title}{about}", f"{action.help}  ({key})", partial(self.market.action_act, action.id))
            )
        for one in self.market.live.fleet.all():
            entries.append((f"open {one_line(one.name)}", condition(one).text, partial(self.market.open_api, one)))
        return entries

    async def discover(self) -> Hits:
        for name, help, act in self._entries()[:60]:
            yield DiscoveryHit(Content(name), act, text=name, help=escape(help))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for name, help, act in self._entries():
            score = max(matcher.match(name), matcher.match(help) * 0.7)
            if score > 0:
                # highlight() reads its text as markup.
                shown = Content(name) if "[" in name else matcher.highlight(name)
                yield Hit(score, shown, act, text=name, help=escape(help))
