"""A review of an API that one has used: stars and some words. One that was written before is written anew."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static, TextArea

from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import clean, one_line
from apimarket_tui.screens.form import Field, FieldError, FormScreen
from apimarket_tui.screens.frame import stands
from apimarket_tui.widgets.stars import StarPicker

if TYPE_CHECKING:
    from apimarket_tui.marketplaces import Place
    from local_server.wire.market import ListingCard, ReviewView

LONGEST = 4_000
"""Characters."""
PAGE, MOST_PAGES = 100, 20
"""Of reviews, among which one's own is looked for."""


class ReviewScreen(FormScreen["ReviewView"]):
    HEADING = "Review"
    VERB = "Send"
    FIRST = "stars"

    def __init__(self, place: "Place", card: "ListingCard", reviewer: str) -> None:
        super().__init__()
        self._place, self._card, self._reviewer = place, card, reviewer

    def about(self) -> Content:
        told = f"{one_line(self._card.name)}. Everybody sees it, as said by {one_line(self._reviewer)}."
        return Content.styled(told, "$dim")

    def fields(self) -> Sequence[Field]:
        return ()

    def extra(self) -> ComposeResult:
        with Horizontal(classes="field"):
            yield Static("Stars", classes="label")
            yield StarPicker(id="stars")
        yield Static(id="stars-error", classes="error")
        yield TextArea(id="words", placeholder="What others should know; it may be nothing", tab_behavior="focus")
        yield Static(id="words-error", classes="error")

    def on_mount(self) -> None:
        self.run_worker(self._load(), name="own review")

    async def _load(self) -> None:
        """What was said before, unless something is said already."""
        before = await self._before()
        picker, words = self.query_one(StarPicker), self.query_one(TextArea)
        if before is not None and stands(self) and not picker.stars and not words.text:
            picker.stars, words.text = before.rating, clean(before.text)

    async def _before(self) -> "ReviewView | None":
        server = self.market.marketplaces.server(self._place)
        after: str | None = None
        for _ in range(MOST_PAGES):
            page = await attempt(server.reviews(self._card.name, PAGE, after))
            if isinstance(page, Trouble):
                return None
            own = next((one for one in page.reviews if one.reviewer == self._reviewer), None)
            if own is not None or page.next is None:
                return own
            after = page.next
        return None

    async def submit(self, typed: Mapping[str, str]) -> "ReviewView | Trouble":
        from local_server.wire.market import WriteReview

        rating, text = self.query_one(StarPicker).stars, self.query_one(TextArea).text.strip()
        if not rating:
            raise FieldError("stars", "How many stars? Press 1 to 5.")
        if len(text) > LONGEST:
            raise FieldError("words", f"These are {len(text):,} characters; a review has up to {LONGEST:,}.")
        server = self.market.marketplaces.server(self._place)
        answer = await attempt(server.write_review(self._card.name, WriteReview(rating=rating, text=text)))
        if isinstance(answer, Trouble):
            hint = "A signs in there, or makes an account." if answer.status == 401 else answer.hint
            raise FieldError("words", f"{answer.detail}\n{hint}".rstrip())
        return answer
