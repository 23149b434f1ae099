"""A pack as it comes in: head first, then frames, each stored as soon as it is whole.

A line may break at any byte. What was whole by then is kept, so that it need not be sent again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from local_server.domain.errors import ApimarketError
from local_server.domain.packs import Frame, PackedBlob, PackReader, read_frame
from local_server.domain.sync_errors import BlobUnwanted, PackDamaged
from local_server.domain.trees import Tree
from local_server.storage.blobs import BlobStore


class Incoming:
    """`pieces` may raise when the line breaks; what raises here besides is PackDamaged and PackTooLarge."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._reader = PackReader()
        self._expected = False

    async def head(self) -> bytes:
        while self._reader.head is None:
            piece = await anext(self._pieces, None)
            if piece is None:
                raise PackDamaged("it ends too early")
            self._reader.feed(piece)
        return self._reader.head

    def expect(self, blobs: Sequence[PackedBlob]) -> None:
        self._reader.expect(blobs)
        self._expected = True

    async def take(self, store: Callable[[list[Frame]], None]) -> None:
        """Hand over the frames as they become whole, on a thread, to the end of the pack."""
        while True:
            if frames := list(self._reader.frames()):
                await asyncio.to_thread(store, frames)
            piece = await anext(self._pieces, None)
            if piece is None:
                self._reader.finish()
                return
            self._reader.feed(piece)

    @asynccontextmanager
    async def read_out_when_refused(self) -> AsyncIterator[None]:
        """Who still sends does not listen: a refusal is raised when all is read, or the sender would see no more of it
        than a broken line."""
        try:
            yield
        except ApimarketError:
            if self._expected:
                await self.take(lambda frames: None)
            raise


class Taking:
    """Stores frames: those of `sizes`, compared with the files of `base`. Blocking."""

    def __init__(self, blobs: BlobStore, sizes: Mapping[str, int], base: Tree | None) -> None:
        self._blobs = blobs
        self._sizes = sizes
        self._base = base
        self.stored: dict[str, int] = {}
        """SHA-256 -> size of each that is whole and here."""

    def store(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            blob = frame.blob
            if self._sizes.get(blob.sha256) != blob.size_bytes:
                raise BlobUnwanted(blob.sha256)
            self._blobs.put(read_frame(frame, self._base_of(blob)))
            self.stored[blob.sha256] = blob.size_bytes

    def _base_of(self, blob: PackedBlob) -> bytes | None:
        if blob.base_path is None:
            return None
        entry = self._base.entries.get(blob.base_path) if self._base else None
        if entry is None:
            raise PackDamaged(f"the blob {blob.sha256} has a base, {blob.base_path[:200]!r}, that is not in the tree")
        with self._blobs.open(entry.sha256) as file:
            return file.read()
