"""The files of a project that may say what it is: the upper levels, listed once, read as far as asked. Blocking."""

import json
import os
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any

from local_server.registry.ignore import IGNORED_DIRECTORIES

MAX_READ_BYTES = 256 * 1024
MAX_ENTRIES = 4_000
# Programs of several packages keep them in these; elsewhere a second level is never an entry point.
_DEEP = frozenset({"cmd", "src"})
_NEVER = IGNORED_DIRECTORIES | {"test", "tests", "docs", "doc", "static", "public", "migrations", "testdata", "vendor"}


class Folder:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: set[str] = set()
        """Relative paths, `/` between segments."""
        self._texts: dict[str, str] = {}
        self._left = MAX_ENTRIES
        for directory in self._list(""):
            for deeper in self._list(directory):
                if directory in _DEEP:
                    self._list(deeper)

    def _list(self, directory: str) -> list[str]:
        """Note the files of one directory; returns those directories in it that may matter, by name."""
        directories = []
        try:
            with os.scandir(os.path.join(self.root, directory)) as listing:
                for entry in listing:
                    self._left -= 1
                    if self._left < 0:
                        break
                    path = f"{directory}/{entry.name}" if directory else entry.name
                    if entry.is_file(follow_symlinks=False):
                        self.files.add(path)
                    elif entry.is_dir(follow_symlinks=False) and entry.name not in _NEVER and entry.name[0] != ".":
                        directories.append(path)
        except OSError:
            return []  # what cannot be listed cannot hold the entry point; `walk` says so where it matters
        return sorted(directories)

    def read(self, path: str) -> str:
        """The beginning of a file; empty when there is none."""
        if path not in self._texts:
            try:
                with open(self.root / path, "rb") as file:
                    self._texts[path] = file.read(MAX_READ_BYTES).decode("utf-8", "replace")
            except OSError:
                self._texts[path] = ""
        return self._texts[path]

    @cached_property
    def directories(self) -> list[str]:
        """Those that hold a listed file, by name; `""` is the root."""
        return sorted({os.path.dirname(path) for path in self.files} | {""})

    @cached_property
    def package_json(self) -> dict[str, Any]:
        """Empty when it is missing or broken."""
        try:
            found = json.loads(self.read("package.json") or "{}")
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @cached_property
    def pyproject(self) -> dict[str, Any]:
        """Empty when it is missing or broken."""
        try:
            return tomllib.loads(self.read("pyproject.toml"))
        except (ValueError, RecursionError):
            return {}


def table(data: object, *keys: str) -> object:
    """What lies under `keys` in nested tables that a user wrote; None where the way ends."""
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data
