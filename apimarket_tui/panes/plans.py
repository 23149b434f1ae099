"""What the API is offered for, what a marketplace has of that, and who subscribed. Plans change in the manifest."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.content import Content

from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.manifest_lines import MANIFEST, plan_line
from apimarket_tui.panes.kept_table import KeptTablePane
from apimarket_tui.plan_rows import COLUMNS, USER_COLUMNS, Known, PlanRow, cell_of, heading, rows_of, user_cell
from apimarket_tui.widgets.bars import Rule
from apimarket_tui.widgets.table import LineTable
from apimarket_tui.widgets.worded import block

if TYPE_CHECKING:
    from apimarket_tui.marketplaces import Place
    from local_server.wire.apis import ApiView
    from local_server.wire.market import UsageRow

NOT_LISTED = 404
_EXAMPLE = (
    "[[plan]]",
    'code = "pro"',
    'price = "4.50 EUR/month"',
    'quota = "50000/month"',
    'overage = "bill"',
    'overage_price = "0.002 EUR"',
)


class PlansPane(KeptTablePane[Known, PlanRow]):
    NONE: ClassVar[Content] = Content.assemble(
        ("No plans\n\n", "bold"),
        (
            "Whoever subscribes may call it for nothing, without an end. A plan in apimarket.toml says otherwise:\n\n",
            "$dim",
        ),
        (block(_EXAMPLE), "$primary"),
        ("\n\ne", "bold $primary"),
        (" opens it", "$dim"),
    )

    def __init__(self, current: "Callable[[], ApiView | None]") -> None:
        super().__init__(current, id="plans")
        self._turned = 0

    def compose(self) -> ComposeResult:
        yield from super().compose()
        yield Rule(id="users-head")
        users: LineTable[UsageRow] = LineTable(
            USER_COLUMNS,
            lambda user: user.subscription,
            lambda user, column, _: user_cell(user, column, self.market.clock()),
            id="users",
        )
        yield users

    def on_mount(self) -> None:
        super().on_mount()
        self._show_users()

    # -- Asking

    def make_table(self) -> LineTable[PlanRow]:
        return LineTable(COLUMNS, lambda row: row.code, cell_of)

    def rows(self, found: Known) -> Sequence[PlanRow]:
        return rows_of(found)

    def told(self, found: Known) -> Content:
        return heading(found)

    async def ask(self, api: "ApiView") -> Known:
        written = await self.market.backend.plans(api.name)
        place, name = self._offered_at(api)
        server = self.market.marketplaces.server(place)
        listing = await attempt(server.listing(name))
        if isinstance(listing, Trouble):
            trouble = "" if listing.status == NOT_LISTED else listing.detail
            return Known(written, place.title, trouble=trouble)
        users = await attempt(server.subscribers(name))
        if isinstance(users, Trouble):
            return Known(written, place.title, listing.plans, trouble=users.detail)
        return Known(written, place.title, listing.plans, users)

    def _places(self, api: "ApiView") -> "list[tuple[Place, str]]":
        """The marketplaces with a session that have the API, then this machine's own; each with its name there."""
        known = {
            one.remote: one.name for one in self.market.live.outgoing.apis if one.api == api.name and not one.deleted
        }
        places = self.market.marketplaces.all()
        here = [(place, f"{api.owner}/{api.name}") for place in places if place.here]
        return [*((place, known[place.url]) for place in places if place.url in known and not place.here), *here]

    def _offered_at(self, api: "ApiView") -> "tuple[Place, str]":
        places = self._places(api)
        return places[self._turned % len(places)]

    # -- Showing

    def _show(self) -> None:
        super()._show()
        self._show_users()

    def _show_users(self) -> None:
        users = self.found.users if self.found is not None else ()
        table, head = self.query_one("#users", LineTable), self.query_one("#users-head", Rule)
        table.show_rows(users)
        table.display = bool(users)
        head.display = bool(self.found is not None and self.found.offered is not None)
        told = "subscribers" if users else "nobody has subscribed yet"
        head.show(Content.styled(told, "bold $foreground" if users else "$dim"))

    # -- Acting

    def do_edit_plans(self) -> None:
        api, row = self.api, self.selected
        if api is not None:
            self.market.acts.do_edit(api, MANIFEST, plan_line(api, row.code if row is not None else ""))

    def chosen(self) -> None:
        self.do_edit_plans()

    def do_turn_plans(self) -> None:
        """Ask another marketplace that has it."""
        api = self.api
        if api is None:
            return
        if len(self._places(api)) == 1:
            self.market.tell("No other marketplace has it")
            return
        self._turned += 1
        self.ask_again()
