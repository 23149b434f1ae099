"""A question to a marketplace, and what came of it. Pure.

Where a copy of the marketplace's catalogue is on this machine, the local server answers from it at once, and brings it
up to date behind that. The marketplace itself knows more: the words of READMEs.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from local_server.wire.market import CatalogueCopyView, SearchView

Sort = Literal["best", "rating", "subscribers", "newest", "name"]
SORTS: tuple[Sort, ...] = ("best", "rating", "subscribers", "newest", "name")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a catalogue."""

    text: str = ""
    category: str = ""
    tag: str = ""
    runtime: str = ""
    price: str = ""
    """free, paid, or nothing."""
    rating: str = ""
    """So many stars and more."""
    sort: Sort = "best"

    @property
    def filters(self) -> dict[str, str | None]:
        """As the server wants them."""
        return {
            "category": self.category or None,
            "tag": self.tag or None,
            "runtime": self.runtime or None,
            "free": {"free": "true", "paid": "false"}.get(self.price),
            "min_rating": self.rating or None,
            "sort": self.sort,
        }

    @property
    def chosen(self) -> dict[str, str]:
        """What narrows it down, by facet."""
        named = ("category", "tag", "runtime", "price", "rating")
        return {name: value for name in named if (value := getattr(self, name))}


@dataclass(frozen=True, slots=True)
class Found:
    """An answer, and where it is from."""

    view: "SearchView"
    at: datetime
    """When it was so."""
    copy: "CatalogueCopyView | None" = None
    """The copy on this machine, as it stood when it was asked; None: the marketplace was asked itself."""

    @property
    def of_copy(self) -> bool:
        return self.copy is not None and not getattr(self.view, "live", False)

    @property
    def renewing(self) -> bool:
        return self.copy is not None and self.copy.refreshing

    @property
    def trouble(self) -> str:
        """Why the copy could not be brought up to date."""
        return (self.copy.trouble or "") if self.of_copy and self.copy is not None else ""

    def continued(self, page: "SearchView") -> "Found":
        """With the next page behind it. What moved from one page to the other meanwhile stands there once."""
        known = {card.id for card in self.view.apis}
        apis = [*self.view.apis, *(card for card in page.apis if card.id not in known)]
        return replace(self, view=self.view.model_copy(update={"apis": apis, "next": page.next}))
