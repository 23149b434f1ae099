"""A pack as it comes in: head first, then frames, each written as soon as it is whole.

A line may break at any byte. What was whole by then is kept, so that it need not be sent again. What comes in one
pack is flushed to the disk together: what a sender was told is here outlives a power cut.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from local_server.domain.errors import ApimarketError
from local_server.domain.packs import Frame, PackedBlob, PackReader, read_frame
from local_server.domain.sync_errors import BlobUnwanted, PackDamaged
from local_server.domain.trees import Tree
from local_server.failpoints import failpoint
from local_server.storage.blobs import BlobStore
from local_server.storage.lasting import LastingBlobs


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
    """Keeps frames: those of `sizes`, compared with the files of `base`."""

    def __init__(self, blobs: BlobStore, sizes: Mapping[str, int], base: Tree | None) -> None:
        self._blobs = blobs
        self._lasting = LastingBlobs(blobs)
        self._sizes = sizes
        self._base = base
        self._whole: dict[str, int] = {}
        self.stored: dict[str, int] = {}
        """SHA-256 -> size of each that is whole and here, and outlives a power cut."""

    async def all_of(self, incoming: Incoming) -> None:
        """To the end of the pack. What was whole by then is kept, too, if the line breaks before that."""
        try:
            await incoming.take(self._take)
        finally:
            await asyncio.to_thread(self._settle)

    def _take(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            blob = frame.blob
            if self._sizes.get(blob.sha256) != blob.size_bytes:
                raise BlobUnwanted(blob.sha256)
            self._lasting.put(read_frame(frame, self._base_of(blob)))
            self._whole[blob.sha256] = blob.size_bytes

    def _settle(self) -> None:
        if self._whole:
            failpoint("publish.blobs-whole")
            self._lasting.settle()
            self.stored.update(self._whole)
            failpoint("publish.blobs-flushed")

    def _base_of(self, blob: PackedBlob) -> bytes | None:
        if blob.base_path is None:
            return None
        entry = self._base.entries.get(blob.base_path) if self._base else None
        if entry is None:
            raise PackDamaged(f"the blob {blob.sha256} has a base, {blob.base_path[:200]!r}, that is not in the tree")
        with self._blobs.open(entry.sha256) as file:
            return file.read()
