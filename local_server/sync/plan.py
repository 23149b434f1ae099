"""What has to be sent or fetched, decided before anything is: pure.

A tree is told by its difference from one that the other side has. Blobs that the other tree holds are never sent, since
whoever has the tree has them.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from local_server.domain.ids import Digest
from local_server.domain.packs import MAX_BLOB_BYTES, MAX_CONTENT_BYTES, MAX_FRAMES_BYTES
from local_server.domain.trees import Tree, TreeEntry

INLINE_BYTES = 1024 * 1024
"""Blobs of together no more than this go along with the request at once. Beyond it the marketplace is asked first
which of them it lacks."""
BATCH_BYTES = MAX_FRAMES_BYTES
MAX_BATCH_BLOBS = 2_000


@dataclass(frozen=True, slots=True)
class FileChange:
    path: str
    change: Literal["added", "changed", "removed"]
    before: TreeEntry | None
    after: TreeEntry | None


@dataclass(frozen=True, slots=True)
class PushPlan:
    base: Digest | None
    put: Mapping[str, TreeEntry]
    delete: frozenset[str]
    sizes: Mapping[str, int]
    """Of the blobs that the base has not, by SHA-256."""
    bases: Mapping[str, str]
    """SHA-256 of such a blob -> the path at which the base tree holds what it was made from."""

    @property
    def bytes(self) -> int:
        return sum(self.sizes.values())

    @property
    def inline(self) -> frozenset[str]:
        """What goes along with the first request."""
        return frozenset(self.sizes) if self.bytes <= INLINE_BYTES else frozenset()


def plan_push(tree: Tree, base: Tree | None) -> PushPlan:
    """`base` is the newest tree that both sides have."""
    known = base.entries if base else {}
    put = {path: entry for path, entry in tree.entries.items() if known.get(path) != entry}
    theirs = {entry.sha256 for entry in known.values()}
    sizes = {entry.sha256: entry.size_bytes for entry in put.values() if entry.sha256 not in theirs}
    bases = {entry.sha256: path for path, entry in put.items() if path in known and entry.sha256 in sizes}
    return PushPlan(base.digest if base else None, put, frozenset(known.keys() - tree.entries.keys()), sizes, bases)


def file_changes(tree: Tree, base: Tree | None) -> list[FileChange]:
    """By path."""
    known = base.entries if base else {}
    changes: list[FileChange] = []
    for path in sorted({*tree.entries, *known}):
        before, after = known.get(path), tree.entries.get(path)
        if before != after:
            kind: Literal["added", "changed", "removed"] = (
                "added" if before is None else "removed" if after is None else "changed"
            )
            changes.append(FileChange(path, kind, before, after))
    return changes


@dataclass(frozen=True, slots=True)
class Batches:
    together: tuple[tuple[str, ...], ...]
    """Each fits one request."""
    alone: tuple[str, ...]
    """Too large for a batch: sent piece by piece, each resumable by itself."""


def batched(missing: Iterable[str], sizes: Mapping[str, int]) -> Batches:
    """`missing` in few requests, small blobs first: progress is then kept even by a bad line."""
    ordered = sorted(missing, key=lambda sha256: (sizes[sha256], sha256))
    small = [sha256 for sha256 in ordered if _fits(sizes[sha256])]
    return Batches(tuple(_groups(small, sizes)), tuple(sha256 for sha256 in ordered if not _fits(sizes[sha256])))


def _fits(size_bytes: int) -> bool:
    # What does not compress grows a little; it must fit whatever it holds.
    return size_bytes <= MAX_BLOB_BYTES - 64 * 1024


def _groups(ordered: list[str], sizes: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    group: list[str] = []
    held_bytes = 0
    for sha256 in ordered:
        # Deflate adds at most five bytes to each 16 KiB that it cannot compress (RFC 1951, 3.2.4), and a frame's end.
        most_bytes = sizes[sha256] + sizes[sha256] // 1024 + 64
        if group and (held_bytes + most_bytes > min(BATCH_BYTES, MAX_CONTENT_BYTES) or len(group) >= MAX_BATCH_BLOBS):
            yield tuple(group)
            group, held_bytes = [], 0
        group.append(sha256)
        held_bytes += most_bytes
    if group:
        yield tuple(group)
