"""What a source directory declares to need: the few files that decide its layer, and its key.

Only what changes the installation counts: a new version number in pyproject.toml or a new script in package.json
leaves the key as it is.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from local_server.domain.executor_errors import DependenciesFailed
from local_server.domain.manifest import Runtime

EMPTY_KEY_TEXT = "no dependencies"
_FILE_BYTES = 16 << 20
_INCLUDE = re.compile(r"^\s*(?:-r|-c|--requirement|--constraint)[\s=]*(\S+)", re.MULTILINE)
_NPM_FIELDS = ("dependencies", "optionalDependencies", "peerDependencies", "overrides", "engines")


@dataclass(frozen=True, slots=True)
class Declared:
    """The files an installer gets, by name, and the one a person would correct."""

    source: str
    files: Mapping[str, bytes]

    def key(self, runtime: Runtime, made_for: str) -> str:
        """`made_for` names what the files are installed with and for: an image's id, or an interpreter."""
        digest = hashlib.sha256(f"1\0{runtime}\0{made_for}\0".encode())
        for name in sorted(self.files):
            digest.update(f"{name}\0{len(self.files[name])}\0".encode())
            digest.update(self.files[name])
        return digest.hexdigest()[:32]


def read_declared(runtime: Runtime, source: Path) -> Declared | None:
    """None when nothing needs to be installed. Go has no layer: its modules are part of what is compiled.
    Raises DependenciesFailed for a file that cannot be read."""
    if runtime is Runtime.PYTHON:
        return _python(source)
    if runtime is Runtime.NODE:
        return _node(source)
    return None


def _python(source: Path) -> Declared | None:
    for name in ("requirements.lock", "requirements.txt"):
        if (source / name).is_file():
            files = dict(_with_includes(source, name))
            files["requirements.txt"] = files.pop(name)
            return Declared(name, files) if _says_something(files.values()) else None
    if not (source / "pyproject.toml").is_file():
        return None
    project = _toml(source, "pyproject.toml").get("project")
    wanted = project.get("dependencies") if isinstance(project, dict) else None
    if not wanted or not isinstance(wanted, list):
        return None
    lines = [str(line).replace("\n", " ") for line in wanted]
    files = {"requirements.txt": "\n".join(lines).encode()}
    if (source / "uv.lock").is_file():
        files["constraints.txt"] = "\n".join(_uv_pins(_toml(source, "uv.lock"))).encode()
        files["requirements.txt"] += b"\n-c constraints.txt\n"
    return Declared("pyproject.toml", files)


def _says_something(files: Iterator[bytes] | Any) -> bool:
    return any(line.strip() and not line.strip().startswith(b"#") for text in files for line in text.splitlines())


def _with_includes(source: Path, first: str) -> Iterator[tuple[str, bytes]]:
    """A requirements file and what it includes with -r and -c, as far as that lies in the tree."""
    todo, seen = [first], set[str]()
    while todo:
        name = todo.pop()
        if name in seen or ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
            continue
        seen.add(name)
        if not (source / name).is_file():
            raise DependenciesFailed(first, f"it includes {name}, and there is no such file", "")
        text = _read(source, name)
        yield name, text
        folder = PurePosixPath(name).parent
        found = _INCLUDE.findall(text.decode("utf-8", "replace"))
        todo += [str(folder / other) for other in found if "://" not in other]


def _uv_pins(lock: Mapping[str, Any]) -> list[str]:
    """`name==version` for every package uv locked to one version; those locked to several are left to pip."""
    versions: dict[str, set[str]] = {}
    for package in lock.get("package", []):
        if "registry" in package.get("source", {}) and "version" in package:
            versions.setdefault(package["name"], set()).add(package["version"])
    return [f"{name}=={min(found)}" for name, found in sorted(versions.items()) if len(found) == 1]


def _node(source: Path) -> Declared | None:
    if not (source / "package.json").is_file():
        return None
    try:
        package = json.loads(_read(source, "package.json"))
    except ValueError as error:
        raise DependenciesFailed("package.json", f"it is not valid JSON: {error}", "") from error
    if not isinstance(package, dict):
        raise DependenciesFailed("package.json", "it holds no JSON object", "")
    needed = {name: package[name] for name in _NPM_FIELDS if package.get(name)}
    if not any(needed.get(name) for name in ("dependencies", "optionalDependencies", "peerDependencies")):
        return None
    # npm checks the lock against the development dependencies too, though it installs none of them.
    needed |= {name: package[name] for name in ("name", "version", "devDependencies") if package.get(name)}
    lock = next((name for name in ("npm-shrinkwrap.json", "package-lock.json") if (source / name).is_file()), None)
    if lock is None:
        needed = {name: value for name, value in needed.items() if name in _NPM_FIELDS}
        return Declared("package.json", {"package.json": _json(needed)} | _npmrc(source))
    files = {"package.json": _json(needed), "package-lock.json": _read(source, lock)} | _npmrc(source)
    return Declared(lock, files)


def _npmrc(source: Path) -> dict[str, bytes]:
    return {".npmrc": _read(source, ".npmrc")} if (source / ".npmrc").is_file() else {}


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, indent=1).encode()


def _toml(source: Path, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(_read(source, name).decode())
    except ValueError as error:
        raise DependenciesFailed(name, f"it is not valid TOML: {error}", "") from error


def _read(source: Path, name: str) -> bytes:
    path = source / name
    if path.stat().st_size > _FILE_BYTES:
        raise DependenciesFailed(name, f"it is larger than {_FILE_BYTES >> 20} MB", "")
    return path.read_bytes()
