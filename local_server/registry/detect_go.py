"""Finds the main package of a Go project."""

import os
import re

from local_server.registry.folder import Folder

_MAIN = re.compile(r"^package\s+main\b", re.MULTILINE)
_USUAL = ("server", "api", "web", "http", "app", "main")


def find(folder: Folder) -> list[str]:
    """Main packages as `.` or `./cmd/server`, the likeliest first."""
    packages = set()
    for path in folder.files:
        if path.endswith(".go") and not path.endswith("_test.go") and _may_hold_main(path):
            directory = os.path.dirname(path)
            if directory not in packages and _MAIN.search(folder.read(path)):
                packages.add(directory)
    module = re.search(r"^module\s+(\S+)", folder.read("go.mod"), re.MULTILINE)
    own_name = module[1].rsplit("/", 1)[-1] if module else ""

    def likeliness(directory: str) -> tuple[int, int, str]:
        name = os.path.basename(directory)
        usual = -1 if name == own_name else _USUAL.index(name) if name in _USUAL else len(_USUAL)
        return (directory.count("/") + bool(directory), usual, directory)

    return [f"./{directory}" if directory else "." for directory in sorted(packages, key=likeliness)]


def _may_hold_main(path: str) -> bool:
    return "/" not in path or path.startswith("cmd/") or path.count("/") == 1


def version(folder: Folder, default: tuple[int, int]) -> str | None:
    """The version go.mod asks for, where the default is older."""
    wanted = re.search(r"^go\s+1\.(\d{1,3})", folder.read("go.mod"), re.MULTILINE)
    return f"1.{wanted[1]}" if wanted and int(wanted[1]) > default[1] else None
