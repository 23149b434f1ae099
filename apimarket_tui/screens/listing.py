"""One API of a marketplace in tabs: README, endpoints, plans, reviews, versions. All of it is a stranger's text."""

import asyncio
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import ContentSwitcher

from apimarket_tui.asked import Asked
from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import one_line
from apimarket_tui.offers import Offer
from apimarket_tui.readme import readme_lines
from apimarket_tui.reviews import review_lines
from apimarket_tui.screens.frame import FrameScreen, bindings, stands
from apimarket_tui.widgets.bars import Rule, TopBar
from apimarket_tui.widgets.cards import price_of, success
from apimarket_tui.widgets.lines import LineView, TextLines
from apimarket_tui.widgets.plans import PlanTable
from apimarket_tui.widgets.published import endpoint_table, version_table
from apimarket_tui.widgets.tabs import TabLine
from apimarket_tui.widgets.worded import WordedTable, refusal
from apimarket_tui.words import Spans, count, millis, stars

if TYPE_CHECKING:
    from apimarket_tui.actions import Action
    from apimarket_tui.marketplaces import Place
    from local_server.wire.market import ListingCard, ListingView, ReviewsView, ReviewView

TABS = ("readme", "endpoints", "plans", "reviews", "versions")
REVIEWS = 50
_NO_ENDPOINTS = Content.assemble(
    ("No endpoints are told\n\n", "bold"), ("It was published without an OpenAPI document; see the README.", "$dim")
)
_NO_VERSIONS = Content.assemble(
    ("No published versions\n\n", "bold"), ("It is served from where it was made, and cannot be cloned.", "$dim")
)


