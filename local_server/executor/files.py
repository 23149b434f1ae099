"""What an API is made of, for its owner to look at: the files of its directory beside those that serve, and its
manifest.

A file is read from the content-addressed store by what a tree says of it, never by a path from outside, so that nothing
beyond the API's own files can be asked for.
"""

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from local_server.domain.ids import ApiId
from local_server.domain.manifest import MANIFEST_NAME, Manifest
from local_server.domain.manifest_toml import MAX_BYTES
from local_server.domain.registry import Api
from local_server.domain.registry_errors import FileNotHere, InvalidManifest, ManifestProblem, UnusableDirectory
from local_server.domain.trees import Tree, TreeEntry
from local_server.executor.snapshot import Source
from local_server.registry.ignore import Ignore
from local_server.registry.service import parse_for
from local_server.registry.source import left_out
from local_server.storage.blobs import BlobStore

LEFT_OUT_NAMED = 500
SHOWN_BYTES = 256 * 1024
"""Of a file; more is nothing that anybody reads here."""
KNOWN_DIRECTORIES = 32
"""Whose files are remembered, so that a second look reads only what changed."""
_SNIFFED_BYTES = 8 * 1024

Whose = Literal["directory", "running"]
Changed = Literal["", "same", "new", "changed", "removed"]


@dataclass(frozen=True, slots=True)
class Listed:
    path: str
    entry: TreeEntry
    change: Changed


@dataclass(frozen=True, slots=True)
class Listing:
    running: int | None
    digest: str
    files: Sequence[Listed]
    left_out: Sequence[tuple[str, bool, str]]
    """Path, whether it is a directory, and why."""
    left_out_more: int
    problem: UnusableDirectory | None
    manifest: Manifest
    mistakes: Sequence[ManifestProblem]


@dataclass(frozen=True, slots=True)
class Content:
    entry: TreeEntry
    text: str | None
    """None: it is no text."""
    whole: bool


class Files:
    def __init__(self, blobs: BlobStore, running: Callable[[Api], tuple[int, Tree] | None]) -> None:
        """`running` says which generation of an API serves, and its files."""
        self._blobs, self._running = blobs, running
        self._sources: OrderedDict[ApiId, tuple[Source, asyncio.Lock]] = OrderedDict()

    async def list(self, api: Api) -> Listing:
        """Never raises for a directory that cannot be read: then it says why, and lists what serves."""
        live = self._running(api)
        number, serving = live if live is not None else (None, None)
        problem: UnusableDirectory | None = None
        here: Tree | None = None
        try:
            here = await self._directory(api)
        except UnusableDirectory as error:
            problem = error
        named, more = await asyncio.to_thread(_left_out, api) if here is not None else ([], 0)
        shown = here if here is not None else serving
        manifest, mistakes = await asyncio.to_thread(self._manifest, api, shown)
        return Listing(
            number, serving.digest if serving else "", _listed(here, serving), named, more, problem, manifest, mistakes
        )

    async def read(self, api: Api, path: str, of: Whose) -> Content:
        """The beginning of one file. Raises FileNotHere, UnusableDirectory."""
        content = await self._read(api, path, of)
        if content is None:
            # What no tree needs is cleared away from the store in time: the directory is read afresh.
            self._sources.pop(api.id, None)
            content = await self._read(api, path, of)
        if content is None:
            raise FileNotHere(api.full_name, path)
        return content

    async def _read(self, api: Api, path: str, of: Whose) -> Content | None:
        live = self._running(api)
        tree = (live[1] if live else None) if of == "running" else await self._directory(api)
        entry = tree.entries.get(path) if tree is not None else None
        if entry is None:
            return None
        try:
            start = await asyncio.to_thread(self._blobs.read, entry.sha256, SHOWN_BYTES)
        except FileNotFoundError:
            return None
        return Content(entry, _text(start), entry.size_bytes <= SHOWN_BYTES)

    async def _directory(self, api: Api) -> Tree | None:
        """What lies there now; None: there is none. Raises UnusableDirectory, StorageFull."""
        if not api.directory:
            return None
        if api.id not in self._sources:
            self._sources[api.id] = await asyncio.to_thread(Source, Path(api.directory), self._blobs), asyncio.Lock()
            if len(self._sources) > KNOWN_DIRECTORIES:
                self._sources.popitem(last=False)
        source, reading = self._sources[api.id]
        self._sources.move_to_end(api.id)
        async with reading:
            return (await asyncio.to_thread(source.read)).tree

    def _manifest(self, api: Api, tree: Tree | None) -> tuple[Manifest, Sequence[ManifestProblem]]:
        """What the file of `tree` says, or what holds meanwhile and every mistake in it."""
        entry = tree.entries.get(MANIFEST_NAME) if tree is not None else None
        if entry is None:
            return api.manifest, ()
        try:
            text = self._blobs.read(entry.sha256, MAX_BYTES * 2)
            return parse_for(api, text.decode()), ()
        except InvalidManifest as error:
            return api.manifest, error.problems
        except UnicodeDecodeError:
            return api.manifest, [ManifestProblem(1, "file", "found bytes that are not UTF-8; allowed: UTF-8")]
        except FileNotFoundError:
            return api.manifest, ()


def _left_out(api: Api) -> tuple[Sequence[tuple[str, bool, str]], int]:
    root = Path(api.directory)
    found = left_out(root, Ignore.load(root))
    named = sorted(itertools.islice(found, LEFT_OUT_NAMED))
    return named, sum(1 for _ in found)


def _listed(here: Tree | None, serving: Tree | None) -> Sequence[Listed]:
    known: Mapping[str, TreeEntry] = serving.entries if serving is not None else {}
    if here is None:
        return [Listed(path, known[path], "") for path in sorted(known)]
    if serving is None:
        return [Listed(path, here.entries[path], "") for path in sorted(here.entries)]
    paths = sorted(here.entries.keys() | known.keys())
    return [Listed(path, here.entries.get(path) or known[path], _change(path, here.entries, known)) for path in paths]


def _change(path: str, here: Mapping[str, TreeEntry], serving: Mapping[str, TreeEntry]) -> Changed:
    if path not in here:
        return "removed"
    if path not in serving:
        return "new"
    return "same" if here[path] == serving[path] else "changed"


def _text(start: bytes) -> str | None:
    """As UTF-8; the last character may be cut where the file goes on."""
    if b"\0" in start[:_SNIFFED_BYTES]:
        return None
    try:
        return start.decode()
    except UnicodeDecodeError as error:
        cut = len(start) == SHOWN_BYTES and error.start >= len(start) - 3
        return start[: error.start].decode() if cut else None
