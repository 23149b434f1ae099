"""What moves in a marketplace: each API's head, visibility and yanked versions, and the feed that tells of it.

A ref has a revision that counts up by one with each change; who changes it names the revision it read. The feed is
one sequence of changes without gaps. A cursor in it names the last change seen and that change's digest, which covers
every change before: a server that was restored from a backup does not know a cursor of the days it lost, and says so.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from local_server.domain.ids import ApiId, Digest, UserId
from local_server.domain.manifest import Visibility


class RefName(StrEnum):
    HEAD = "head"
    VISIBILITY = "visibility"
    YANKED = "yanked"


class ChangeKind(StrEnum):
    PUBLISHED = "published"
    """The head moved to a new version."""
    VISIBILITY = "visibility"
    YANKED = "yanked"
    """A version was yanked, or is so no longer."""
    REMOVED = "removed"
    """The API is gone; its name stays reserved."""


@dataclass(frozen=True, slots=True)
class Head:
    version: Digest
    semver: str
    tree: Digest


@dataclass(frozen=True, slots=True)
class Refs:
    """All refs of one published API."""

    api_id: ApiId
    user_id: UserId
    owner: str
    slug: str
    head: Head | None = None
    head_rev: int = 0
    """0: nothing was published yet."""
    visibility: Visibility = Visibility.PRIVATE
    visibility_rev: int = 0
    yanked: Mapping[str, str] = field(default_factory=dict)
    """Version number -> reason."""
    yanked_rev: int = 0
    removed: bool = False

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.slug}"

    def revision(self, name: RefName) -> int:
        return {
            RefName.HEAD: self.head_rev,
            RefName.VISIBILITY: self.visibility_rev,
            RefName.YANKED: self.yanked_rev,
        }[name]


@dataclass(frozen=True, slots=True)
class Change:
    number: int
    """1, 2, 3 …: every number once, in the order of the commits."""
    digest: str
    """Of this change and of all before."""
    at: datetime
    kind: ChangeKind
    refs: Refs
    """As they were after it."""

    @property
    def cursor(self) -> "Cursor":
        return Cursor(self.number, self.digest)


_CURSOR = re.compile(r"(0|[1-9][0-9]{0,17})-([0-9a-f]{16})")


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the feed: behind change `number`."""

    number: int
    digest: str

    def __str__(self) -> str:
        return f"{self.number}-{self.digest}"

    @classmethod
    def parse(cls, text: str) -> "Cursor | None":
        """None for what no feed ever gave out. `""` and `"0"` are the beginning."""
        if text in ("", "0"):
            return START
        found = _CURSOR.fullmatch(text)
        return cls(int(found[1]), found[2]) if found else None


START = Cursor(0, "0" * 16)
"""Before the first change."""


def chained(before: Cursor, kind: ChangeKind, refs: Refs) -> Cursor:
    """Where the feed stands after one more change."""
    content = json.dumps([before.digest, kind, refs_document(refs)], separators=(",", ":"), sort_keys=True)
    return Cursor(before.number + 1, hashlib.sha256(content.encode()).hexdigest()[:16])


def refs_document(refs: Refs) -> dict[str, Any]:
    """As JSON; `refs_from` reads it."""
    head = refs.head
    return {
        "api_id": refs.api_id,
        "user_id": refs.user_id,
        "owner": refs.owner,
        "slug": refs.slug,
        "head": head and {"version": head.version, "semver": head.semver, "tree": head.tree},
        "head_rev": refs.head_rev,
        "visibility": refs.visibility,
        "visibility_rev": refs.visibility_rev,
        "yanked": dict(refs.yanked),
        "yanked_rev": refs.yanked_rev,
        "removed": refs.removed,
    }


def refs_from(document: Mapping[str, Any]) -> Refs:
    head = document["head"]
    return Refs(
        api_id=ApiId(document["api_id"]),
        user_id=UserId(document["user_id"]),
        owner=document["owner"],
        slug=document["slug"],
        head=head and Head(Digest(head["version"]), head["semver"], Digest(head["tree"])),
        head_rev=document["head_rev"],
        visibility=Visibility(document["visibility"]),
        visibility_rev=document["visibility_rev"],
        yanked=document["yanked"],
        yanked_rev=document["yanked_rev"],
        removed=document["removed"],
    )
