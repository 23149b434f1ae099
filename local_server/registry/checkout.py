"""Trees in and out of directories: what a directory holds as a tree, and a tree written over it. Blocking.

A directory is only ever written over when it holds exactly the tree it is said to hold: what somebody has edited and
not published is never lost. All of a tree is written, or nothing.
"""

import shutil
from pathlib import Path
from typing import Literal

from local_server.domain.publish_errors import DirectoryNotClean
from local_server.domain.registry_errors import UnusableDirectory
from local_server.domain.trees import Tree, TreeEntry
from local_server.registry.ignore import Ignore
from local_server.registry.source import walk
from local_server.registry.staging import Staging
from local_server.registry.swap import Swap
from local_server.storage.blobs import BlobStore


def read_tree(root: Path, blobs: BlobStore) -> Tree:
    """What a snapshot of the directory would hold now; its blobs are stored. Raises UnusableDirectory, StorageFull."""
    entries = {}
    for found in walk(root, Ignore.load(root)):
        try:
            sha256, size_bytes = blobs.put_file(Path(found.path))
        except FileNotFoundError:
            continue  # gone meanwhile
        mode: Literal[0o644, 0o755] = 0o755 if found.stat.st_mode & 0o100 else 0o644
        entries[found.relative] = TreeEntry(sha256, size_bytes, mode)
    return Tree(entries)


def write_over(root: Path, tree: Tree, blobs: BlobStore, known: Tree | None) -> bool:
    """Make the directory hold `tree` instead of `known`; False when it does already. Files that no tree holds (what is
    ignored) stay. Raises DirectoryNotClean when it holds something else, UnusableDirectory."""
    now = read_tree(root, blobs)
    if now.digest == tree.digest:
        return False
    if known is None or now.digest != known.digest:
        raise DirectoryNotClean(str(root), _differences(now, known))
    gone = sorted(now.entries.keys() - tree.entries.keys())
    try:
        with Staging(root) as staging:
            for path, entry in tree.entries.items():
                if now.entries.get(path) != entry:
                    _stage(staging, path, entry, blobs)
            with Swap(root, staging) as swap:
                for path in gone:
                    swap.remove(path)
                for path in sorted(staging.files):
                    swap.put(path, staging.files[path])
    except OSError as error:
        raise UnusableDirectory(
            str(root), f"cannot be written: {error.strerror or error}", f"Allow it: chmod -R u+w {root}"
        ) from None
    return True


def write_new(target: Path, tree: Tree, blobs: BlobStore) -> None:
    """Make `target`, which is new or empty, hold `tree`. Raises UnusableDirectory."""
    if not target.is_absolute():
        raise UnusableDirectory(str(target), "is not an absolute path", "Give the whole path, from / on.")
    was_there = target.is_dir() and not target.is_symlink() and not any(target.iterdir())
    if not was_there and (target.exists() or target.is_symlink()):
        what = "is not empty" if target.is_dir() else "is a file"
        raise UnusableDirectory(str(target), what, "Choose another with --dir.")
    try:
        target.mkdir(parents=True, exist_ok=True)
        with Staging(target) as staging:
            for path, entry in tree.entries.items():
                _stage(staging, path, entry, blobs)
            with Swap(target, staging) as swap:
                for path in sorted(staging.files):
                    swap.put(path, staging.files[path])
    except OSError as error:
        if not was_there:
            shutil.rmtree(target, ignore_errors=True)
        raise UnusableDirectory(
            str(target), f"cannot be made: {error.strerror or error}", "Choose another with --dir."
        ) from None


def _stage(staging: Staging, path: str, entry: TreeEntry, blobs: BlobStore) -> None:
    staging.begin(path, executable=entry.mode == 0o755)
    with blobs.open(entry.sha256) as source:
        while chunk := source.read(1024 * 1024):
            staging.write(chunk)
    staging.end()


def _differences(now: Tree, known: Tree | None) -> list[str]:
    if known is None:
        return sorted(now.entries)
    paths = {*now.entries, *known.entries}
    return sorted(path for path in paths if now.entries.get(path) != known.entries.get(path))
