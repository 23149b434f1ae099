"""Files on their way into an API's directory: written below it under names that no snapshot takes, with every limit
kept while they are written. Blocking."""

import re
import secrets
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

from local_server.domain.registry_errors import UploadRefused, UploadTooLarge
from local_server.domain.trees import MAX_FILE_BYTES, MAX_FILES, MAX_TREE_BYTES, path_problem

RATIO: Final = 100
"""How many times its own size an archive may unpack to, beyond `RATIO_FREE_BYTES`; source code reaches about 10."""
RATIO_FREE_BYTES: Final = 16 * 1024 * 1024
MAX_PATH_BYTES: Final = 1024
_MAX_NAME_BYTES = 255
_PREFIX = ".apimarket-upload-"
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class Staged:
    file: Path
    """Where its bytes are for now."""
    size_bytes: int
    executable: bool | None
    """None: the upload does not say."""


class Staging:
    """A directory for one upload, gone when the block ends. What it holds is called `….tmp`, which is never part of an
    API, and it lies in the API's own directory, so that a file is put in its place by a rename."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.directory = root / f"{_PREFIX}{secrets.token_hex(8)}"
        self.files: dict[str, Staged] = {}
        """By relative path."""
        self.size_bytes = 0
        self.keep = False
        """Leave the directory where it is: it holds what could not be put back."""
        self._limit_bytes = MAX_TREE_BYTES
        self._entries = 0
        self._open: tuple[str, BinaryIO] | None = None
        self._begun_at = 0

    def __enter__(self) -> "Staging":
        for left in self._root.glob(f"{_PREFIX}*"):
            # Of a server that was killed. Where it had begun to replace files, the earlier ones are in there still.
            if not any(left.glob("*.old.tmp")):
                shutil.rmtree(left, ignore_errors=True)
        self.directory.mkdir(mode=0o700)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._open is not None:
            self._open[1].close()
        if not self.keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    def unpacking(self, archive_bytes: int) -> None:
        """From now on an archive of this size is unpacked: it may not grow too much."""
        self._limit_bytes = min(MAX_TREE_BYTES, RATIO_FREE_BYTES + RATIO * archive_bytes)

    def discard(self, path: str) -> Path:
        """Take a file back out, to be read as an archive. Returns where it is."""
        staged = self.files.pop(path)
        self.size_bytes -= staged.size_bytes
        return staged.file

    def note_directory(self, path: str) -> None:
        """Check a directory that an archive names; directories are made for files, so nothing else is done."""
        self._count(path)
        if path not in ("", "."):
            _check_path(path)

    def begin(self, path: str, executable: bool | None = None) -> None:
        """Start a file. Raises UploadRefused for paths that may not stand in a tree, and for a second one of a name."""
        self._count(path)
        _check_path(path)
        if path in self.files:
            raise UploadRefused("is in the upload twice", "Upload each file once.", path)
        number = f"{len(self.files)}-{secrets.token_hex(4)}"
        place = self.directory / f"{number}.tmp"
        self._begun_at = self.size_bytes
        self._open = (path, place.open("xb"))
        self.files[path] = Staged(place, 0, executable)

    def write(self, data: bytes) -> None:
        """Add to the file begun last. Raises UploadTooLarge."""
        assert self._open is not None
        path, file = self._open
        self.size_bytes += len(data)
        if self.size_bytes - self._begun_at > MAX_FILE_BYTES:
            raise UploadTooLarge(f"has more than {_mb(MAX_FILE_BYTES)}", "A file may have that much.", path)
        if self.size_bytes > self._limit_bytes:
            raise self._grew()
        file.write(data)

    def end(self) -> None:
        assert self._open is not None
        path, file = self._open
        file.close()
        self._open = None
        self.files[path] = replace(self.files[path], size_bytes=self.size_bytes - self._begun_at)

    def _count(self, path: str) -> None:
        self._entries += 1
        # Directories are counted too, since an archive may name them without end.
        if len(self.files) >= MAX_FILES or self._entries > 2 * MAX_FILES:
            raise UploadTooLarge(
                f"is one too many: {MAX_FILES:,} files are allowed", "Leave out what is not code.", path
            )

    def _grew(self) -> UploadTooLarge:
        if self._limit_bytes == MAX_TREE_BYTES:
            return UploadTooLarge(f"The upload holds more than {_mb(MAX_TREE_BYTES)}", "Leave out what is not code.")
        return UploadTooLarge(
            f"The archive unpacks to more than {_mb(self._limit_bytes)}, {RATIO} times its own size and more",
            "Leave out large files of one repeated value, or upload the files one by one.",
        )


def _check_path(path: str) -> None:
    problem = path_problem(path)
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        problem, encoded = "is not in UTF-8", b""
    if problem is None and len(encoded) > MAX_PATH_BYTES:
        problem = f"is longer than {MAX_PATH_BYTES} bytes"
    if problem is None and any(len(name) > _MAX_NAME_BYTES for name in encoded.split(b"/")):
        problem = f"has a name of more than {_MAX_NAME_BYTES} bytes in it"
    if problem is None and _DRIVE.match(path):
        problem = "begins with a drive"
    if problem is None and path.startswith(_PREFIX):
        problem = "begins with a name that uploads use themselves"
    if problem:
        raise UploadRefused(problem, "Name files by their path below the API's directory, as src/main.py.", path)


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1024 / 1024:.0f} MB"
