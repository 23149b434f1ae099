"""HTTP of an API's files: which there are beside those that serve, and what stands in one."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from fastapi import APIRouter, Query, Request

from local_server.domain.manifest_rows import manifest_rows
from local_server.domain.registry import Api
from local_server.executor.files import Files, Listing
from local_server.registry.reference import register_convertor
from local_server.wire.files import (
    ApiFileView,
    FilesView,
    FileView,
    LeftOutView,
    ManifestProblemView,
    ManifestRowView,
    ManifestView,
)


@dataclass(frozen=True, slots=True)
class FilePorts:
    """What the routes are handed by the composition root."""

    files: Callable[[Request], Files]
    find: Callable[[Request, str], Awaitable[Api]]
    """By id, slug or owner/slug. Raises ApiNotFound."""


def make_router(ports: FilePorts) -> APIRouter:
    register_convertor()
    router = APIRouter(prefix="/apis/{id:api}", tags=["files"])

    @router.get("/files")
    async def list_files(request: Request, id: str) -> FilesView:
        """The files of the API's directory, which of them changed since what serves was read, what is left out and
        why, and its manifest with every mistake in it. Published from elsewhere: the files that serve."""
        api = await ports.find(request, id)
        return files_view(api, await ports.files(request).list(api))

    @router.get("/file")
    async def read_file(
        request: Request,
        id: str,
        path: str = Query(max_length=4096, description="One of the paths in the list of files."),
        of: Literal["directory", "running"] = Query("directory", description="As it lies there, or as it serves."),
    ) -> FileView:
        """What stands in one file, up to 256 KiB of text. What is left out of the API cannot be read."""
        api = await ports.find(request, id)
        whose: Literal["directory", "running"] = of if api.directory else "running"
        found = await ports.files(request).read(api, path, whose)
        return FileView(
            path=path,
            of=whose,
            bytes=found.entry.size_bytes,
            mode=_mode(found.entry.mode),
            binary=found.text is None,
            text=found.text or "",
            whole=found.whole,
        )

    return router


def files_view(api: Api, listing: Listing) -> FilesView:
    rows = [
        ManifestRowView(key=row.key, value=row.value, default=row.default) for row in manifest_rows(listing.manifest)
    ]
    mistakes = [ManifestProblemView(line=one.line, key=one.key, message=one.message) for one in listing.mistakes]
    return FilesView(
        directory=api.directory,
        running=listing.running,
        digest=listing.digest,
        files=[
            ApiFileView(path=one.path, bytes=one.entry.size_bytes, mode=_mode(one.entry.mode), change=one.change)
            for one in listing.files
        ],
        left_out=[LeftOutView(path=path, directory=is_dir, why=why) for path, is_dir, why in listing.left_out],
        left_out_more=listing.left_out_more,
        problem=listing.problem.detail if listing.problem else "",
        hint=listing.problem.hint if listing.problem else "",
        manifest=ManifestView(rows=rows, problems=mistakes),
    )


def _mode(mode: int) -> Literal["644", "755"]:
    return "755" if mode == 0o755 else "644"
