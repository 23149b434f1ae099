"""Finds the file a Node project starts with."""

import os
import re
import shlex
from dataclasses import dataclass

from local_server.registry.folder import Folder, table

STEMS = ("index", "server", "app", "main")
EXTENSIONS = (".mjs", ".js", ".cjs")
_SERVES = re.compile(
    r"\bexport\s+default\b|\bmodule\.exports\b|\bexports\.\w|\bexport\s*\{|\.listen\s*\(|\bcreateServer\b"
)
_CONDITIONS = ("node", "import", "module", "default", "require")


@dataclass(frozen=True, slots=True)
class NodeEntry:
    entry: str | None
    command: tuple[str, ...] | None
    is_named: bool
    """package.json says so; else it was found by its name."""
    reason: str


def find(folder: Folder) -> list[NodeEntry]:
    """Entry points, the likeliest first."""
    found = [*_from_package(folder), *_by_name(folder)]
    script = table(folder.package_json, "scripts", "start")
    if not any(one.is_named for one in found) and isinstance(script, str) and script.strip():
        found.append(NodeEntry(None, ("npm", "start"), True, f'package.json starts with "{script}"'))
    unique: dict[str | None, NodeEntry] = {}
    for one in found:
        unique.setdefault(one.entry, one)
    return list(unique.values())


def _from_package(folder: Folder) -> list[NodeEntry]:
    package = folder.package_json
    found = []
    script = table(package, "scripts", "start")
    for key, value in (
        ("scripts.start", _started_file(script) if isinstance(script, str) else None),
        ("main", package.get("main")),
        ("exports", _export(package.get("exports"))),
        ("module", package.get("module")),
    ):
        path = _existing(folder, value) if isinstance(value, str) else None
        if path and (key == "scripts.start" or _SERVES.search(folder.read(path))):
            found.append(NodeEntry(path, None, True, f"package.json names {path} ({key})"))
    return found


def _by_name(folder: Folder) -> list[NodeEntry]:
    usual = [
        f"{directory}{stem}{extension}" for directory in ("", "src/") for stem in STEMS for extension in EXTENSIONS
    ]
    return [
        NodeEntry(path, None, False, f"{path} exports or listens")
        for path in usual
        if path in folder.files and _SERVES.search(folder.read(path))
    ]


def _started_file(script: str) -> str | None:
    """`server.js` of `NODE_ENV=production node --enable-source-maps server.js`."""
    try:
        words = shlex.split(script)
    except ValueError:
        return None
    while words and re.match(r"\w+=", words[0]):
        words.pop(0)
    if words[:1] == ["cross-env"]:
        words = [word for word in words[1:] if "=" not in word]
    if not words or words[0] not in ("node", "nodemon"):
        return None
    files = [word for word in words[1:] if not word.startswith("-")]
    return files[0] if len(files) == 1 else None


def _export(value: object) -> object:
    """The file behind `exports`, whose conditions may nest."""
    for _ in range(8):
        if not isinstance(value, dict):
            return value
        keys = (".", *_CONDITIONS)
        value = next((value[key] for key in keys if value.get(key)), None)
    return None


def _existing(folder: Folder, named: str) -> str | None:
    path = os.path.normpath(named.replace("\\", "/")).replace(os.sep, "/")
    tries = [path, *(path + extension for extension in EXTENSIONS), *(f"{path}/index{one}" for one in EXTENSIONS)]
    return next((one for one in tries if one in folder.files and one.endswith(EXTENSIONS)), None)


def version(folder: Folder, default: int) -> str | None:
    """The version a project asks for, where the default would not do."""
    pinned = re.match(r"\s*v?(\d{2})(?:\.[\d.x]+)?\s*$", folder.read(".nvmrc") or folder.read(".node-version"))
    if pinned:
        return None if int(pinned[1]) == default else pinned[1]
    wanted = table(folder.package_json, "engines", "node")
    if not isinstance(wanted, str):
        return None
    least = min((int(major) for major in re.findall(r"(?:>=|\^|~|=|^|\|\|)\s*v?(\d{2})", wanted)), default=0)
    return str(least) if least > default else None
