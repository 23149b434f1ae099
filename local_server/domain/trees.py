"""A tree: the files of one saved state, named by what they hold.

`digest` is the SHA-256 of `"apimarket-tree-v1\\n"` and one line `mode size sha256 path` a file, sorted by path.
"""

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from local_server.domain.ids import Digest

HEADER = b"apimarket-tree-v1\n"
MAX_FILES = 20_000
MAX_FILE_BYTES = 100 * 1024 * 1024
MAX_TREE_BYTES = 250 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class TreeEntry:
    sha256: str
    size_bytes: int
    mode: Literal[0o644, 0o755]

    @staticmethod
    def of(content: bytes, mode: Literal[0o644, 0o755] = 0o644) -> "TreeEntry":
        """The entry of a file that holds `content`."""
        return TreeEntry(hashlib.sha256(content).hexdigest(), len(content), mode)


@dataclass(frozen=True)
class Tree:
    """Path (relative, `/` between segments) -> entry."""

    entries: Mapping[str, TreeEntry]

    @cached_property
    def digest(self) -> Digest:
        hasher = hashlib.sha256(HEADER)
        for path in sorted(self.entries):
            entry = self.entries[path]
            hasher.update(f"{entry.mode:o} {entry.size_bytes} {entry.sha256} {path}\n".encode())
        return Digest(hasher.hexdigest())

    @property
    def size_bytes(self) -> int:
        return sum(entry.size_bytes for entry in self.entries.values())


def path_problem(path: str) -> str | None:
    """Why `path` may not stand in a tree, or None if it may."""
    if not path or path.startswith("/"):
        return "is not relative"
    if "\\" in path or "\0" in path or any(ord(char) < 32 or ord(char) == 127 for char in path):
        return "holds a backslash or a control character"
    if any(segment in ("", ".", "..") for segment in path.split("/")):
        return "has an empty, '.' or '..' segment"
    if unicodedata.normalize("NFC", path) != path:
        return "is not in Unicode normal form C"
    return None


def case_collisions(paths: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of paths that are one file on a file system that ignores case."""
    seen: dict[str, str] = {}
    collisions = []
    for path in sorted(paths):
        other = seen.setdefault(path.casefold(), path)
        if other != path:
            collisions.append((other, path))
    return collisions


def name_collisions(paths: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of paths of which a directory can hold only one: those that differ in case alone, and a file where the
    other needs a directory, in any case of letters."""
    known = sorted(paths)
    collisions = case_collisions(known)
    files = {path.casefold(): path for path in known}
    for path in known:
        parent = path.rpartition("/")[0]
        while parent:
            if (file := files.get(parent.casefold())) is not None:
                collisions.append((file, path))
            parent = parent.rpartition("/")[0]
    return collisions
