"""What a runner runs: the working directory, which changes with every save, or the tree of one version, which never
does."""

import asyncio
from pathlib import Path
from typing import Protocol

from local_server.domain.registry import Api
from local_server.domain.trees import Tree
from local_server.executor.snapshot import Snapshot, Source
from local_server.executor.workshop import Workshop


class Origin(Protocol):
    @property
    def version(self) -> str:
        """The number of the version; empty: the directory."""

    @property
    def scan_s(self) -> float | None:
        """How often to look without having been told to; None: never, since nothing changes."""

    async def look(self) -> Snapshot:
        """What should run now. Raises UnusableDirectory, StorageFull."""

    async def take_manifest(self, api: Api, text: str) -> Api:
        """The API with the manifest of what was looked at. Raises InvalidManifest, ApiNotFound."""


class Directory:
    """Follows a directory; what it holds is watched from then on."""

    version = ""

    def __init__(self, api: Api, shop: Workshop) -> None:
        self.scan_s = shop.pace.scan_s
        self._api_id = api.id
        self._shop = shop
        self._source = Source(Path(api.directory), shop.blobs)

    async def look(self) -> Snapshot:
        try:
            snapshot = await asyncio.to_thread(self._source.read)
        except Exception:
            if not await asyncio.to_thread(self._source.root.is_dir):
                self._shop.watch(self._api_id, frozenset())  # once it is back, it is another directory
            raise
        self._shop.watch(self._api_id, snapshot.directories)
        return snapshot

    async def take_manifest(self, api: Api, text: str) -> Api:
        return await self._shop.registry.reload_manifest(api, text)


class Fixed:
    """One version. Its API comes with the manifest of its own tree."""

    scan_s = None

    def __init__(self, version: str, tree: Tree) -> None:
        self.version = version
        self._tree = tree

    async def look(self) -> Snapshot:
        return Snapshot(self._tree, frozenset(), 0)

    async def take_manifest(self, api: Api, text: str) -> Api:
        return api
