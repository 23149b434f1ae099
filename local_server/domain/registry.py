"""An API as the registry knows it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from local_server.domain.ids import ApiId, UserId
from local_server.domain.manifest import Manifest


class ApiStage(StrEnum):
    """Where an API stands in its life towards consumers (the column `status` of the table `apis`)."""

    DRAFT = "draft"
    LISTED = "listed"
    MAINTENANCE = "maintenance"
    DEPRECATED = "deprecated"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class User:
    id: UserId
    handle: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Api:
    id: ApiId
    user_id: UserId
    owner: str
    """The handle of the user."""
    slug: str
    directory: str
    """Absolute path of the source on this machine; empty: the API exists as versions only, published from elsewhere."""
    manifest: Manifest
    """The last valid one; a broken apimarket.toml never replaces it."""
    stage: ApiStage
    revision: int
    """Counts up with every change; a writer names the one it read (compare and swap)."""
    created_at: datetime
    updated_at: datetime

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.slug}"
