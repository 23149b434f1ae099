"""What an API was before: the generations that are kept, and what their trees say of themselves."""

import asyncio
from contextlib import suppress

from local_server.domain.deployments import Generation, Outcome
from local_server.domain.ids import ApiId, Digest
from local_server.domain.manifest import MANIFEST_NAME, Manifest
from local_server.domain.manifest_toml import parse
from local_server.domain.registry_errors import InvalidManifest
from local_server.domain.trees import Tree
from local_server.executor.launch import Launch
from local_server.executor.live import Live
from local_server.executor.workshop import Workshop
from local_server.storage.base import ReadTx


class Past:
    """Of the directory of an API; of a `version` nothing was before."""

    def __init__(self, api_id: ApiId, shop: Workshop, version: str) -> None:
        self._api_id = api_id
        self._shop = shop
        self._version = version

    async def earlier(self, live: Live) -> tuple[Generation, Tree] | None:
        """The newest generation before this one that served with another tree."""
        found = await self.served(None, {live.generation.tree})
        return next((pair for pair in found if pair[0].number < live.number), None)

    async def served(self, first: int | None, without: set[Digest]) -> list[tuple[Generation, Tree]]:
        """Generations that served, newest first but `first` before all, one a tree."""
        api_id = self._api_id
        if self._version:
            return []  # nothing may stand in for a version

        def question(tx: ReadTx) -> list[tuple[Generation, Tree]]:
            seen, found = set(without), []
            kept = tx.deployments.generations(api_id)
            for generation in sorted(kept, key=lambda kept: (kept.number == first, kept.number), reverse=True):
                served = generation.outcome in (Outcome.DRAINED, Outcome.SERVING)
                if served and generation.tree not in seen and (tree := tx.deployments.tree(generation.tree)):
                    seen.add(generation.tree)
                    found.append((generation, tree))
            return found

        return await self._shop.storage.read(question)

    async def generation(self, number: int) -> tuple[Generation | None, Tree | None]:
        """One of the kept ones."""

        def question(tx: ReadTx) -> tuple[Generation | None, Tree | None]:
            generation = tx.deployments.generation(self._api_id, number)
            return generation, tx.deployments.tree(generation.tree) if generation else None

        return await self._shop.storage.read(question)

    async def manifest(self, tree: Tree, otherwise: Manifest) -> Manifest:
        """What a tree that is not the directory's newest says of itself; `otherwise` where it says nothing."""
        entry = tree.entries.get(MANIFEST_NAME)
        if entry is not None:
            with suppress(InvalidManifest, OSError):
                return parse(await self.text(entry.sha256))
        return otherwise

    async def launched(self, generation: Generation, tree: Tree, otherwise: Manifest) -> Launch:
        """How a generation of an earlier server was started; `otherwise` as for `manifest`."""
        directory = self._shop.trees(self._api_id, self._version) / f"{generation.number}-{tree.digest[:12]}"
        return Launch(generation, tree, await self.manifest(tree, otherwise), directory, {})

    async def text(self, sha256: str) -> str:
        """Of one file that is kept."""
        return await asyncio.to_thread(self._shop.blobs.path(sha256).read_text, "utf-8", "replace")
