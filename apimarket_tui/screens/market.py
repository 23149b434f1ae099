"""Mode 2: a marketplace's catalogue, searched as one types.

What is shown comes from the copy of the catalogue that the local server keeps: at once, with its age, and anew when the
copy was brought up to date. An answer to an older question is never shown.
"""

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Input, Static

from apimarket_tui.backend import Trouble
from apimarket_tui.clean import one_line
from apimarket_tui.marketplaces import PAGE
from apimarket_tui.offers import Offer
from apimarket_tui.screens.frame import FrameScreen, bindings, stands
from apimarket_tui.search import SORTS, Found, Question
from apimarket_tui.widgets.bars import Rule
from apimarket_tui.widgets.cards import CARD_COLUMNS, about_card, card_cell
from apimarket_tui.widgets.facets import FacetTable, facet_rows
from apimarket_tui.widgets.found import age_words, found_words, trouble_words
from apimarket_tui.widgets.table import LineTable

if TYPE_CHECKING:
    from apimarket_tui.actions import Action
    from apimarket_tui.marketplaces import Place
    from local_server.wire.market import ListingCard

TYPING_S = 0.15
"""A pause in typing this long is a question."""
RETRY_S = 15.0
OLD = timedelta(minutes=1)
"""An answer from a copy that is older is asked for again, and the server renews the copy for it."""
AHEAD = 10
"""Rows before the last one from which on the next page is fetched."""


