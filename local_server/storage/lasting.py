"""Blobs that outlive a power cut, a batch at a time: written under names that nobody looks for, flushed, given their
own names, and then these are flushed.

In this order a blob that is found under its name is whole, whenever the power goes; and what refers to the batch is
written after all of it. Flushes wait for the disk more than for each other: the file system writes down in one go what
several of them ask for.
"""

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from local_server.storage.blobs import BlobStore
from local_server.storage.flush import flush

AT_ONCE = 8


def flush_blobs(blobs: BlobStore, digests: Iterable[str]) -> None:
    """Those that came with a save, which flushes nothing, outlive a power cut from here on. Blocking. Raises
    StorageFull."""
    places = {blobs.path(sha256) for sha256 in digests}
    with ThreadPoolExecutor(AT_ONCE) as pool, blobs.full_disk_named():
        list(pool.map(flush, places))
        list(pool.map(flush, {place.parent for place in places}))
        flush(blobs.root)


class LastingBlobs:
    """One batch, from one thread at a time. Blocking."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._written: dict[str, Path] = {}
        self._here: set[str] = set()

    def put(self, content: bytes) -> None:
        """Nothing is there before `settle`. Raises StorageFull."""
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 in self._written or sha256 in self._here:
            return
        # One that came with a save was never flushed, and one that a power cut damaged has its size as a rule: so it is
        # compared, and flushed like the others.
        if self._blobs.holds(content, sha256):
            self._here.add(sha256)
        else:
            self._written[sha256] = self._blobs.write(content)

    def settle(self) -> None:
        """Afterwards all that was put is there, whatever happens. Raises StorageFull."""
        written, self._written = self._written, {}
        here, self._here = {self._blobs.path(sha256) for sha256 in self._here}, set()
        try:
            with ThreadPoolExecutor(AT_ONCE) as pool, self._blobs.full_disk_named():
                list(pool.map(flush, [*written.values(), *here]))
                places = {self._blobs.take_in(place, sha256) for sha256, place in written.items()} | here
                list(pool.map(flush, {place.parent for place in places}))
                flush(self._blobs.root)  # a directory in it may be new
        finally:
            for place in written.values():
                place.unlink(missing_ok=True)
