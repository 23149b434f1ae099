"""A backup is a tar: what was kept, then a manifest with the name, size and SHA-256 of everything before it, and last
the manifest's own.

A file that was cut off lacks the end, and one that was changed does not agree with it; neither is restored.
"""

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from local_server.domain.storage_errors import BackupUnreadable, FileExists, StorageFull

FORMAT = 1
MANIFEST, SEAL = "manifest.json", "manifest.sha256"
_MOST_MANIFEST_BYTES = 256 * 1024 * 1024
_NAME = re.compile(
    r"registry\.db|tables/[a-z][a-z0-9_]{0,62}|keys/[a-z]{1,32}\.key|blobs/[0-9a-f]{64}|manifest\.(?:json|sha256)"
)
_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Manifest:
    apimarket: str
    """The version that wrote it."""
    database: str
    """sqlite or postgresql; one is not restored into the other."""
    steps: tuple[str, ...]
    """The migrations that had been applied."""
    made_at: str
    files: Mapping[str, tuple[int, str]]
    """Name -> (bytes, SHA-256)."""
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of each table, in their order. Empty for SQLite."""


class Writer:
    """Adds files to a backup that is not there yet; `finish` makes it one."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._files: dict[str, tuple[int, str]] = {}

    @property
    def files(self) -> Mapping[str, tuple[int, str]]:
        return self._files

    def add(self, name: str, content: IO[bytes], size_bytes: int) -> None:
        """So many bytes, from where `content` stands. Raises OSError where there are fewer."""
        assert _NAME.fullmatch(name), name
        hashing = _Hashing(content)
        self._tar.addfile(_member(name, size_bytes), hashing)
        self._files[name] = (size_bytes, hashing.hexdigest())

    def finish(self, manifest: Manifest) -> None:
        content = json.dumps({"format": FORMAT, **asdict(manifest)}, indent=1).encode()
        for name, written in ((MANIFEST, content), (SEAL, hashlib.sha256(content).hexdigest().encode())):
            self._tar.addfile(_member(name, len(written)), io.BytesIO(written))


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """A new file at `path`, for its owner only; there only when everything is in it. Raises FileExists, StorageFull."""
    if path.exists():
        raise FileExists(str(path))
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                yield Writer(tar)
            file.flush()
            os.fsync(file.fileno())
        os.link(unfinished, path)  # fails where somebody else made one meanwhile
    except FileExistsError:
        raise FileExists(str(path)) from None
    except OSError as error:
        if error.errno in (28, 122):  # ENOSPC, EDQUOT
            raise StorageFull(str(path.parent)) from error
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def verified(path: Path) -> Manifest:
    """Read all of it, and find it whole. Raises BackupUnreadable."""
    seen: dict[str, tuple[int, str]] = {}
    last: dict[str, bytes] = {}

    def take(name: str, size_bytes: int, content: IO[bytes]) -> None:
        if name in seen or name in last or SEAL in last or (last and name != SEAL):
            raise BackupUnreadable(str(path), f"{name!r} is in the wrong place")
        if name in (MANIFEST, SEAL):
            last[name] = content.read(_MOST_MANIFEST_BYTES)
            return
        hashed = hashlib.sha256()
        while chunk := content.read(_CHUNK_BYTES):
            hashed.update(chunk)
        seen[name] = (size_bytes, hashed.hexdigest())

    each_file(path, take)
    if len(last) != 2:
        raise BackupUnreadable(str(path), "it has no end: it was cut off")
    if hashlib.sha256(last[MANIFEST]).hexdigest().encode() != last[SEAL]:
        raise BackupUnreadable(str(path), "its manifest was changed")
    manifest = _manifest_from(path, last[MANIFEST])
    if seen != manifest.files:
        wrong = sorted(
            name for name in seen.keys() | manifest.files.keys() if seen.get(name) != manifest.files.get(name)
        )
        raise BackupUnreadable(str(path), f"{wrong[0]!r} is not what was backed up")
    return manifest


def each_file(path: Path, take: Callable[[str, int, IO[bytes]], None]) -> None:
    """Hand over every file in it, in order: name, size, content. Raises BackupUnreadable."""
    try:
        with tarfile.open(path, mode="r:") as tar:
            for member in tar:
                if not member.isreg() or not _NAME.fullmatch(member.name):
                    raise BackupUnreadable(str(path), f"{member.name[:100]!r} has no place in a backup")
                content = tar.extractfile(member)
                assert content is not None
                take(member.name, member.size, content)
    except (tarfile.TarError, EOFError) as error:
        raise BackupUnreadable(str(path), str(error)) from error


def _manifest_from(path: Path, content: bytes) -> Manifest:
    try:
        given: dict[str, Any] = json.loads(content)
        if given.pop("format") != FORMAT:
            raise BackupUnreadable(str(path), "a newer apimarket wrote it")
        files = {str(name): (int(size), str(digest)) for name, (size, digest) in given.pop("files").items()}
        columns = {str(table): tuple(map(str, names)) for table, names in given.pop("columns").items()}
        return Manifest(**given | {"files": files, "columns": columns, "steps": tuple(map(str, given["steps"]))})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BackupUnreadable(str(path), "its manifest cannot be read") from error


def _member(name: str, size_bytes: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size_bytes, 0o600
    return member


class _Hashing(io.RawIOBase):
    """Passes reads on, and hashes what was read."""

    def __init__(self, content: IO[bytes]) -> None:
        self._content = content
        self._hash = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        chunk = self._content.read(_CHUNK_BYTES if size < 0 else size)
        self._hash.update(chunk)
        return chunk

    def hexdigest(self) -> str:
        return self._hash.hexdigest()
