"""Lists the files of a user's directory, and refuses what must not become part of a tree. Blocking.

Nothing outside the directory is ever named: links are not followed, except that a link to a file inside counts as that
file.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local_server.domain.registry_errors import UnusableDirectory
from local_server.domain.trees import MAX_FILE_BYTES, MAX_FILES, MAX_TREE_BYTES, case_collisions, path_problem
from local_server.registry.ignore import Ignore

_LEAVE_OUT = "Leave it out with a line in .apimarketignore: {}"


@dataclass(frozen=True, slots=True)
class SourceFile:
    relative: str
    """Below the root, `/` between segments."""
    path: str
    """Where its bytes are: absolute, and never a link."""
    stat: os.stat_result


def check_directory(directory: Path) -> Path:
    """The directory's real path, if an API may live there. Raises UnusableDirectory."""
    if not directory.is_absolute():
        raise UnusableDirectory(str(directory), "is not an absolute path", "Give the whole path, from / on.")
    try:
        root = directory.resolve(strict=True)
        if not root.is_dir():
            raise UnusableDirectory(str(directory), "is a file", f"Give the directory: {directory.parent}")
        refused = {Path(root.anchor), Path.home().resolve(), *Path.home().resolve().parents}
        if root in refused:
            raise UnusableDirectory(
                str(directory),
                "holds far more than an API",
                "Give the directory of one project, or make one: apimarket new NAME",
            )
        with os.scandir(root) as listing:
            if next(listing, None) is None:
                raise UnusableDirectory(
                    str(directory), "is empty", f"Begin with a template: apimarket new NAME --dir {directory}"
                )
    except FileNotFoundError:
        raise UnusableDirectory(
            str(directory), "does not exist", "Check the path, or make a project: apimarket new NAME"
        ) from None
    except PermissionError:
        raise UnusableDirectory(str(directory), "may not be read", f"Allow it: chmod u+rx {directory}") from None
    except (OSError, RuntimeError, ValueError) as error:
        raise UnusableDirectory(str(directory), f"cannot be opened: {_reason(error)}", "Check the path.") from None
    return root


def walk(root: Path, ignore: Ignore) -> Iterator[SourceFile]:
    """Every file that belongs to the API, in an order that stays the same. A file that vanishes meanwhile is left out.

    Raises UnusableDirectory, naming the file, for what a tree cannot hold: too many or too large files, links that
    leave the root, unreadable files, names that are not portable. Two names that differ in case alone are refused
    last, once all are known.
    """
    size_bytes = 0
    paths: list[str] = []
    for count, found in enumerate(_files(root, ignore), start=1):
        size_bytes += found.stat.st_size
        _check_limits(root, found, count, size_bytes)
        paths.append(found.relative)
        yield found
    for first, second in case_collisions(paths):
        raise UnusableDirectory(
            str(root),
            f"holds {first} and {second}, which are one file on systems that ignore case",
            f"Rename one, or leave it out with a line in .apimarketignore: {second}",
        )


def _files(root: Path, ignore: Ignore) -> Iterator[SourceFile]:
    pending = [("", str(root))]
    while pending:
        relative_parent, parent = pending.pop()
        deeper: list[tuple[str, str]] = []
        for entry in _entries(root, relative_parent, parent):
            relative = f"{relative_parent}/{entry.name}" if relative_parent else entry.name
            is_dir = entry.is_dir(follow_symlinks=False)
            if ignore.matches(relative, is_dir):
                continue
            _check_path(root, relative)
            if is_dir:
                deeper.append((relative, entry.path))
                continue
            found = _file(root, ignore, relative, entry)
            if found:
                yield found
        pending.extend(reversed(deeper))


def left_out(root: Path, ignore: Ignore) -> Iterator[tuple[str, bool, str]]:
    """What of the directory is not the API: path, whether it is a directory (of which nothing inside is named), and
    which rule says so."""
    pending = [("", str(root))]
    while pending:
        relative_parent, parent = pending.pop()
        for entry in _entries(root, relative_parent, parent):
            relative = f"{relative_parent}/{entry.name}" if relative_parent else entry.name
            is_dir = entry.is_dir(follow_symlinks=False)
            if why := ignore.reason(relative, is_dir):
                yield relative.encode("utf-8", "backslashreplace").decode(), is_dir, why
            elif is_dir:
                pending.append((relative, entry.path))


