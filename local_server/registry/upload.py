"""Uploaded code becomes the code of an API: every file of an upload is written into the API's directory, or none.

The directory is the source of truth; the reload that follows is the one that follows every save.
"""

import asyncio
import errno
import tempfile
import unicodedata
from collections.abc import AsyncIterable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final
from weakref import WeakValueDictionary

from local_server.domain.ids import ApiId
from local_server.domain.manifest import MANIFEST_NAME
from local_server.domain.registry import Api
from local_server.domain.registry_errors import UnusableDirectory, UploadRefused, UploadTooLarge
from local_server.domain.storage_errors import StorageFull
from local_server.domain.trees import MAX_FILES, MAX_TREE_BYTES, case_collisions
from local_server.registry.ignore import IGNORE_FILES, Ignore
from local_server.registry.service import Registry, parse_for
from local_server.registry.source import walk
from local_server.registry.staging import Staged, Staging
from local_server.registry.swap import Swap
from local_server.registry.upload_body import read_body

MAX_BODY_BYTES: Final = MAX_TREE_BYTES + 16 * 1024 * 1024
"""All that a tree may hold, and what a form says around it."""
MEMORY_BYTES: Final = 1024 * 1024
"""Of a body; what is longer waits on disk."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Uploaded:
    written: tuple[str, ...]
    removed: tuple[str, ...]
    size_bytes: int
    manifest: str | None
    """The apimarket.toml that was among them."""


class Uploads:
    """Takes uploads, one at a time for each API."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[ApiId, asyncio.Lock] = WeakValueDictionary()

    async def take(
        self, registry: Registry, api: Api, content_type: str, chunks: AsyncIterable[bytes], *, replace: bool = False
    ) -> tuple[Api, Uploaded]:
        """Write the files into the API's directory. With `replace`, files of the API that are not among them are
        removed, but neither what is left out of APIs, nor apimarket.toml, nor the rules of what is left out.

        Raises UploadRefused, UploadTooLarge, InvalidManifest, UnusableDirectory, StorageFull; then nothing changed.
        """
        with tempfile.SpooledTemporaryFile(MEMORY_BYTES) as body:
            await _spool(chunks, body)
            async with self._locks.setdefault(api.id, asyncio.Lock()):
                uploaded = await asyncio.to_thread(take_upload, api, body, content_type, replace=replace)
                if uploaded.manifest is not None:
                    api = await registry.reload_manifest(api, uploaded.manifest)
        return api, uploaded


async def _spool(chunks: AsyncIterable[bytes], body: "tempfile.SpooledTemporaryFile[bytes]") -> None:
    waiting = bytearray()
    size_bytes = 0
    try:
        async for chunk in chunks:
            size_bytes += len(chunk)
            check_length(size_bytes)
            waiting += chunk
            if len(waiting) >= MEMORY_BYTES:
                await asyncio.to_thread(body.write, bytes(waiting))
                waiting.clear()
        body.write(waiting)
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(tempfile.gettempdir()) from error
        raise


def check_length(size_bytes: int) -> None:
    """Raises UploadTooLarge if a body may not be that long."""
    if size_bytes > MAX_BODY_BYTES:
        raise UploadTooLarge(
            f"The upload has more than {MAX_BODY_BYTES // 1024 // 1024} MB",
            f"An API may hold {MAX_TREE_BYTES // 1024 // 1024} MB. Leave out what is not code.",
        )


def take_upload(api: Api, body: IO[bytes], content_type: str, *, replace: bool = False) -> Uploaded:
    """The blocking part of `Uploads.take`, without the registry."""
    root = Path(api.directory)
    if not api.directory or not root.is_dir():
        raise UnusableDirectory(
            api.directory or api.full_name,
            "does not exist any more",
            f"Put it back, or remove the API: apimarket rm {api.slug}",
        )
    try:
        with Staging(root) as staging:
            body.seek(0)
            read_body(body, content_type, staging)
            manifest = _manifest(staging, lambda text: parse_for(api, text))
            removed = _plan(root, staging, replace)
            with Swap(root, staging) as swap:
                for path in removed:
                    swap.remove(path)
                for path, staged in sorted(staging.files.items()):
                    swap.put(path, staged)
            return Uploaded(tuple(sorted(staging.files)), tuple(removed), staging.size_bytes, manifest)
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(str(root)) from error
        raise UnusableDirectory(
            str(root),
            f"does not let files be written: {error.strerror or error}",
            f"Allow it: chmod -R u+rwX {root}",
        ) from None


def _manifest(staging: Staging, check: Callable[[str], object]) -> str | None:
    staged = staging.files.get(MANIFEST_NAME)
    if staged is None:
        return None
    try:
        text = staged.file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UploadRefused("is not in UTF-8", "Save it as UTF-8.", MANIFEST_NAME) from None
    check(text)
    return text


def _plan(root: Path, staging: Staging, replace: bool) -> list[str]:
    """The paths to remove, by name. Raises UploadRefused and UploadTooLarge for what would come of it."""
    uploaded = staging.files
    if not uploaded:
        raise UploadRefused("The upload holds no files", "Send files with: curl -F main.py=@main.py …")
    new_rules = Ignore.load(root, {path: one.file for path, one in uploaded.items() if _name(path) in IGNORE_FILES})
    for path in uploaded:
        if any(new_rules.matches(each, is_dir=False) for each in {path, _plain(path)}):
            raise UploadRefused(
                "is never part of an API, or left out by .gitignore or .apimarketignore", "Leave it out.", path
            )
    present = {found.relative: found.stat.st_size for found in walk(root, Ignore.load(root))}
    removed = [
        path
        for path in present
        if replace and path not in uploaded and not _stays(path) and not new_rules.matches(path, is_dir=False)
    ]
    for path in removed:
        del present[path]
    _check_outcome(present | {path: staged.size_bytes for path, staged in uploaded.items()}, uploaded)
    return sorted(removed)


def _plain(path: str) -> str:
    """The path that file systems of other machines take `path` for: without regard to case (`.GIT`), to characters
    that are not seen (HFS+), to dots and spaces at the end and streams (NTFS), or by its short name (`git~1`)."""
    names = []
    for name in path.casefold().split("/"):
        seen = "".join(char for char in name if unicodedata.category(char) != "Cf")
        plain = seen.partition(":")[0].rstrip(". ")
        names.append(".git" if plain.startswith("git~") else plain)
    return "/".join(names)


def _stays(path: str) -> bool:
    """What replacing leaves: without the rules, files that they hide would become part of the API."""
    return path == MANIFEST_NAME or _name(path) in IGNORE_FILES


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _check_outcome(sizes: dict[str, int], uploaded: dict[str, Staged]) -> None:
    """Whether a directory of these files can be an API."""
    if len(sizes) > MAX_FILES:
        raise UploadTooLarge(f"The API would have {len(sizes):,} files; {MAX_FILES:,} are allowed", "Leave some out.")
    size_bytes = sum(sizes.values())
    if size_bytes > MAX_TREE_BYTES:
        allowed = f"{MAX_TREE_BYTES // 1024 // 1024} MB are allowed"
        raise UploadTooLarge(f"The API would have {size_bytes // 1024 // 1024} MB; {allowed}", "Leave some out.")
    for first, second in case_collisions(sizes):
        raise UploadRefused(f"and {second!r} are one file on systems that ignore case", "Rename one.", first)
    files = {path.casefold(): path for path in sizes}
    for path in sizes:
        for parent in _parents(path):
            if parent.casefold() in files:
                raise UploadRefused(
                    f"is a file, and {path!r} needs a directory of that name", "Rename one.", files[parent.casefold()]
                )


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path
