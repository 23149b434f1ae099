"""Reads a user's directory into trees, and lays trees out as directories that never change again.

A blob is written before the tree that names it exists, and a tree is laid out under a temporary name and renamed, so
whatever carries its final name is whole. Nothing here calls fsync: a generation that a power cut damages is made again
from the user's own files, and a save must not wait for a disk.
"""

import errno
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from local_server.domain.registry_errors import UnusableDirectory
from local_server.domain.trees import Tree, TreeEntry
from local_server.registry.ignore import Ignore
from local_server.registry.source import walk
from local_server.storage.blobs import BlobStore

# Two writes within one tick of the file system's clock leave the same time stamp; an entry this fresh is read again.
RACY_NS = 50_000_000

Stamp = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Snapshot:
    tree: Tree
    directories: frozenset[str]
    """Absolute paths to watch: every directory that is not ignored."""
    newest_ns: int
    """The latest modification time among the files that were read anew; 0 when none was."""


class Source:
    """One directory, with a memory of what its files held, so that a save reads only what changed. Blocking."""

    def __init__(self, root: Path, blobs: BlobStore) -> None:
        self.root = root
        self._blobs = blobs
        self._known: dict[str, tuple[Stamp, int, TreeEntry]] = {}
        self._ignore = Ignore.load(root)
        self._ignore_files: dict[str, TreeEntry] = {}

    def read(self) -> Snapshot:
        """The directory as it is now. Raises UnusableDirectory, StorageFull."""
        snapshot = self._scan()
        if self._ignore_rules_moved(snapshot.tree):
            self._ignore = Ignore.load(self.root)
            snapshot = self._scan()
            self._ignore_rules_moved(snapshot.tree)
        return snapshot

    def _scan(self) -> Snapshot:
        now_ns = time.time_ns()
        entries: dict[str, TreeEntry] = {}
        known: dict[str, tuple[Stamp, int, TreeEntry]] = {}
        directories = {str(self.root)}
        newest_ns = 0
        for found in walk(self.root, self._ignore):
            directories.add(os.path.dirname(found.path))
            stat = found.stat
            stamp = (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)
            before = self._known.get(found.relative)
            if before and before[0] == stamp and stamp[0] < before[1] - RACY_NS:
                entry = before[2]
            else:
                read = self._read_file(found.path, found.relative, stat.st_mode)
                if read is None:
                    continue
                entry = read
                if before is None or before[2] != entry:
                    newest_ns = max(newest_ns, stat.st_mtime_ns)
            entries[found.relative] = entry
            known[found.relative] = (stamp, now_ns, entry)
        self._known = known
        return Snapshot(Tree(entries), frozenset(directories), newest_ns)

    def _read_file(self, path: str, relative: str, st_mode: int) -> TreeEntry | None:
        mode: Literal[0o644, 0o755] = 0o755 if st_mode & 0o100 else 0o644
        try:
            sha256, size = self._blobs.put_file(Path(path))
        except OSError as error:
            # Gone, or something else, between the listing and the reading: an editor's temporary file, or a rename
            # under way. The next look sees what it is now.
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL, errno.EISDIR, errno.ESTALE):
                return None
            raise UnusableDirectory(
                str(self.root),
                f"holds a file that cannot be read: {relative} ({error.strerror})",
                f"Allow it: chmod u+r {relative}",
            ) from error
        return TreeEntry(sha256, size, mode)

    def _ignore_rules_moved(self, tree: Tree) -> bool:
        names = (".gitignore", ".apimarketignore")
        rules = {path: entry for path, entry in tree.entries.items() if path.rsplit("/", 1)[-1] in names}
        moved = rules != self._ignore_files
        self._ignore_files = rules
        return moved


def lay_out(tree: Tree, blobs: BlobStore, target: Path) -> None:
    """Make `target` a directory that holds exactly `tree`. Files are hard links to the blobs, so the cost does not
    depend on their size; executables are copies, since links share one mode. Nothing happens when it is there."""
    if target.is_dir():
        return
    unfinished = target.with_name(f"{target.name}.tmp{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        _fill(unfinished, tree, blobs)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    unfinished.rename(target)


def _fill(unfinished: Path, tree: Tree, blobs: BlobStore) -> None:
    unfinished.mkdir(parents=True)
    for directory in sorted({os.path.dirname(path) for path in tree.entries} - {""}):
        (unfinished / directory).mkdir(parents=True, exist_ok=True)
    for path, entry in tree.entries.items():
        place = unfinished / path
        if entry.mode == 0o755:
            shutil.copyfile(blobs.path(entry.sha256), place)
            place.chmod(0o555)
        else:
            _link(blobs.path(entry.sha256), place)


def _link(blob: Path, place: Path) -> None:
    try:
        os.link(blob, place)
    except OSError:  # a file system without hard links, or the limit of links to one file
        shutil.copyfile(blob, place)
        place.chmod(0o444)


def remove_older(trees: Path, oldest: int) -> None:
    """Delete what was laid out or built for generations below `oldest`; names begin with the generation's number."""
    with os.scandir(trees) as listing:
        for entry in listing:
            number = entry.name.partition("-")[0]
            if number.isdigit() and int(number) < oldest:
                shutil.rmtree(entry.path, ignore_errors=True)
