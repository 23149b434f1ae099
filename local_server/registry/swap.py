"""Puts files in their places in an API's directory one by one: all of them, or none. Blocking."""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType

from local_server.domain.registry_errors import UploadRefused
from local_server.registry.staging import Staged, Staging


class Swap:
    """When a step fails, the block ends with everything as it was. No place is ever empty between an earlier file and
    its successor."""

    def __init__(self, root: Path, staging: Staging) -> None:
        self._root = root
        self._staging = staging
        self._undo: list[Callable[[], object]] = []

    def __enter__(self) -> "Swap":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None and not self._put_back():
            self._staging.keep = True
            raise UploadRefused(
                f"Writing failed ({error}), and so did putting back what was there",
                f"The files as they were before are in {self._staging.directory}",
            ) from error

    def remove(self, path: str) -> None:
        """Take a file away, and the directories that are empty then."""
        place = self._place(path)
        earlier = self._earlier()
        os.replace(place, earlier)
        self._undo.append(partial(os.replace, earlier, place))
        for parent in place.parents:
            if parent == self._root or not _remove_empty(parent):
                break
            self._undo.append(parent.mkdir)

    def put(self, path: str, staged: Staged) -> None:
        """Move a file to its place, whether there is one already or not."""
        place = self._place(path)
        for parent in reversed([parent for parent in place.parents if not parent.exists()]):
            parent.mkdir()
            self._undo.append(parent.rmdir)
        if os.path.lexists(place):
            earlier = self._copy_of(place)
            _take_mode(staged, bool(earlier.lstat().st_mode & 0o100) and not earlier.is_symlink())
            os.replace(staged.file, place)
            self._undo.append(partial(os.replace, earlier, place))
        else:
            _take_mode(staged, False)
            os.replace(staged.file, place)
            self._undo.append(place.unlink)

    def _place(self, path: str) -> Path:
        """Where `path` is, if the way there leads through directories alone."""
        place = self._root / path
        for parent in reversed(place.relative_to(self._root).parents[:-1]):
            if (self._root / parent).is_symlink():
                raise UploadRefused(f"leads through a link: {parent}", "Replace the link by a directory.", path)
            if os.path.lexists(self._root / parent) and not (self._root / parent).is_dir():
                raise UploadRefused(f"needs a directory where there is a file: {parent}", "Remove that file.", path)
        if place.is_dir() and not place.is_symlink():
            raise UploadRefused("is a directory there", "Remove the directory, or rename the file.", path)
        return place

    def _earlier(self) -> Path:
        return self._staging.directory / f"{len(self._undo)}.old.tmp"

    def _copy_of(self, place: Path) -> Path:
        """A second name for the file."""
        earlier = self._earlier()
        try:
            os.link(place, earlier, follow_symlinks=False)
        except (OSError, NotImplementedError):  # a file system without hard links
            shutil.copy2(place, earlier, follow_symlinks=False)
        return earlier

    def _put_back(self) -> bool:
        whole = True
        for undo in reversed(self._undo):
            try:
                undo()
            except OSError:
                whole = False
        return whole


def _remove_empty(directory: Path) -> bool:
    with suppress(OSError):
        directory.rmdir()
        return True
    return False


def _take_mode(staged: Staged, was_executable: bool) -> None:
    """What the upload says of a file's mode counts; else what it was."""
    if was_executable if staged.executable is None else staged.executable:
        mode = staged.file.stat().st_mode
        staged.file.chmod(mode | (mode & 0o444) >> 2)  # for whom it is readable
