"""How the files of an API differ between two of its states: a version, a generation, what serves, what its directory
holds."""

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from local_server.domain.exchange_errors import GenerationNotFound
from local_server.domain.ids import ApiId, Digest
from local_server.domain.line_changes import LineChanges, line_changes
from local_server.domain.registry import Api
from local_server.domain.sync_errors import BlobDamaged
from local_server.domain.tree_changes import FileChange, tree_changes
from local_server.domain.trees import Tree, TreeEntry
from local_server.domain.version_errors import NothingToCompare, VersionNotFound
from local_server.domain.versions import DEV, ApiVersion, resolve
from local_server.executor.snapshot import Source
from local_server.executor.versions import Versions
from local_server.executor.workshop import Workshop

SERVING = "serving"
"""The generation that the directory serves now."""
MOST_FILES = 1_000
MOST_BYTES = 1024 * 1024
"""Of one file on one side; longer ones are not compared line by line."""
MOST_LINES = 10_000
"""Of all files together."""
MOST_FILE_LINES = 2_000
"""Of one file among others; one that is asked for alone has all of the room."""
_GENERATION = re.compile(r"g([1-9][0-9]{0,9})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Side:
    name: str
    """`dev`, the number of a version, or `g14`."""
    tree: Tree


@dataclass(frozen=True, slots=True)
class FileDifference:
    change: FileChange
    kind: Literal["text", "binary", "large"]
    lines: LineChanges | None
    """None where it was not compared line by line: it is no text, too large, or there was no room left."""


@dataclass(frozen=True, slots=True)
class TreeDifference:
    first: Side
    second: Side
    files: Sequence[FileDifference]
    more: int
    """Files that differ too, and are not among them."""


class TreeDifferences:
    """`serving` is the generation that an API's directory serves now, and its files; None: none does."""

    def __init__(self, shop: Workshop, versions: Versions, serving: Callable[[ApiId], tuple[int, Tree] | None]) -> None:
        self._shop, self._versions, self._serving = shop, versions, serving
        self._room = asyncio.Semaphore(1)

    async def between(
        self, api: Api, first: str | None = None, second: str | None = None, path: str | None = None
    ) -> TreeDifference:
        """From `first` to `second`; of one file alone where `path` names it. None as `second`: the directory, where
        there is none the newest version. None as `first`: the newest version before that, else what serves.

        Raises VersionNotFound, GenerationNotFound, NothingToCompare, UnusableDirectory, StorageFull, BlobDamaged."""
        fleet = await self._versions.fleet(api)
        known = sorted(fleet.versions.values(), key=lambda version: version.number, reverse=True)
        second = second or (DEV if api.directory else known[0].semver if known else SERVING)
        after = await self._side(api, second, known, fleet.channels)
        if first is None:
            first = next((version.semver for version in known if version.semver != after.name), SERVING)
        before = await self._side(api, first, known, fleet.channels)
        async with self._room:
            return await asyncio.to_thread(self._compare, before, after, path)

    # -- Sides -------------------------------------------------------------------------------------------------------

    async def _side(self, api: Api, name: str, known: Sequence[ApiVersion], channels: Mapping[str, str]) -> Side:
        pin = name.removeprefix("@")
        if pin == DEV:
            return Side(DEV, await self._directory(api, known))
        semver = resolve(pin, known, channels)
        if semver is not None:
            version = next(version for version in known if version.semver == semver)
            return Side(semver, await self._tree(version.tree))
        if pin == SERVING:
            serving = self._serving(api.id)
            if serving is None:
                raise NothingToCompare(api.full_name)
            return Side(f"g{serving[0]}", serving[1])
        if (generation := _GENERATION.fullmatch(pin)) is not None:
            return await self._generation(api, int(generation[1]))
        raise VersionNotFound(api.full_name, name, [version.semver for version in known])

    async def _directory(self, api: Api, known: Sequence[ApiVersion]) -> Tree:
        """What it holds now, which need not be what serves."""
        if not api.directory:
            raise VersionNotFound(api.full_name, DEV, [version.semver for version in known])
        source = await asyncio.to_thread(Source, Path(api.directory), self._shop.blobs)
        return (await asyncio.to_thread(source.read)).tree

    async def _generation(self, api: Api, number: int) -> Side:
        found = await self._shop.storage.read(lambda tx: tx.deployments.generation(api.id, number))
        if found is None:
            raise GenerationNotFound(api.full_name, number)
        return Side(f"g{number}", await self._tree(found.tree))

    async def _tree(self, digest: Digest) -> Tree:
        tree = await self._shop.storage.read(lambda tx: tx.deployments.tree(digest))
        if tree is None:
            raise BlobDamaged(digest)
        return tree

    # -- Comparing, in a thread --------------------------------------------------------------------------------------

    def _compare(self, first: Side, second: Side, path: str | None) -> TreeDifference:
        changes = [one for one in tree_changes(first.tree, second.tree) if path in (None, one.path, one.path_before)]
        listed = changes[:MOST_FILES]
        files = tuple(self._files(listed, MOST_FILE_LINES if path is None else MOST_LINES))
        return TreeDifference(first, second, files, len(changes) - len(listed))

    def _files(self, changes: Iterable[FileChange], most: int) -> Iterable[FileDifference]:
        room = MOST_LINES
        for change in changes:
            found = self._file(change, min(most, room))
            room -= len(found.lines.hunks) if found.lines is not None else 0
            yield found

    def _file(self, change: FileChange, most: int) -> FileDifference:
        sides = (change.before, change.after)
        if any(entry is not None and entry.size_bytes > MOST_BYTES for entry in sides):
            return FileDifference(change, "large", None)
        before, after = (self._text(entry) for entry in sides)
        if before is None or after is None:
            return FileDifference(change, "binary", None)
        return FileDifference(change, "text", line_changes(before, after, most) if most > 0 else None)

    def _text(self, entry: TreeEntry | None) -> str | None:
        """None where it is no text."""
        if entry is None:
            return ""
        try:
            content = self._shop.blobs.read(entry.sha256, entry.size_bytes)
        except FileNotFoundError:
            raise BlobDamaged(entry.sha256) from None
        try:
            return None if b"\0" in content else content.decode("utf-8")
        except UnicodeDecodeError:
            return None
