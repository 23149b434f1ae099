"""How the catalogue is searched: which words were meant, in which order what matches is shown, and what could narrow
it down.

Ranking is here and not in the database, so that a laptop and a marketplace show the same order.
"""

import base64
import binascii
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from local_server.domain.ids import ApiId
from local_server.domain.market_errors import CursorRefused

CANDIDATES = 1_000
"""Of what matches, the best so many by quality are ranked and counted."""
MAX_TAGS_COUNTED = 30

_WORD = re.compile(r"[^\W_]+")


class Sort(StrEnum):
    BEST = "best"
    """By words and quality; without words by quality."""
    RATING = "rating"
    SUBSCRIBERS = "subscribers"
    NEWEST = "newest"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Filters:
    category: str | None = None
    tags: tuple[str, ...] = ()
    """It has all of them."""
    runtime: str | None = None
    free: bool | None = None
    """False: only what costs something."""
    min_rating: float | None = None
    """So many stars and more, as people read them: the plain average of what was rated."""
    owner: str | None = None


NO_FILTERS = Filters()


@dataclass(frozen=True, slots=True)
class Candidate:
    """What ranking and counting need of one that matches."""

    api_id: ApiId
    owner: str
    slug: str
    summary: str
    tags: tuple[str, ...]
    category: str
    runtime: str
    free: bool
    rating: float
    """Bayesian average: what is ordered by."""
    stars: float | None
    """Plain average: what is shown, and narrowed down by."""
    subscribers: int
    quality: float
    published_at: datetime


# -- Ranking -----------------------------------------------------------------------------------------------------

# How much a word is worth where it was found. A word that is in none of these is in the README or in a path: 1.
NAME_IS, NAME_BEGINS, NAME_HAS, TAG_IS, OWNER_IS, SUMMARY_HAS, ELSEWHERE = 10.0, 7.0, 6.0, 5.0, 5.0, 3.0, 1.0


def folded(text: str) -> str:
    """In small letters, without marks: as words are compared."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in plain if not unicodedata.combining(char))


def words_of(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_WORD.findall(folded(text))))


def text_score(words: Sequence[str], candidate: Candidate) -> float:
    """0 to 1: how well the places where the words stand speak for it, on average; 1 where they are its name."""
    if not words:
        return 1.0
    slug = candidate.slug
    if slug == "-".join(words) or (words[0] == candidate.owner and slug == "-".join(words[1:])):
        return 1.0
    parts = slug.split("-")
    total = 0.0
    for word in words:
        if word in parts:
            total += NAME_IS if slug == word else 0.9 * NAME_IS
        elif slug.startswith(word):
            total += NAME_BEGINS
        elif word in slug:
            total += NAME_HAS
        elif any(tag.startswith(word) for tag in candidate.tags):
            total += TAG_IS
        elif candidate.owner.startswith(word):
            total += OWNER_IS
        elif f" {word}" in f" {folded(candidate.summary)}":
            total += SUMMARY_HAS
        else:
            total += ELSEWHERE
    return total / (NAME_IS * len(words))


def score(words: Sequence[str], candidate: Candidate) -> float:
    """Text times quality, in which quality decides at most between double and half."""
    return text_score(words, candidate) * (0.5 + candidate.quality / 2)


Ranked = Sequence[tuple["Mark", Candidate]]
"""Each with what it is ordered by."""


def ranked(candidates: Sequence[Candidate], words: Sequence[str], sort: Sort) -> Ranked:
    """In order; equal ones by id, so that pages never overlap."""
    marked: list[tuple[Mark, Candidate]] = [((_key(one, words, sort), one.api_id), one) for one in candidates]
    return sorted(marked, key=lambda pair: pair[0], reverse=sort is not Sort.NAME)


def behind(found: Ranked, mark: "Mark | None", sort: Sort) -> Ranked:
    """What comes after the row of that mark, whether it is still there or not."""
    if mark is None:
        return found
    if sort is Sort.NAME:
        return [pair for pair in found if pair[0] > mark]
    return [pair for pair in found if pair[0] < mark]


def _key(candidate: Candidate, words: Sequence[str], sort: Sort) -> float | str:
    match sort:
        case Sort.NAME:
            return candidate.slug
        case Sort.RATING:
            return candidate.rating
        case Sort.SUBSCRIBERS:
            return candidate.subscribers
        case Sort.NEWEST:
            return candidate.published_at.timestamp()
        case Sort.BEST:
            return score(words, candidate)


# -- What could narrow it down -----------------------------------------------------------------------------------

Facets = Mapping[str, Mapping[str, int]]
"""category, tag, runtime, price, rating -> value -> how many have it, the most first."""


def facets_of(candidates: Sequence[Candidate]) -> Facets:
    categories = Counter(one.category for one in candidates if one.category)
    tags = Counter(tag for one in candidates for tag in one.tags)
    runtimes = Counter(one.runtime for one in candidates)
    prices = Counter("free" if one.free else "paid" for one in candidates)
    rated = [one.stars for one in candidates if one.stars is not None]
    ratings = Counter(str(least) for stars in rated for least in (4, 3, 2) if stars >= least)
    counted = {"category": categories, "tag": tags, "runtime": runtimes, "price": prices, "rating": ratings}
    return {name: dict(_most(counts)) for name, counts in counted.items()}


def _most(counts: Counter[str]) -> Sequence[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:MAX_TAGS_COUNTED]


# -- Pages -------------------------------------------------------------------------------------------------------

Mark = tuple[float | str, str]
"""What the last row of a page was sorted by, and its id: the next page begins behind it."""


def cursor_of(sort: Sort, mark: Mark) -> str:
    written = json.dumps([sort, *mark], separators=(",", ":"))
    return base64.urlsafe_b64encode(written.encode()).decode().rstrip("=")


def mark_of(cursor: str, sort: Sort) -> Mark:
    """Raises CursorRefused for what is no cursor of a page in that order."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        found = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise CursorRefused(cursor) from None
    if not isinstance(found, list) or len(found) != 3:
        raise CursorRefused(cursor)
    of_sort, value, api_id = found
    kind = str if sort is Sort.NAME else (int, float)
    if of_sort != sort or isinstance(value, bool) or not isinstance(value, kind) or not isinstance(api_id, str):
        raise CursorRefused(cursor)
    if isinstance(value, int | float) and not abs(value) < 2**62:
        raise CursorRefused(cursor)
    return value, api_id
