"""Files named by the SHA-256 of what they hold: `root/ab/cdef...`, read-only, written once, shared by every tree.

What `put` takes in is not flushed: a save waits for it, and after a power cut the user's own file is there to make it
again. What somebody else was told is here goes through `lasting.py`.
"""

import errno
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from local_server.domain.storage_errors import StorageFull
from local_server.storage.flush import flush

_NAME = re.compile(r"[0-9a-f]{64}")
_CHUNK_BYTES = 1024 * 1024
_TEMPORARY = "tmp"
# Non-blocking, or opening a FIFO would wait for somebody to write into it. Windows knows neither flag.
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
STALE_S = 3600.0


class BlobStore:
    """Blocking; call from threads. Any number of threads and processes may put at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._temporary = root / _TEMPORARY
        with self.full_disk_named():
            self._temporary.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Where the blob is, or would be. Raises ValueError for anything but 64 hexadecimal characters."""
        if not _NAME.fullmatch(sha256):
            raise ValueError(f"{sha256!r} is not a SHA-256 in lower-case hexadecimal")
        return self.root / sha256[:2] / sha256[2:]

    def has(self, sha256: str) -> bool:
        return self.path(sha256).is_file()

    def open(self, sha256: str) -> BinaryIO:
        """For reading. Raises FileNotFoundError."""
        return self.path(sha256).open("rb")

    def read(self, sha256: str, limit: int) -> bytes:
        """At most so many bytes from the beginning. Raises FileNotFoundError."""
        with self.open(sha256) as blob:
            return blob.read(limit)

    def verify(self, sha256: str) -> bool:
        """Whether the blob is there and still holds what its name says. Reads all of it."""
        try:
            with self.path(sha256).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == sha256
        except FileNotFoundError:
            return False

    def put(self, content: bytes) -> tuple[str, int]:
        """Returns name and size. What is there already is kept. Raises StorageFull."""
        sha256 = hashlib.sha256(content).hexdigest()
        if not self._keep(sha256, len(content)):
            with self.full_disk_named(), self._new_file() as (descriptor, temporary):
                _write_all(descriptor, content)
                self.take_in(temporary, sha256)
        return sha256, len(content)

    def put_file(self, path: Path) -> tuple[str, int]:
        """Copy a file in, hashing what is copied, so that name and content agree even if somebody writes meanwhile.
        Returns name and size. Raises StorageFull, and OSError if it cannot be read, is a symbolic link (ELOOP) or no
        regular file (EINVAL)."""
        source = os.open(path, _READ)
        try:
            if not stat.S_ISREG(os.fstat(source).st_mode):
                raise OSError(errno.EINVAL, "Not a regular file", str(path))
            first = _read_up_to(source, _CHUNK_BYTES)
            if len(first) < _CHUNK_BYTES:
                return self.put(first)
            return self._put_large(source, first)
        finally:
            os.close(source)

    def adopt(self, path: Path, sha256: str) -> None:
        """Move a file of the same file system in, whose content was checked; it outlives a power cut from then on. A
        blob that is here already stays, and the file is removed."""
        with self.full_disk_named():
            if self._keep(sha256, path.stat().st_size) and self.verify(sha256):
                flush(self.path(sha256))
                path.unlink(missing_ok=True)
            else:
                os.utime(path)  # young for `collect`
                flush(path)
                self.take_in(path, sha256)
            flush(self.path(sha256).parent)
            flush(self.root)  # the directory in it may be new

    def holds(self, content: bytes, sha256: str) -> bool:
        """Whether the blob is there with this content, which is its own."""
        if not self._keep(sha256, len(content)):
            return False
        try:
            return self.path(sha256).read_bytes() == content
        except FileNotFoundError:
            return False

    def write(self, content: bytes) -> Path:
        """A new file for `take_in`, which must be removed if it does not come to that. Raises StorageFull."""
        with self.full_disk_named():
            descriptor, path = self._create()
            try:
                _write_all(descriptor, content)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
            finally:
                os.close(descriptor)
        return path

    def take_in(self, temporary: Path, sha256: str) -> Path:
        """Give a new file its name, in place of whatever has it; returns where it is then."""
        temporary.chmod(0o444)
        path = self.path(sha256)
        try:
            temporary.replace(path)
        except FileNotFoundError:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            temporary.replace(path)
        return path

    @contextmanager
    def full_disk_named(self) -> Iterator[None]:
        """The system's word for a full disk becomes StorageFull."""
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull(str(self.root)) from error
            raise

    def collect(self, keep: Set[str], grace_s: float = STALE_S) -> int:
        """Remove blobs that are not in `keep` and were not put within the last `grace_s` seconds: those may belong to
        a tree that is still being read. Returns the bytes freed."""
        limit = time.time() - grace_s
        freed_bytes = 0
        for path, details in self._files():
            if path.parent.name + path.name not in keep and details.st_mtime <= limit:
                freed_bytes += _remove(path, details)
        for path in self._temporary.iterdir():
            details = path.stat(follow_symlinks=False)
            if details.st_mtime < time.time() - STALE_S:  # left by a process that was killed
                freed_bytes += _remove(path, details)
        return freed_bytes

    def _put_large(self, source: int, first: bytes) -> tuple[str, int]:
        hasher, size_bytes, chunk = hashlib.sha256(), 0, first
        with self.full_disk_named(), self._new_file() as (descriptor, temporary):
            while chunk:
                hasher.update(chunk)
                size_bytes += len(chunk)
                _write_all(descriptor, chunk)
                chunk = os.read(source, _CHUNK_BYTES)
            sha256 = hasher.hexdigest()
            if not self._keep(sha256, size_bytes):
                self.take_in(temporary, sha256)
        return sha256, size_bytes

    def _keep(self, sha256: str, size_bytes: int) -> bool:
        """Whether the blob is there. One of another size is not: a power cut came before its content was on disk."""
        path = self.path(sha256)
        try:
            if path.stat(follow_symlinks=False).st_size != size_bytes:
                return False
            os.utime(path)  # young again for `collect`
        except FileNotFoundError:
            return False
        return True

    @contextmanager
    def _new_file(self) -> Iterator[tuple[int, Path]]:
        """An open file and its name; whatever still has the name at the end is removed."""
        descriptor, path = self._create()
        try:
            yield descriptor, path
        finally:
            os.close(descriptor)
            path.unlink(missing_ok=True)

    def _create(self) -> tuple[int, Path]:
        path = self._temporary / f"{os.getpid()}-{os.urandom(8).hex()}"
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), path

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for directory in self.root.iterdir():
            if directory.name == _TEMPORARY or not directory.is_dir():
                continue
            for path in directory.iterdir():
                yield path, path.stat(follow_symlinks=False)


def _remove(path: Path, details: os.stat_result) -> int:
    path.unlink(missing_ok=True)
    # Another name (a tree that was laid out with hard links) holds on to the content.
    return details.st_size if details.st_nlink == 1 else 0


def _read_up_to(descriptor: int, size_bytes: int) -> bytes:
    """`size_bytes`, or fewer at the end of the file."""
    chunks: list[bytes] = []
    missing = size_bytes
    while missing and (chunk := os.read(descriptor, missing)):
        chunks.append(chunk)
        missing -= len(chunk)
    return b"".join(chunks)


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
