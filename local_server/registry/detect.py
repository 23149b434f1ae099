"""Tells what kind of API a directory holds and where it starts, without running anything in it. Blocking, and quick
enough to be asked at every save."""

import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from local_server.domain.manifest import Runtime
from local_server.domain.registry_errors import UnusableDirectory
from local_server.registry import detect_go, detect_node, detect_python
from local_server.registry.folder import Folder

# The versions of the default images: a project that asks for something newer gets it named in its manifest.
DEFAULT_PYTHON = (3, 11)
DEFAULT_NODE = 18
DEFAULT_GO = (1, 21)


@dataclass(frozen=True, slots=True)
class Detection:
    runtime: Runtime
    runtime_version: str | None
    """None: the default will do."""
    entry: str | None
    command: tuple[str, ...] | None
    """Exactly one of `entry` and `command` is set."""
    reasons: tuple[str, ...]
    """What was found where, for people."""
    alternatives: tuple[str, ...] = ()
    """Other entry points that were found, likeliest first."""


def detect(directory: Path) -> Detection:
    """Raises UnusableDirectory, saying what was looked for and what to write, when nothing was found."""
    folder = Folder(directory)
    found = [one for one in (_python(folder), _node(folder), _go(folder)) if one]
    named = _procfile(folder, found)
    if named:
        return named
    if not found:
        raise _nothing(directory, folder)
    best = _surest(found)
    others = tuple(f"also found: a {other.runtime} program, {_start(other)}" for _, other in found if other is not best)
    return replace(best, reasons=(*best.reasons, *others))


def detect_entry(directory: Path, runtime: Runtime) -> str | None:
    """The entry point for a manifest that names none; None when there is none."""
    folder = Folder(directory)
    match runtime:
        case Runtime.PYTHON:
            best = detect_python.best_entry(folder)
            return best.entry if best else None
        case Runtime.NODE:
            return next((one.entry for one in detect_node.find(folder) if one.entry), None)
        case Runtime.GO:
            return next(iter(detect_go.find(folder)), None)


# Each answers how sure it is, from 1 to 3, so that a Django project with a package.json for its styles is Django.
_Guess = tuple[int, Detection]


def _surest(found: list[_Guess]) -> Detection:
    return max(found, key=lambda one: one[0])[1]  # of equals the first


def _python(folder: Folder) -> _Guess | None:
    version = detect_python.version(folder, DEFAULT_PYTHON)
    entries = sorted(detect_python.find(folder), key=lambda one: one.strength)
    if entries:
        best, *others = entries
        sureness = 3 if best.strength is detect_python.Strength.APP else 2
        alternatives = tuple(other.entry for other in others if other.strength == best.strength)
        return sureness, Detection(Runtime.PYTHON, version, best.entry, None, (best.reason,), alternatives)
    script = detect_python.own_server(folder)
    if script is None:
        return None
    return 1, Detection(
        Runtime.PYTHON, version, None, ("python", script), (f"{script} starts a server of its own; it must use $PORT",)
    )


def _node(folder: Folder) -> _Guess | None:
    entries = detect_node.find(folder)
    if not entries:
        return None
    best, *others = entries
    version = detect_node.version(folder, DEFAULT_NODE)
    alternatives = tuple(other.entry for other in others if other.entry and not best.is_named)
    sureness = 3 if best.is_named and best.entry else 2
    return sureness, Detection(Runtime.NODE, version, best.entry, best.command, (best.reason,), alternatives)


def _go(folder: Folder) -> _Guess | None:
    packages = detect_go.find(folder)
    if not packages:
        return None
    best, *others = packages
    where = "the directory itself" if best == "." else best
    return 3, Detection(
        Runtime.GO,
        detect_go.version(folder, DEFAULT_GO),
        best,
        None,
        (f"package main lies in {where}",),
        () if best == "." else tuple(others),
    )


_PYTHON_SERVERS = ("uvicorn", "gunicorn", "hypercorn", "daphne", "granian", "waitress-serve")
_PROGRAMS = {
    Runtime.PYTHON: re.compile(r"(?:.*/)?(?:python[\d.]*|flask|uwsgi|" + "|".join(_PYTHON_SERVERS) + ")"),
    Runtime.NODE: re.compile(r"(?:.*/)?(?:node|npm|npx|yarn|pnpm|bun)"),
    Runtime.GO: re.compile(r"(?:.*/)?go"),
}


def _procfile(folder: Folder, found: list[_Guess]) -> Detection | None:
    """What `web:` in a Procfile says, where it can be done without a shell."""
    line = re.search(r"^web:[ \t]*(.+?)[ \t]*$", folder.read("Procfile"), re.MULTILINE)
    if not line:
        return None
    try:
        words = shlex.split(line[1])
    except ValueError:
        return None
    runtime = next((one for one, program in _PROGRAMS.items() if program.fullmatch(words[0])), None)
    runtime = runtime or (_surest(found).runtime if found else None)
    if runtime is None:
        return None
    version = _version(folder, runtime)
    reason = f"Procfile says web: {line[1]}"
    if words[0].rsplit("/", 1)[-1] in _PYTHON_SERVERS:
        app = next((word for word in words[1:] if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", word)), None)
        if app:
            return Detection(runtime, version, app, None, (reason,))
    if words[0] == "node" and len(words) == 2 and words[1].removeprefix("./") in folder.files:
        return Detection(runtime, version, words[1].removeprefix("./"), None, (reason,))
    if re.search(r"[$`;&|<>*]", re.sub(r"\$(?:PORT\b|\{PORT\})", "", line[1])):
        return None  # needs a shell, and no shell runs here
    return Detection(runtime, version, None, tuple(words), (reason,))


def _version(folder: Folder, runtime: Runtime) -> str | None:
    match runtime:
        case Runtime.PYTHON:
            return detect_python.version(folder, DEFAULT_PYTHON)
        case Runtime.NODE:
            return detect_node.version(folder, DEFAULT_NODE)
        case Runtime.GO:
            return detect_go.version(folder, DEFAULT_GO)


def _start(found: Detection) -> str:
    return found.entry or shlex.join(found.command or ())


def _nothing(directory: Path, folder: Folder) -> UnusableDirectory:
    def some(*endings: str) -> str:
        names = sorted(path for path in folder.files if path.endswith(endings) and not path.startswith("."))
        return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")

    python, node, go = some(".py"), some(*detect_node.EXTENSIONS, "package.json"), some(".go", "go.mod")
    if python:
        reason = (
            f"holds no API that can be found: {python} hold neither app = FastAPI() (or Flask, Starlette, Django …)"
            " nor def handler(request)"
        )
        hint = 'Add main.py with: def handler(request): return {"hello": "world"}'
    elif node:
        reason = f"holds no API that can be found: nothing in {node} exports a handler or listens on a port"
        hint = 'Add index.mjs with: export default { fetch: () => new Response("hello") }'
    elif go:
        reason = f"holds no API that can be found: {go} hold no package main, here or in cmd/*"
        hint = "Add main.go with package main and func main, listening on $PORT"
    else:
        reason = (
            "holds no API: looked for Python (main.py, app.py with an app or def handler(request)),"
            " Node (package.json, index.js, server.js), Go (go.mod, main.go) and a Procfile"
        )
        hint = 'Add main.py with: def handler(request): return {"hello": "world"}'
    return UnusableDirectory(
        str(directory), reason, f'{hint}. Or name the program in apimarket.toml: [run] command = ["…"]'
    )
