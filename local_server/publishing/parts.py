"""Blobs too large for a pack: sent alone, kept as far as they came, and gone on with from there."""

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from local_server.domain.ids import UserId
from local_server.domain.storage_errors import StorageFull
from local_server.domain.sync_errors import BlobBusy, BlobMismatch, WrongOffset
from local_server.failpoints import failpoint
from local_server.storage.blobs import BlobStore

WRITE_BYTES = 256 * 1024


class Parts:
    """What has come of each blob lies in `root`, by account: another upload of the same blob goes on with it."""

    def __init__(self, root: Path, blobs: BlobStore) -> None:
        self._root = root
        self._blobs = blobs
        self._busy: set[Path] = set()

    def offset(self, user_id: UserId, sha256: str) -> int:
        """How many bytes are here. Blocking."""
        try:
            return self._place(user_id, sha256).stat().st_size
        except FileNotFoundError:
            return 0

    async def append(
        self, user_id: UserId, sha256: str, size_bytes: int, offset: int, pieces: AsyncIterator[bytes]
    ) -> int:
        """Add what comes, from `offset` on; how many bytes are here then. When that is all, `take_in` follows. Raises
        WrongOffset, BlobBusy, BlobMismatch, and what `pieces` raises: what came by then is kept."""
        place = self._place(user_id, sha256)
        with self._alone(place, sha256):
            here = await asyncio.to_thread(self.offset, user_id, sha256)
            if offset != here:
                raise WrongOffset(offset, here)
            return await self._write(place, sha256, size_bytes, here, pieces)

    async def take_in(self, user_id: UserId, sha256: str, keep: Callable[[], Awaitable[None]]) -> None:
        """Make a blob of what is here whole. `keep` writes down that it is the account's: before it is one, so that it
        is found again whenever this ends. Raises BlobBusy, BlobMismatch."""
        place = self._place(user_id, sha256)
        with self._alone(place, sha256):
            found = await asyncio.to_thread(_digest_of, place)
            if found != sha256:
                await asyncio.to_thread(place.unlink, missing_ok=True)
                raise BlobMismatch(sha256, found)
            failpoint("publish.part-whole")
            await keep()
            failpoint("publish.part-kept")
            await asyncio.to_thread(self._blobs.adopt, place, sha256)
            failpoint("publish.part-adopted")

    def expire(self, before: float) -> int:
        """Remove what nobody went on with since that time (of the file system); how many bytes. Blocking."""
        freed = 0
        for place in self._root.glob("*/*"):
            details = place.stat(follow_symlinks=False)
            if details.st_mtime < before and place not in self._busy:
                place.unlink(missing_ok=True)
                freed += details.st_size
        return freed

    async def _write(self, place: Path, sha256: str, size_bytes: int, here: int, pieces: AsyncIterator[bytes]) -> int:
        buffer = bytearray()
        try:
            async for piece in pieces:
                if here + len(buffer) + len(piece) > size_bytes:
                    buffer.clear()
                    await asyncio.to_thread(place.unlink, missing_ok=True)
                    raise BlobMismatch(sha256, f"longer than the {size_bytes:,} bytes that the tree says")
                buffer += piece
                if len(buffer) >= WRITE_BYTES:
                    here += await asyncio.to_thread(_append, place, bytes(buffer))
                    buffer.clear()
        finally:
            if buffer:
                here += await asyncio.to_thread(_append, place, bytes(buffer))
        return here

    def _place(self, user_id: UserId, sha256: str) -> Path:
        self._blobs.path(sha256)  # raises for what is no hash
        return self._root / user_id / sha256

    @contextmanager
    def _alone(self, place: Path, sha256: str) -> Iterator[None]:
        if place in self._busy:
            raise BlobBusy(sha256)
        self._busy.add(place)
        try:
            yield
        finally:
            self._busy.discard(place)


def _digest_of(place: Path) -> str:
    _append(place, b"")  # of an empty blob nothing ever came
    with place.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _append(place: Path, content: bytes) -> int:
    """How many bytes were written: all. Raises StorageFull."""
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        _write(descriptor, content)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(str(place.parent)) from error
        raise
    finally:
        os.close(descriptor)
    return len(content)


def _write(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