def _entries(root: Path, relative: str, path: str) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(path) as listing:
            return sorted(listing, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        if relative:
            return []  # gone meanwhile
        raise UnusableDirectory(
            str(root), "does not exist any more", "Put it back, or remove the API: apimarket rm NAME"
        ) from None
    except OSError as error:
        what = f"holds a directory that cannot be read: {relative}/" if relative else "cannot be read"
        raise UnusableDirectory(
            str(root), f"{what} ({_reason(error)})", f"Allow it: chmod u+rx {path}, or {_ignore_line(relative)}"
        ) from None


def _file(root: Path, ignore: Ignore, relative: str, entry: "os.DirEntry[str]") -> SourceFile | None:
    try:
        path = _link_target(root, ignore, relative, entry.path) if entry.is_symlink() else entry.path
        status = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None  # a socket, a pipe or a device: what a running program left, never content
    if not os.access(path, os.R_OK):
        raise UnusableDirectory(
            str(root),
            f"holds a file that cannot be read: {relative}",
            f"Allow it: chmod u+r {relative}, or {_ignore_line(relative)}",
        )
    return SourceFile(relative, path, status)


def _link_target(root: Path, ignore: Ignore, relative: str, link: str) -> str:
    """The real path of the file that a link inside the root stands for. Raises UnusableDirectory."""
    hint = f"Put the file itself there, or {_ignore_line(relative)}"
    target = os.path.realpath(link)
    try:
        inside = os.path.relpath(target, os.path.realpath(root)).replace(os.sep, "/")
    except ValueError:  # another drive
        inside = ".."
    if inside == ".." or inside.startswith("../"):
        raise UnusableDirectory(
            str(root), f"holds a link that leads out of it: {relative} -> {os.readlink(link)}", hint
        )
    if not os.path.exists(target):
        raise UnusableDirectory(str(root), f"holds a link to nothing: {relative} -> {os.readlink(link)}", hint)
    if os.path.isdir(target):
        raise UnusableDirectory(str(root), f"holds a link to a directory: {relative} -> {os.readlink(link)}", hint)
    if ignore.matches(inside, is_dir=False):
        raise UnusableDirectory(
            str(root), f"holds a link to a file that is left out of it: {relative} -> {inside}", hint
        )
    return target


def _check_path(root: Path, relative: str) -> None:
    problem = path_problem(relative)
    try:
        relative.encode()
    except UnicodeEncodeError:
        problem = "is not in UTF-8"
    if problem:
        shown = relative.encode("utf-8", "backslashreplace").decode()
        raise UnusableDirectory(str(root), f"holds a file whose name {problem}: {shown!r}", "Rename or remove it.")


def _check_limits(root: Path, found: SourceFile, count: int, size_bytes: int) -> None:
    if found.stat.st_size > MAX_FILE_BYTES:
        raise UnusableDirectory(
            str(root),
            f"holds a file that is too large: {found.relative} has {_mb(found.stat.st_size)},"
            f" and {_mb(MAX_FILE_BYTES)} are allowed",
            _LEAVE_OUT.format(found.relative),
        )
    top = found.relative.split("/", 1)[0] + ("/" if "/" in found.relative else "")
    if count > MAX_FILES:
        raise UnusableDirectory(
            str(root),
            f"holds more than {MAX_FILES:,} files; {found.relative} is one too many",
            f"Leave out what the API does not need with lines in .apimarketignore, for example: {top}",
        )
    if size_bytes > MAX_TREE_BYTES:
        raise UnusableDirectory(
            str(root),
            f"holds more than {_mb(MAX_TREE_BYTES)} in all; {found.relative} ({_mb(found.stat.st_size)}) went over it",
            f"Leave out what the API does not need with lines in .apimarketignore, for example: {top}",
        )


def _ignore_line(relative: str) -> str:
    return f"leave it out with a line in .apimarketignore: {relative}"


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1024 / 1024:.0f} MB"


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)
