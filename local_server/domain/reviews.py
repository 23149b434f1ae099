"""What those who used an API say of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from local_server.domain.ids import ApiId, UserId
from local_server.domain.market_errors import ReviewFieldRefused

MAX_TEXT_CHARS = 4_000


@dataclass(frozen=True, slots=True)
class Review:
    """One for each user and API; writing again replaces it. An answer stays with it until its text changes."""

    api_id: ApiId
    user_id: UserId
    reviewer: str
    """The handle."""
    rating: int
    text: str
    created_at: datetime
    updated_at: datetime
    answer: str | None = None
    """The API's owner's."""
    answered_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ReviewSummary:
    count: int
    total: int
    by_stars: Mapping[int, int]
    """1 to 5, every one of them."""

    @property
    def average(self) -> float | None:
        return self.total / self.count if self.count else None


def check_rating(rating: int) -> int:
    """Raises ReviewFieldRefused."""
    if not 1 <= rating <= 5:
        raise ReviewFieldRefused("rating", f"found {rating}; allowed: 1 to 5")
    return rating


def check_text(text: str, field: str = "text") -> str:
    """Raises ReviewFieldRefused. What would steer a terminal is let through: whoever shows it takes it out."""
    if len(text) > MAX_TEXT_CHARS:
        raise ReviewFieldRefused(field, f"found {len(text)} characters; allowed: up to {MAX_TEXT_CHARS}")
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise ReviewFieldRefused(field, "found a NUL or half of a surrogate pair; allowed: text")
    return text
