"""Which files differ between two trees. What stands in them is compared elsewhere."""

from collections.abc import Iterator
from dataclasses import dataclass

from local_server.domain.trees import Tree, TreeEntry


@dataclass(frozen=True, slots=True)
class FileChange:
    path: str
    """In the second tree; of a file that is gone, in the first."""
    before: TreeEntry | None
    """None: it was not there."""
    after: TreeEntry | None
    """None: it is gone."""
    path_before: str | None = None
    """Where the very same content was before, if it moved."""

    @property
    def word(self) -> str:
        """added, removed, renamed, changed, or mode: only whether it can be executed."""
        if self.path_before is not None:
            return "renamed"
        if self.before is None or self.after is None:
            return "removed" if self.after is None else "added"
        return "changed" if self.before.sha256 != self.after.sha256 else "mode"


def tree_changes(first: Tree, second: Tree) -> list[FileChange]:
    """By path. A file that is gone from one place and new in another, with the same content, moved."""
    gone = {path: entry for path, entry in first.entries.items() if path not in second.entries}
    moved = dict(_moves(gone, second, first))
    left = gone.keys() - moved.values()
    changes = [FileChange(path, gone[path], None) for path in left]
    for path, entry in second.entries.items():
        source = moved.get(path)
        before = first.entries.get(source or path)
        if before != entry or source is not None:
            changes.append(FileChange(path, before, entry, source))
    return sorted(changes, key=lambda change: change.path)


def _moves(gone: dict[str, TreeEntry], second: Tree, first: Tree) -> Iterator[tuple[str, str]]:
    """(new place, old one). Empty files are all alike, and say nothing."""
    places: dict[str, list[str]] = {}
    for path in sorted(gone, reverse=True):
        if gone[path].size_bytes:
            places.setdefault(gone[path].sha256, []).append(path)
    for path in sorted(second.entries.keys() - first.entries.keys()):
        if places.get(second.entries[path].sha256):
            yield path, places[second.entries[path].sha256].pop()
