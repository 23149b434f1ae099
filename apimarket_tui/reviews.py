"""What others say of an API, as lines to read. Pure but for Rich's wrapping of lines."""

import io
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from apimarket_tui.clean import clean, one_line
from apimarket_tui.words import Spans, ago, bar, stars

if TYPE_CHECKING:
    from local_server.wire.market import ReviewSummaryView, ReviewsView, ReviewView

BAR_CELLS = 20


def review_lines(reviews: "ReviewsView", now: datetime, width: int, own: str = "") -> list[Spans]:
    """`own`: whose review can be written anew from here."""
    lines = _summary(reviews.summary)
    for review in reviews.reviews:
        lines += [[], *_review(review, now, width, own=review.reviewer == own)]
    if reviews.next is not None:
        lines += [[], [(f"… the newest {len(reviews.reviews)} of {reviews.summary.count:,}", "dim")]]
    return lines


def _summary(summary: "ReviewSummaryView") -> list[Spans]:
    if summary.average is None:
        who = "  Whoever has called it by a subscription may write one: "
        return [[("No reviews yet.", "strong"), (who, "dim"), ("w", "primary")]]
    told = f"  {summary.average:.1f} of 5, {summary.count:,} review{'' if summary.count == 1 else 's'}"
    lines: list[Spans] = [[(stars(summary.average), "warn"), (told, "strong")]]
    top = max(summary.by_stars.values(), default=0)
    for number in "54321":
        given = summary.by_stars.get(number, 0)
        drawn = bar(given, top, BAR_CELLS).ljust(BAR_CELLS)
        lines.append([(f"  {number} ", "dim"), (drawn, "warn"), (f" {given:,}", "dim")])
    return lines


def _review(review: "ReviewView", now: datetime, width: int, *, own: bool) -> list[Spans]:
    head: Spans = [
        (stars(review.rating), "warn"),
        (f"  {one_line(review.reviewer)}", "strong"),
        (f"  {ago(review.updated_at, now)}", "dim"),
    ]
    if own:
        head += [
            ("  yours: ", "dim"),
            ("w", "primary"),
            (" writes it anew, ", "dim"),
            ("D", "primary"),
            (" takes it back", "dim"),
        ]
    lines: list[Spans] = [head]
    lines += [[("  " + line, "text")] for line in wrapped(review.text, width - 3)]
    if review.answer is not None:
        lines.append([("  its owner:", "dim")])
        lines += [[("    " + line, "dim")] for line in wrapped(review.answer, width - 5)]
    return lines


def wrapped(text: str, width: int) -> list[str]:
    """Broken between words, by cells and not by characters."""
    lines = Text(clean(text).strip()).wrap(_console(), max(width, 20))
    return [line.plain.rstrip() for line in lines]


@cache
def _console() -> Console:
    return Console(file=io.StringIO())
