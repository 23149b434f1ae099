"""What the composition root hands to sync: the rest of the server, as far as sync has to do with it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_server.domain.ids import Digest
from local_server.domain.manifest import Manifest
from local_server.domain.registry import Api
from local_server.domain.trees import Tree


@dataclass(frozen=True, slots=True)
class Serving:
    """What answers an API's calls now."""

    generation: int | None
    tree: Digest | None
    why_not: str = ""
    """Why nothing does: `is stopped`."""
    unserved: str = ""
    """Why the last save is not what answers: `SyntaxError: … (main.py:31)`."""


@dataclass(frozen=True, slots=True)
class SyncPorts:
    serving: Callable[[Api], Awaitable[Serving]]
    openapi: Callable[[Api, int | None], Awaitable[bytes | None]]
    """The OpenAPI document that a generation of the API gives of itself, as canonical JSON; None where it has none."""
    manifest_document: Callable[[Manifest], Mapping[str, Any]]
    read_directory: Callable[[Api], Tree]
    """Blocking. Raises UnusableDirectory."""
    write_directory: Callable[[Api, Tree, Tree | None], bool]
    """(API, what is to be there, what must be there now) -> whether anything was written. Blocking. Raises
    DirectoryNotClean, UnusableDirectory."""
    add_directory: Callable[[Path, Tree, bool], Awaitable[Api]]
    """Write a tree to a new directory and register it; with True, start it. Raises NameTaken, UnusableDirectory."""
    edit_manifest: Callable[[str, Mapping[str, str]], str]
    """The text of an apimarket.toml with some keys changed, comments and layout kept. Raises InvalidManifest."""
    projects: Path
    """Where new directories are made."""
