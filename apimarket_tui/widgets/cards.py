"""An API of a marketplace: in a row, and in a few lines."""

import math
from datetime import datetime
from typing import TYPE_CHECKING

from textual.content import Content

from apimarket_tui.clean import one_line
from apimarket_tui.widgets.table import Column
from apimarket_tui.words import NONE, Spans, Tone, ago, count, language, millis, stars

if TYPE_CHECKING:
    from local_server.wire.market import ListingCard

CARD_COLUMNS = (
    Column("name", "API", 18, 30),
    Column("rating", "RATING", 6, 6),
    Column("price", "PRICE", 13, 14, right=True),
    Column("p95", "P95", 5, 6, right=True, rank=1),
    Column("ok", "OK", 5, 6, right=True, rank=3),
    Column("users", "USERS", 5, 5, right=True, rank=4),
    Column("summary", "SUMMARY", 18, 200, rank=2),
)


def card_cell(card: "ListingCard", column: str, width: int) -> Spans:
    match column:
        case "name":
            return [(f"{one_line(card.owner)}/", "dim"), (one_line(card.slug), "strong")]
        case "rating":
            return [(NONE, "dim")] if card.rating is None else [("★ ", "warn"), (f"{card.rating:.1f}", "text")]
        case "price":
            return [("free", "ok")] if card.free else [(price_of(card), "text")]
        case "p95":
            return [(millis(card.p95_ms), "dim" if card.p95_ms is None else "text")]
        case "ok":
            return [success(card.success_rate)]
        case "users":
            return [(count(card.subscribers), "text" if card.subscribers else "dim")]
        case _:
            return [(one_line(card.summary), "text")]


def price_of(card: "ListingCard") -> str:
    return "free" if card.free else f"from {one_line(card.price_from)}" if card.price_from else NONE


def success(rate: float | None) -> tuple[str, Tone]:
    """The share of calls that went well, rounded down: 100% only where all did."""
    if rate is None:
        return (NONE, "dim")
    return (f"{math.floor(rate * 1000) / 10:g}%", "text" if rate >= 0.99 else "warn")


def about_card(card: "ListingCard", now: datetime) -> Content:
    """Three lines."""
    words = (f"v{one_line(card.version)}", language(one_line(card.runtime)), one_line(card.category))
    kind = "  ".join(word for word in words if word)
    tags = " ".join(f"#{one_line(tag)}" for tag in card.tags)
    rated = (
        Content.assemble((stars(card.rating), "$warning"), f" {card.rating:.1f} of {card.reviews:,}")
        if card.rating is not None
        else Content.styled("no reviews", "$dim")
    )
    ok, _ = success(card.success_rate)
    figures = f"   {count(card.subscribers)} subscribed   {ok} ok   p95 {millis(card.p95_ms)}   {price_of(card)}"
    return Content("\n").join(
        [
            Content(one_line(card.summary) or NONE),
            Content.assemble((kind, "$dim"), "  ", (tags, "$accent")),
            rated + Content(figures) + Content.styled(f"   changed {ago(card.updated_at, now)}", "$dim"),
        ]
    )