class MarketScreen(FrameScreen):
    SCOPES: ClassVar[tuple[str, ...]] = ("market", "offer", "global")
    TRAIL: ClassVar[tuple[str, ...]] = ("market",)
    BINDINGS: ClassVar[list[BindingType]] = bindings(SCOPES)

    def __init__(self) -> None:
        super().__init__()
        self._question = Question()
        self._asked = 0
        """Number of the newest question; answers to others are dropped."""
        self._asking = False
        self._found: Found | None = None
        self._trouble: Trouble | None = None
        self._itself = False
        """Whether the newest question goes to the marketplace itself."""
        self._place: Place | None = None
        self._fetching = ""
        """The page that is on its way."""

    def body(self) -> ComposeResult:
        with Horizontal(id="ask"):
            yield Static(Content.styled("/", "bold $primary"), id="sign")
            yield Input(placeholder="what should it do? as: weather europe", compact=True, id="words")
            yield Static(id="place")
        yield Rule(id="found")
        yield Static(id="trouble")
        with Horizontal(id="columns"):
            yield FacetTable(id="facets")
            with Vertical():
                yield LineTable["ListingCard"](CARD_COLUMNS, lambda card: card.id, card_cell, id="table")
                yield Static(id="nothing")
                yield Rule(id="card-head")
                yield Static(id="card")

    @property
    def table(self) -> "LineTable[ListingCard]":
        return self.query_one("#table", LineTable)

    @property
    def facets(self) -> FacetTable:
        return self.query_one(FacetTable)

    def on_mount(self) -> None:
        super().on_mount()
        self.focus_main()
        self._visit()
        self.set_interval(1.0, self._tick)
        self.set_interval(RETRY_S, self._retry)

    def focus_main(self) -> None:
        self.table.focus()

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self.call_after_refresh(self._show_card)

    def _tick(self) -> None:
        if not self.is_current:
            return
        self._show_head()
        found = self._found
        if found is None or self._asking or self._trouble is not None or len(found.view.apis) > PAGE:
            return
        old = found.of_copy and self.market.clock() - found.at > OLD
        if found.renewing or (old and not found.trouble):
            self._ask(quietly=True)

    def _retry(self) -> None:
        missing = self._trouble is not None or (self._found is not None and self._found.trouble)
        if self.is_current and missing and not self._asking:
            self._ask(quietly=True)

    # -- Which marketplace

    def show_standing(self) -> None:
        """Sessions come and go: where one is signed in decides what is looked at."""
        super().show_standing()
        if self._place is not None and self._place != self.market.marketplaces.current:
            self._visit()

    def _visit(self) -> None:
        self._place = place = self.market.marketplaces.current
        who = f"  {one_line(place.handle)}" if place.handle else "  A signs in elsewhere"
        told = Content.assemble((one_line(place.title), "$primary"), (who, "$dim"))
        self.query_one("#place", Static).update(told)
        self._found = self._trouble = None
        self._show()
        self._ask()

    # -- Asking

    def _ask(self, wait_s: float = 0.0, *, itself: bool = False, quietly: bool = False) -> None:
        """`quietly`: the same question again, to which there is an answer already."""
        self._asked += 1
        self._asking = not quietly
        self._show_head()
        self.begin("search", partial(self._search, self._asked, wait_s, itself))

    async def _search(self, number: int, wait_s: float, itself: bool) -> None:
        place, question = self._place, self._question
        assert place is not None
        await asyncio.sleep(wait_s)
        answer = await self.market.marketplaces.search(place, question, itself=itself)
        if number != self._asked or not stands(self):
            return
        self._asking, self._itself = False, itself
        if isinstance(answer, Trouble):
            self._trouble = answer
            if place.here or not itself:
                self.market.live.report(answer)
        else:
            self._trouble, self._found = None, answer
        self._show()

    def _more(self) -> None:
        found = self._found
        if found is None or self._asking:
            return
        if found.view.next is not None and found.view.next != self._fetching:
            self._fetching = found.view.next
            self.begin("next page", partial(self._next_page, self._asked, found))

    async def _next_page(self, number: int, found: Found) -> None:
        place, question = self._place, self._question
        assert place is not None
        itself = found.copy is None
        page = await self.market.marketplaces.search(place, question, after=found.view.next, itself=itself)
        self._fetching = ""
        if number != self._asked or self._found is not found or not stands(self) or isinstance(page, Trouble):
            return
        self._found = found.continued(page.view)
        self._show()

    # -- Showing

    def _show(self) -> None:
        view = self._found.view if self._found is not None else None
        cards = view.apis if view is not None else []
        self.table.show_rows(cards)
        self.facets.show_rows(facet_rows(view.facets if view is not None else {}, self._question.chosen))
        self._show_head()
        self._show_nothing(not cards)
        self._show_card()

    def _show_head(self) -> None:
        place, found = self._place, self._found
        age = age_words(found, self._trouble, self.market.clock(), asking=self._asking)
        self.query_one("#found", Rule).show(found_words(found, self._question), age)
        trouble = self.query_one("#trouble", Static)
        told = trouble_words(found, self._trouble, place, itself=self._itself) if place is not None else ""
        trouble.display = bool(told)
        trouble.update(Content.styled(f" ✗ {told}", "$error"))

    def _show_nothing(self, empty: bool) -> None:
        self.table.display = not empty
        nothing = self.query_one("#nothing", Static)
        nothing.display = empty
        if not empty:
            return
        if self._found is None:
            told = "asking the marketplace…" if self._trouble is None else "no copy of this marketplace is here yet"
            nothing.update(Content.styled(told, "$dim"))
        elif self._question.text.strip() or self._question.chosen:
            nothing.update(self._nothing_matches())
        else:
            nothing.update(
                Content.assemble(
                    ("No public APIs yet\n\n", "bold"),
                    ('visibility = "public" in apimarket.toml lists one of yours', "$dim"),
                )
            )

    def _nothing_matches(self) -> Content:
        told = Content.assemble(("Nothing matches.  ", "$dim"), ("esc", "bold $primary"), (" shows all", "$dim"))
        if self._found is not None and self._found.of_copy:
            told += Content.assemble(
                ("   ", "$dim"), ("r", "bold $primary"), (" asks the marketplace, which knows READMEs too", "$dim")
            )
        return told

    @on(LineTable.Moved, "#table")
    def _show_card(self) -> None:
        card = self.table.selected if self.table.display else None
        head, about = self.query_one("#card-head", Rule), self.query_one("#card", Static)
        head.display = about.display = card is not None
        if card is not None:
            head.show(Content.styled(one_line(card.name), "bold $foreground"))
            about.update(about_card(card, self.market.clock()))
        rows = len(self.table.rows)
        if rows and self.table.selected in self.table.rows[-AHEAD:]:
            self._more()

    # -- Acting

    def doer(self, action: "Action") -> object:
        card = self.table.selected if self.table.display else None
        if action.scope != "offer" or card is None or self._place is None:
            return self
        return Offer(self.market, self._place, card)

    @on(Input.Changed, "#words")
    def _typed(self, event: Input.Changed) -> None:
        if event.value != self._question.text:
            self._question = replace(self._question, text=event.value)
            self._ask(TYPING_S)

    @on(Input.Submitted, "#words")
    def _entered(self) -> None:
        self.focus_main()

    def on_key(self, event: events.Key) -> None:
        if event.key == "down" and self.focused is self.query_one("#words"):
            event.stop()
            self.focus_main()

    @on(LineTable.Chosen, "#table")
    def do_open_listing(self) -> None:
        if self.focused is self.facets:
            self._choose_facet()
            return
        card = self.table.selected if self.table.display else None
        if card is not None and self._place is not None:
            from apimarket_tui.screens.listing import ListingScreen

            self.app.push_screen(ListingScreen(self._place, card))

    def do_search(self) -> None:
        self.query_one("#words", Input).focus()

    def do_narrow(self) -> None:
        """The facets, and back again; where there is no room beside the results, in their place."""
        if self.focused is self.facets:
            self.set_class(False, "-narrowing")
            self.focus_main()
        else:
            self.set_class(True, "-narrowing")
            self.facets.focus()

    @on(LineTable.Chosen, "#facets")
    def _choose_facet(self) -> None:
        facet = self.facets.selected
        if facet is not None:
            self._narrow(facet.group, "" if facet.chosen else facet.value)

    def _narrow(self, group: str, value: str) -> None:
        changed: dict[str, str] = {group: value}
        self._question = replace(self._question, **changed)  # type: ignore[arg-type]
        self._ask()

    def do_free(self) -> None:
        self._narrow("price", "" if self._question.price == "free" else "free")

    def do_widen(self) -> None:
        self._question = Question(text=self._question.text, sort=self._question.sort)
        self._ask()

    def do_order(self) -> None:
        following = SORTS[(SORTS.index(self._question.sort) + 1) % len(SORTS)]
        self._question = replace(self._question, sort=following)
        self._ask()

    def do_turn_market(self) -> None:
        if len(self.market.marketplaces.all()) == 1:
            self.market.tell("Only this machine's. A signs in to another marketplace")
            return
        self.market.marketplaces.turn()
        self._visit()

    def do_subscriptions(self) -> None:
        from apimarket_tui.screens.subscriptions import SubscriptionsScreen

        if self._place is not None:
            self.app.push_screen(SubscriptionsScreen(self._place))

    def do_ask_again(self) -> None:
        self._ask(itself=True)

    def do_back(self) -> None:
        if self.focused is self.query_one("#words") or self.focused is self.facets:
            self.set_class(False, "-narrowing")
            self.focus_main()
        elif self._question != Question(sort=self._question.sort):
            self._question = Question(sort=self._question.sort)
            with self.prevent(Input.Changed):
                self.query_one("#words", Input).value = ""
            self._ask()
        else:
            super().do_back()