class ListingScreen(FrameScreen):
    SCOPES: ClassVar[tuple[str, ...]] = ("listing", "offer", "global")
    TRAIL: ClassVar[tuple[str, ...]] = ("market", "…")
    BINDINGS: ClassVar[list[BindingType]] = bindings(SCOPES)

    def __init__(self, place: "Place", card: "ListingCard") -> None:
        super().__init__()
        self._place, self._card = place, card
        self._reviews: ReviewsView | None = None

    def body(self) -> ComposeResult:
        yield TabLine(["README", *(tab.title() for tab in TABS[1:])], id="tabs")
        yield Rule(id="heading")
        with ContentSwitcher(initial="readme"):
            yield LineView(id="readme")
            yield WordedTable(endpoint_table(), _NO_ENDPOINTS, id="endpoints")
            yield WordedTable(PlanTable(), Content.styled("No plans", "$dim"), id="plans")
            yield LineView(id="reviews")
            yield WordedTable(version_table(self.market.clock), _NO_VERSIONS, id="versions")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(TopBar).set_trail(("market", self._card.name))
        for part in ("readme", "reviews"):
            self._say(part, Content.styled("asking…", "$dim"))
        self._asked: Asked[ListingView] = Asked(
            self.market.kept, ("listing", self._place.url, self._card.name), self.market.clock
        )
        if self._listing is not None:
            self._show(self._listing)
        self._show_heading()
        self.focus_main()
        self.begin("listing", self._load)
        self.set_interval(1.0, self._tick)

    def _tick(self) -> None:
        if self.is_current:
            self._show_heading()

    @property
    def _listing(self) -> "ListingView | None":
        return self._asked.found

    # -- Asking

    async def _load(self) -> None:
        answer = await attempt(self.market.marketplaces.server(self._place).listing(self._card.name))
        if not stands(self):
            return
        self._asked.take(answer)
        if not isinstance(answer, Trouble):
            self._show(answer)
            return
        self._show_heading()
        for part in ("endpoints", "plans"):
            self.query_one(f"#{part}", WordedTable).refuse(answer)
        if self._listing is None:
            self._say("readme", refusal(answer))

    async def _load_reviews(self) -> None:
        server = self.market.marketplaces.server(self._place)
        answer = await attempt(server.reviews(self._card.name, limit=REVIEWS))
        if not stands(self):
            return
        if isinstance(answer, Trouble):
            if self._reviews is None:
                self._say("reviews", refusal(answer))
            return
        self._reviews = answer
        self._lay_out_reviews()

    async def _load_versions(self) -> None:
        answer = await attempt(self.market.marketplaces.server(self._place).published(self._card.name))
        if not stands(self):
            return
        table = self.query_one("#versions", WordedTable)
        if isinstance(answer, Trouble):
            missing = answer.status == 404
            table.show([]) if missing else table.refuse(answer)
            return
        table.show(answer.versions)
        self._find_focus()

    def _show(self, listing: "ListingView") -> None:
        self._card = listing.api
        self.query_one("#endpoints", WordedTable).show(listing.endpoints)
        self.query_one("#plans", WordedTable).show(listing.plans)
        tabs = self.query_one(TabLine)
        for index, number in ((1, len(listing.endpoints)), (2, len(listing.plans)), (3, listing.reviews.count)):
            tabs.retitle(index, f"{TABS[index].title()} {number}" if number else TABS[index].title())
        self._show_heading()
        self._lay_out_readme()
        self._find_focus()

    # -- Text that is laid out for the width there is

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self.call_after_refresh(self._lay_out_readme)
        self.call_after_refresh(self._lay_out_reviews)

    def _room(self) -> int:
        return max(self.size.width - 3, 20)

    def _lay_out_readme(self) -> None:
        if self._listing is not None:
            self.begin("readme", partial(self._read, self._listing.readme))

    async def _read(self, text: str) -> None:
        """Off the loop: a stranger decides how long it takes."""
        if not text.strip():
            self._say("readme", Content.styled("This API has no README.", "$dim"))
            return
        lines = await asyncio.to_thread(readme_lines, text, self._room())
        if stands(self):
            self._show_text("readme", lines)

    def _lay_out_reviews(self) -> None:
        if self._reviews is not None:
            lines = review_lines(self._reviews, self.market.clock(), self._room(), self._reviewer)
            self._show_text("reviews", lines)

    def _show_text(self, part: str, lines: list[Spans]) -> None:
        text = TextLines(lines)
        self.query_one(f"#{part}", LineView).show(text, text.widest)

    def _say(self, part: str, word: Content) -> None:
        self._show_text(part, [[(line, "dim")] for line in word.plain.splitlines()])

    # -- Showing

    def _show_heading(self) -> None:
        card = self._card
        rated = "" if card.rating is None else f"{card.rating:.1f}  "
        left = Content.assemble(
            (f"v{one_line(card.version)}  ", "$foreground"),
            (f"{stars(card.rating)} ".lstrip(), "$warning"),
            (rated, "$foreground"),
            (price_of(card), "$success" if card.free else "$foreground"),
            (f"  {_measured(card, self._listing)}", "$dim"),
        )
        self.query_one("#heading", Rule).show(left, self._asked.age())

    # -- Tabs

    @property
    def tab(self) -> str:
        return TABS[self.query_one(TabLine).active]

    @on(TabLine.Changed)
    def _tab_changed(self) -> None:
        self.query_one(ContentSwitcher).current = self.tab
        self.focus_main()
        loading = {"reviews": self._load_reviews, "versions": self._load_versions}.get(self.tab)
        if loading is not None:
            self.begin(self.tab, loading)

    def focus_main(self) -> None:
        part: Widget = self.query_one(f"#{self.tab}")
        if isinstance(part, WordedTable):
            part = part.table
        self.set_focus(part if part.display else None)

    def _find_focus(self) -> None:
        """A table that had no rows may have some now."""
        if self.focused is None:
            self.focus_main()

    def do_next_page(self) -> None:
        self.query_one(TabLine).go(1)

    def do_previous_page(self) -> None:
        self.query_one(TabLine).go(-1)

    # -- Reviewing

    @property
    def _reviewer(self) -> str:
        """Who one is there."""
        server = self.market.live.server
        return self._place.handle or (server.owner if server is not None else "")

    def do_review(self) -> None:
        from apimarket_tui.screens.review import ReviewScreen

        self.app.push_screen(ReviewScreen(self._place, self._card, self._reviewer), self._reviewed)

    def _reviewed(self, written: "ReviewView | None") -> None:
        if written is None:
            return
        self.market.tell("Thank you: your review is there")
        self._reload_reviews()

    def _reload_reviews(self) -> None:
        self.begin("listing", self._load)
        tabs = self.query_one(TabLine)
        if self.tab == "reviews":
            self.begin("reviews", self._load_reviews)
        else:
            tabs.active = TABS.index("reviews")

    def do_take_review_back(self) -> None:
        from apimarket_tui.screens.confirm import ConfirmScreen

        question = f"Take your review of {one_line(self._card.name)} back?"
        more = "Nobody sees it any more, and its stars count no longer. You may write another."
        self.app.push_screen(
            ConfirmScreen(question, more, "Take it back"),
            lambda yes: self.begin("take review back", self._take_review_back) if yes else None,
        )

    async def _take_review_back(self) -> None:
        answer = await attempt(self.market.marketplaces.server(self._place).remove_review(self._card.name))
        if not stands(self):
            return
        if isinstance(answer, Trouble):
            self.market.tell(answer.text, bad=True)
            return
        self.market.tell("your review is gone")
        self._reload_reviews()

    # -- Acting

    def doer(self, action: "Action") -> object:
        if action.scope != "offer":
            return self
        plan = self.query_one("#plans", WordedTable).selected if self.tab == "plans" else None
        version = self.query_one("#versions", WordedTable).selected if self.tab == "versions" else None
        endpoint = self.query_one("#endpoints", WordedTable).selected if self.tab == "endpoints" else None
        return Offer(
            self.market,
            self._place,
            self._card,
            plan=plan.code if plan is not None else "",
            version=version.semver if version is not None else "",
            endpoint=endpoint,
        )


def _measured(card: "ListingCard", listing: "ListingView | None") -> str:
    ok, _ = success(card.success_rate)
    told = f"{count(card.subscribers)} subscribed  p95 {millis(card.p95_ms)}  {ok} ok"
    if listing is None or not listing.measured.requests:
        return told
    calls = listing.measured.requests
    return f"{told}  {count(calls)} call{'' if calls == 1 else 's'} in 30 days"
