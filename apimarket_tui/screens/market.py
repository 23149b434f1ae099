"""Mode 2: a marketplace's catalogue, searched as one types.

What is known is shown at once with its age (an earlier answer to the same question, else the copy of the catalogue) and
the marketplace's own answer takes its place. An answer to an older question is never shown.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Input, Static

from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.catalogue import Question, Sort
from apimarket_tui.clean import one_line
from apimarket_tui.offers import Offer
from apimarket_tui.screens.frame import FrameScreen, bindings, stands
from apimarket_tui.widgets.bars import Rule
from apimarket_tui.widgets.cards import CARD_COLUMNS, about_card, card_cell
from apimarket_tui.widgets.facets import FacetTable, facet_rows
from apimarket_tui.widgets.table import LineTable
from apimarket_tui.words import ago

if TYPE_CHECKING:
    from apimarket_tui.actions import Action
    from apimarket_tui.marketplaces import Place
    from local_server.wire.market import ListingCard, SearchView

TYPING_S = 0.15
"""A pause in typing this long is a question."""
RETRY_S = 15.0
PAGE = 50
AHEAD = 10
"""Rows before the last one from which on the next page is fetched."""
SORTS: tuple[Sort, ...] = get_args(Sort)


@dataclass(frozen=True, slots=True)
class Shown:
    """What stands in the table, and where it is from."""

    found: "SearchView"
    at: datetime
    source: Literal["answer", "earlier", "copy"]


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
        self._shown: Shown | None = None
        self._trouble: Trouble | None = None
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
        if self.is_current:
            self._show_head()

    def _retry(self) -> None:
        if self.is_current and self._trouble is not None and not self._asking:
            self._ask()

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
        self._shown = self._trouble = None
        self._show()
        self._ask()
        if not place.here:
            self.begin("catalogue copy", partial(self._copy, place))

    async def _copy(self, place: "Place") -> None:
        """Read the copy, and renew it once the marketplace answers."""
        await self.market.marketplaces.copy(place)
        if stands(self) and place == self._place and (self._shown is None or not self._shown.found.apis):
            self._show_known()
        await self.market.marketplaces.renew(place)

    # -- Asking

    def _ask(self, wait_s: float = 0.0) -> None:
        self._asked += 1
        self._asking = True
        self._show_known()
        self.begin("search", partial(self._search, self._asked, wait_s))

    async def _search(self, number: int, wait_s: float) -> None:
        place, question = self._place, self._question
        assert place is not None
        await asyncio.sleep(wait_s)
        server = self.market.marketplaces.server(place)
        answer = await attempt(server.search(question.text.strip(), **question.filters, limit=PAGE))
        if number != self._asked or not stands(self):
            return
        self._asking = False
        if isinstance(answer, Trouble):
            self._refused(place, answer)
            return
        self._trouble = None
        self.market.kept.put(_key(place, question), answer)
        self._put(Shown(answer, self.market.clock(), "answer"))

    def _refused(self, place: "Place", trouble: Trouble) -> None:
        self._trouble = trouble
        if place.here:
            self.market.live.report(trouble)
        self._show_known()
        self._show()

    def _show_known(self) -> None:
        """What is known without asking: an earlier answer, else what the copy finds. Else what is there stays."""
        place, question = self._place, self._question
        assert place is not None
        kept = self.market.kept.get(_key(place, question), object)
        copy = self.market.marketplaces.known(place)
        if kept is not None:
            self._put(Shown(kept[0], kept[1], "earlier"))  # type: ignore[arg-type]
        elif copy is not None and copy.read_at is not None:
            self._put(Shown(copy.search(question), copy.read_at, "copy"))
        else:
            self._show_head()

    def _more(self) -> None:
        shown = self._shown
        if shown is None or shown.source != "answer" or self._asking:
            return
        if shown.found.next is not None and shown.found.next != self._fetching:
            self._fetching = shown.found.next
            self.begin("next page", partial(self._next_page, self._asked, shown))

    async def _next_page(self, number: int, shown: Shown) -> None:
        place, question = self._place, self._question
        assert place is not None
        server = self.market.marketplaces.server(place)
        asked = server.search(question.text.strip(), **question.filters, limit=PAGE, after=shown.found.next)
        page = await attempt(asked)
        self._fetching = ""
        if number != self._asked or self._shown is not shown or not stands(self) or isinstance(page, Trouble):
            return
        known = {card.id for card in shown.found.apis}
        apis = [*shown.found.apis, *(card for card in page.apis if card.id not in known)]
        self._put(replace(shown, found=shown.found.model_copy(update={"apis": apis, "next": page.next})))

    # -- Showing

    def _put(self, shown: Shown) -> None:
        self._shown = shown
        self._show()

    def _show(self) -> None:
        shown = self._shown
        cards = shown.found.apis if shown is not None else []
        self.table.show_rows(cards)
        self.facets.show_rows(facet_rows(shown.found.facets if shown is not None else {}, self._question.chosen))
        self._show_head()
        self._show_nothing(not cards)
        self._show_card()

    def _show_head(self) -> None:
        shown, question = self._shown, self._question
        left = Content("")
        if shown is not None:
            more = "" if shown.found.complete else "+"
            left = Content.assemble((f"{shown.found.total:,}{more} found", "bold $foreground"))
        left += Content.styled(f"  {question.sort} first" if question.sort != "name" else "  by name", "$dim")
        for value in question.chosen.values():
            left += Content.assemble("  ", (f"✓ {one_line(value)}", "$success"))
        self.query_one("#found", Rule).show(left, self._age())
        trouble = self.query_one("#trouble", Static)
        trouble.display = self._trouble is not None
        if self._trouble is not None:
            trouble.update(Content.styled(f" ✗ {self._why()}", "$error"))

    def _why(self) -> str:
        trouble, place = self._trouble, self._place
        assert trouble is not None
        assert place is not None
        if trouble.unreachable and not place.here:
            reason = trouble.detail.rpartition(": ")[2]
            return f"{one_line(place.title)} does not answer: {one_line(reason)} · asked again by itself, r asks now"
        return f"{one_line(trouble.detail)} · {one_line(trouble.hint) or 'r asks again'}"

    def _age(self) -> Content:
        shown = self._shown
        asking = Content.styled("asking…", "$warning") if self._asking else Content("")
        if shown is None:
            return asking
        when = ago(shown.at, self.market.clock())
        if shown.source == "answer":
            return Content.styled(f"as of {when}", "$dim")
        what = "copy" if shown.source == "copy" else "answer"
        if self._trouble is not None:
            offline = "offline" if self._trouble.unreachable else "no answer"
            return Content.styled(f"{offline}: {what} of {when}", "$warning")
        return Content.styled(f"{what} of {when}  ", "$dim") + asking

    def _show_nothing(self, empty: bool) -> None:
        self.table.display = not empty
        nothing = self.query_one("#nothing", Static)
        nothing.display = empty
        if not empty:
            return
        if self._shown is None and self._trouble is None:
            nothing.update(Content.styled("asking the marketplace…", "$dim"))
        elif self._shown is None:
            nothing.update(Content.styled("no copy of this marketplace is here yet", "$dim"))
        elif self._question.text.strip() or self._question.chosen:
            shows_all = (("esc", "bold $primary"), (" shows all", "$dim"))
            nothing.update(Content.assemble(("Nothing matches.  ", "$dim"), *shows_all))
        else:
            nothing.update(
                Content.assemble(
                    ("No public APIs yet\n\n", "bold"),
                    ('visibility = "public" in apimarket.toml lists one of yours', "$dim"),
                )
            )

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

    def do_ask_again(self) -> None:
        self._ask()

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


def _key(place: "Place", question: Question) -> tuple[str, ...]:
    return ("market", place.url, *question.key)
