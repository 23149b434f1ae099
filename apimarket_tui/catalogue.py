"""A marketplace's public catalogue as it was copied here: searched while the marketplace is away, or slow.

The marketplace ranks better: it knows READMEs. The copy knows names, tags, summaries and paths of endpoints, and orders
by the quality that the marketplace computed.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from local_server.wire.market import CatalogueChange, ListingCard, SearchView

Sort = Literal["best", "rating", "subscribers", "newest", "name"]
SORTS: tuple[Sort, ...] = ("best", "rating", "subscribers", "newest", "name")
MOST = 20_000
"""APIs in a copy; those that changed last stay."""
SHOWN = 100
FACETS_SHOWN = 12
_WORD = re.compile(r"[^\W_]+")


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
        """As the marketplace wants them."""
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

    @property
    def key(self) -> tuple[str, ...]:
        return (self.text.strip().casefold(), *(f"{name}={value}" for name, value in self.chosen.items()), self.sort)


class Catalogue:
    """Cards by id, each with the text in which words are looked for. Words match by their beginning."""

    def __init__(self) -> None:
        self._cards: dict[str, ListingCard] = {}
        self._paths: dict[str, list[str]] = {}
        self._texts: dict[str, str] = {}
        self.next = 0
        """Where the marketplace's feed goes on."""
        self.read_at: datetime | None = None
        """When the marketplace last said that this is all; None: never."""

    def __len__(self) -> int:
        return len(self._cards)

    def take(self, changes: "Iterable[CatalogueChange]") -> None:
        for change in changes:
            self._cards.pop(change.id, None)
            if change.api is None:
                self._texts.pop(change.id, None)
                self._paths.pop(change.id, None)
                continue
            self._cards[change.id] = change.api
            self._paths[change.id] = change.paths
            self._texts[change.id] = _text_of(change.api, change.paths)
        for id in list(self._cards)[: max(len(self._cards) - MOST, 0)]:
            del self._cards[id], self._texts[id], self._paths[id]

    def clear(self) -> None:
        for held in (self._cards, self._texts, self._paths):
            held.clear()
        self.next, self.read_at = 0, None

    def named(self, name: str) -> "ListingCard | None":
        return next((card for card in self._cards.values() if card.name == name), None)

    # -- Searching

    def search(self, question: Question) -> "SearchView":
        """As the marketplace would answer, as well as the copy can."""
        from local_server.wire.market import SearchView

        words = [f" {word}" for word in _WORD.findall(question.text.casefold())]
        found = [
            card
            for id, card in self._cards.items()
            if _passes(card, question) and all(word in self._texts[id] for word in words)
        ]
        found.sort(key=lambda card: _order(card, question.sort))
        return SearchView(apis=found[:SHOWN], total=len(found), complete=True, facets=_facets(found), next=None)

    # -- Keeping

    def written(self) -> bytes:
        """As it is kept on disk."""
        cards = [
            {"id": id, "changed": 0, "api": card.model_dump(mode="json"), "paths": self._paths[id]}
            for id, card in self._cards.items()
        ]
        at = self.read_at.isoformat() if self.read_at is not None else None
        return json.dumps({"format": 1, "next": self.next, "read_at": at, "changes": cards}).encode()

    @classmethod
    def read(cls, copy: bytes | None) -> "Catalogue":
        """What was kept; an empty one where that is nothing, or not what it should be."""
        from pydantic import TypeAdapter, ValidationError

        from local_server.wire.market import CatalogueChange

        found = cls()
        try:
            kept = json.loads(copy or b"{}")
            if not isinstance(kept, dict) or kept.get("format") != 1:
                return found
            changes = TypeAdapter(list[CatalogueChange]).validate_python(kept["changes"])
            found.next, at = int(kept["next"]), kept["read_at"]
            found.read_at = datetime.fromisoformat(at) if at is not None else None
        except (ValueError, KeyError, TypeError, RecursionError, ValidationError):
            return cls()
        found.take(changes)
        return found


def _text_of(card: "ListingCard", paths: Iterable[str]) -> str:
    text = " ".join((card.name, card.category, *card.tags, card.summary, *paths))
    return " " + " ".join(_WORD.findall(text.casefold()))


def _passes(card: "ListingCard", question: Question) -> bool:
    return (
        (not question.category or card.category == question.category)
        and (not question.tag or question.tag in card.tags)
        and (not question.runtime or card.runtime == question.runtime)
        and (not question.price or card.free == (question.price == "free"))
        and (not question.rating or (card.rating or 0.0) >= _stars(question.rating))
    )


def _stars(text: str) -> float:
    return float(text) if text.isdecimal() else 0.0


def _order(card: "ListingCard", sort: Sort) -> tuple[float | str, ...]:
    """The first first; equal ones by name."""
    firsts: Mapping[str, float] = {
        "best": -card.quality,
        "rating": -(card.rating or 0.0),
        "subscribers": -card.subscribers,
        "newest": -card.published_at.timestamp(),
        "name": 0.0,
    }
    return (firsts[sort], card.slug, card.name)


def _facets(cards: "list[ListingCard]") -> "dict[str, list[object]]":
    counted = {
        "category": Counter(card.category for card in cards if card.category),
        "tag": Counter(tag for card in cards for tag in card.tags),
        "runtime": Counter(card.runtime for card in cards),
        "price": Counter("free" if card.free else "paid" for card in cards),
        "rating": Counter(str(stars) for card in cards for stars in (4, 3, 2) if (card.rating or 0.0) >= stars),
    }
    from local_server.wire.market import FacetView

    return {
        name: [FacetView(value=value, count=count) for value, count in counts.most_common(FACETS_SHOWN)]
        for name, counts in counted.items()
    }
