"""What one has subscribed to on a marketplace: used, left, cost so far, and how it goes on."""

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static

from apimarket_tui.asked import Asked
from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import one_line
from apimarket_tui.replacements import Replacements
from apimarket_tui.screens.frame import FrameScreen, bindings, stands
from apimarket_tui.subscription_rows import COLUMNS, about, cell_of, is_over
from apimarket_tui.widgets.bars import Rule
from apimarket_tui.widgets.table import LineTable
from apimarket_tui.widgets.worded import WordedTable
from apimarket_tui.words import Spans, span

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from apimarket_tui.marketplaces import Place
    from local_server.wire.market import ListingView, SubscriptionView

REFRESH_S = 10.0
"""How long a replaced key stays in force."""
_NONE = Content.assemble(
    ("No subscriptions\n\n", "bold"), ("s", "bold $primary"), (" on an API of the market begins one", "$dim")
)


class SubscriptionsScreen(FrameScreen):
    SCOPES: ClassVar[tuple[str, ...]] = ("subscription", "global")
    TRAIL: ClassVar[tuple[str, ...]] = ("market", "subscriptions")
    BINDINGS: ClassVar[list[BindingType]] = bindings(SCOPES)

    def __init__(self, place: "Place") -> None:
        super().__init__()
        self._replacements = Replacements()
        self._place = place

    def body(self) -> ComposeResult:
        yield Rule(id="heading")
        yield WordedTable(LineTable(COLUMNS, lambda one: one.id, self._cell), _NONE, id="subscriptions")
        yield Rule(id="about-head")
        yield Static(id="about")

    @property
    def table(self) -> "WordedTable[SubscriptionView]":
        return self.query_one("#subscriptions", WordedTable)

    def on_mount(self) -> None:
        super().on_mount()
        self._asked: Asked[list[SubscriptionView]] = Asked(
            self.market.kept, ("subscriptions", self._place.url), self.market.clock
        )
        self._show()
        self.do_ask_subscriptions()
        self.set_interval(1.0, self._tick)
        self.set_interval(REFRESH_S, self._refresh)

    def _tick(self) -> None:
        if self.is_current:
            self._show_heading()

    def _refresh(self) -> None:
        if self.is_current:
            self.do_ask_subscriptions()

    def focus_main(self) -> None:
        self.set_focus(self.table.table if self.table.table.display else None)

    # -- Asking

    def do_ask_subscriptions(self) -> None:
        self.begin("subscriptions", self._load)

    async def _load(self) -> None:
        answer = await attempt(self.market.marketplaces.server(self._place).subscriptions())
        if not stands(self):
            return
        if isinstance(answer, Trouble):
            self.table.refuse(answer)
        if self._asked.take(answer):
            self._show()
        self._show_heading()

    # -- Showing

    def _show(self) -> None:
        """Those that go on first, the newest first."""
        if self._asked.found is not None:
            self.table.show(sorted(self._asked.found, key=is_over))
        self._show_heading()
        self._show_about()
        if self.focused is None:
            self.focus_main()

    def _show_heading(self) -> None:
        live = sum(not is_over(one) for one in self.table.table.rows)
        who = f"  {one_line(self._place.handle)}" if self._place.handle else ""
        left = Content.assemble((one_line(self._place.title), "$primary"), (f"{who}  {live} going on", "$dim"))
        self.query_one("#heading", Rule).show(left, self._asked.age())

    @on(LineTable.Moved)
    def _show_about(self) -> None:
        one = self.table.selected
        head, text = self.query_one("#about-head", Rule), self.query_one("#about", Static)
        head.display = text.display = one is not None
        if one is not None:
            head.show(Content.styled(one_line(one.api), "bold $foreground"))
            text.update(about(one, self.market.clock()))

    def _cell(self, one: "SubscriptionView", column: str, width: int) -> Spans:
        return cell_of(one, column, self.market.clock())

    # -- Acting

    def _live(self) -> "SubscriptionView | None":
        """The selected one, if it goes on; says so where it does not."""
        one = self.table.selected
        if one is not None and is_over(one):
            self.market.tell("That subscription is over")
            return None
        return one

    def _change(self, told: str, act: "Awaitable[SubscriptionView]") -> None:
        async def change() -> None:
            answer = await attempt(act)
            if not stands(self):
                return
            if isinstance(answer, Trouble):
                self.market.tell(answer.text, bad=True)
            else:
                self.market.tell(told)
            self.do_ask_subscriptions()

        self.run_worker(change(), name=told, group="subscription acts")

    def do_change_plan(self) -> None:
        from apimarket_tui.screens.change_plan import ChangePlanScreen

        one = self._live()
        if one is not None:
            self.app.push_screen(ChangePlanScreen(self._place, one), self._changed)

    def _changed(self, changed: "SubscriptionView | None") -> None:
        if changed is None:
            return
        later = f", from the next period on {one_line(changed.next_plan)}" if changed.next_plan else ""
        self.market.tell(f"{changed.api}: {changed.plan.code}{later}")
        self.do_ask_subscriptions()

    def do_cancel_subscription(self) -> None:
        from apimarket_tui.screens.confirm import ConfirmScreen

        one = self._live()
        if one is None:
            return
        if one.cancel_at_end:
            self.market.tell("It ends already; z takes that back")
            return
        left = span(max((one.period_end - self.market.clock()).total_seconds(), 0))
        more = f"It goes on until its period ends, in {left}; its keys end with it. Until then z takes that back."
        self.app.push_screen(
            ConfirmScreen(f"Cancel the subscription to {one_line(one.api)}?", more, "Cancel it", "Go on"),
            lambda yes: self._cancel(one) if yes else None,
        )

    def _cancel(self, one: "SubscriptionView") -> None:
        server = self.market.marketplaces.server(self._place)
        self._change(f"{one.api} ends with its period", server.cancel_subscription(one.id))

    def do_keep_subscription(self) -> None:
        from local_server.wire.market import ChangeSubscription

        one = self._live()
        if one is None:
            return
        if not one.cancel_at_end and one.next_plan is None:
            self.market.tell("Nothing waits to be taken back")
            return
        server = self.market.marketplaces.server(self._place)
        self._change(f"{one.api} goes on as it is", server.change_subscription(one.id, ChangeSubscription(keep=True)))

    def do_new_subscribed_key(self) -> None:
        from apimarket_tui.screens.confirm import ConfirmScreen

        one = self._live()
        if one is None:
            return
        if one.key_id is None:
            self.market.tell("The marketplace does not say which key it has", bad=True)
            return
        subscription, key_id, api = one.id, one.key_id, one.api
        more = "It is shown once. The one there is stays in force for an hour more."
        self.app.push_screen(
            ConfirmScreen(f"Make another key to {one_line(api)}?", more, "Make it", "Leave it"),
            lambda yes: self.begin("new key", partial(self._new_key, subscription, key_id, api)) if yes else None,
        )

    async def _new_key(self, subscription: str, key_id: str, api: str) -> None:
        from apimarket_tui.screens.new_key import KeyShownScreen

        server = self.market.marketplaces.server(self._place)
        made = await self._replacements.ask(server, subscription, key_id)
        if isinstance(made, Trouble):
            self.market.tell(made.text, bad=True)
        elif stands(self):
            self.app.push_screen(KeyShownScreen(made.key, api))
            self.do_ask_subscriptions()

    @on(LineTable.Chosen)
    def do_open_subscribed(self) -> None:
        one = self.table.selected
        if one is not None:
            self.begin("open", partial(self._open, one.api))

    async def _open(self, name: str) -> None:
        from apimarket_tui.screens.listing import ListingScreen

        listing: ListingView | Trouble
        listing = await attempt(self.market.marketplaces.server(self._place).listing(name))
        if not stands(self):
            return
        if isinstance(listing, Trouble):
            self.market.tell(listing.text, bad=True)
        else:
            self.market.kept.put(("listing", self._place.url, name), listing)
            self.app.push_screen(ListingScreen(self._place, listing.api))

    def do_copy_subscribed(self) -> None:
        one = self.table.selected
        if one is not None:
            url = f"{self._place.url}/{one_line(one.api)}/"
            self.app.copy_to_clipboard(url)
            self.market.tell(f"copied {url}")
