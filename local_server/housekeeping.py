"""Forgets, once an hour, what nothing kept needs any more."""

import asyncio
import logging

from local_server.publishing.collection import Collection, leased_blobs
from local_server.storage.base import ReadTx, Storage
from local_server.storage.blobs import BlobStore

logger = logging.getLogger("apimarket")

HOUSEKEEPING_S = 3600.0


async def keep_house(storage: Storage, uploads: Collection, blobs: BlobStore) -> None:
    """Uploads that were given up, and blobs. Never returns."""
    while True:
        await asyncio.sleep(HOUSEKEEPING_S)
        await uploads.expire()
        await asyncio.to_thread(_collect, blobs, await _needed(storage))


async def _needed(storage: Storage) -> set[str]:
    def question(tx: ReadTx) -> set[str]:
        trees = (tx.deployments.tree(digest) for digest in tx.deployments.live_trees())
        return {entry.sha256 for tree in trees if tree for entry in tree.entries.values()} | leased_blobs(tx)

    return await storage.read(question)


def _collect(blobs: BlobStore, keep: set[str]) -> None:
    freed = blobs.collect(keep)
    logger.info("freed %d bytes of blobs that nothing needs", freed)
