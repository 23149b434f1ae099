"""A copy of another server's public catalogue, which is searched without a network."""

from dataclasses import dataclass
from datetime import datetime

from local_server.domain.catalogue import Listing, Standing
from local_server.domain.ids import ApiId

MOST_COPIED = 250_000
"""Listings of one copy. Of a catalogue that is larger, those that changed first are here."""
PATHS_CHARS = 4_000
"""Of the paths of one API's endpoints so much is told and searched."""


@dataclass(frozen=True, slots=True)
class CatalogueCopy:
    remote: str
    """The URL of the server it is of."""
    origin: str
    """Which catalogue that had: with another one the copy begins anew."""
    cursor: int
    """The number of the last change that is here."""
    listings: int
    checked_at: datetime | None
    """When it last was as the server's; None: it was never whole."""

    @property
    def is_whole(self) -> bool:
        return self.checked_at is not None


@dataclass(frozen=True, slots=True)
class CopiedListing:
    listing: Listing
    standing: Standing
    quality: float
    paths: tuple[str, ...]
    """Of its endpoints."""
    changed: int
    """The number of its last change, where it comes from."""


@dataclass(frozen=True, slots=True)
class CopiedRemoval:
    api_id: ApiId
    changed: int


CopiedChange = CopiedListing | CopiedRemoval
