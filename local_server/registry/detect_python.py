"""Finds the app, or the function, in a Python project, without running any of it."""

import ast
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import IntEnum

from local_server.registry.folder import Folder, table

STEMS = (
    "main",
    "app",
    "server",
    "api",
    "wsgi",
    "asgi",
    "index",
    "application",
    "handler",
    "function",
    "run",
    "__init__",
)
_NAMES = ("app", "application", "api", "handler", "asgi", "wsgi", "server")
_FRAMEWORKS = frozenset(
    {
        "FastAPI",
        "Flask",
        "Starlette",
        "Quart",
        "Litestar",
        "Sanic",
        "Bottle",
        "APIFlask",
        "BlackSheep",
        "AsyncApp",
        "FlaskApp",
        "Microdot",
        "ASGIApp",
        "WSGIApp",
        "get_asgi_application",
        "get_wsgi_application",
    }
)
# These frameworks' classes are called plainly `App` or `API`, so that the module they come from must be looked at.
_PLAIN_CLASSES = {"App": ("falcon",), "API": ("falcon", "responder")}
_FACTORIES = ("create_app", "make_app", "build_app", "create_application")
_WORTH_PARSING = re.compile(
    rf"\b(?:{'|'.join(sorted(_FRAMEWORKS))}|App|API)\s*\(|^(?:async\s+)?def\s+(?:handler|app|application|{'|'.join(_FACTORIES)})\s*\("
    r"|^(?:app|application|api|handler)\s*[:=]|import\s.*\bapp(?:lication)?\b",
    re.MULTILINE,
)
_BROKEN_APP = re.compile(
    rf"^(\w+)\s*(?::[^=\n]+)?=\s*(?:\w+\.)*({'|'.join(sorted(_FRAMEWORKS))})\s*\(|^(?:async\s+)?def\s+(handler)\s*\(",
    re.M,
)
_TEST_FILE = re.compile(r"(?:^|/)(?:test_[^/]*|[^/]*_test|conftest|setup|noxfile|manage|gunicorn\.conf)\.py$")
_OTHERS_LIMIT = 200
_OWN_SERVER = re.compile(
    r"\bserve_forever\(|\brun_app\(|\buvicorn\.run\(|\bserve\(|\bHTTPServer\(|\bstart_server\(|\.listen\("
)


class Strength(IntEnum):
    """The surest first."""

    APP = 0
    """An instance of a known framework, a bare ASGI or WSGI callable, or `handler(request)`."""
    NAMED = 1
    """Something called `app` whose making cannot be seen."""
    FACTORY = 2
    """`create_app()` without arguments that must be given."""


@dataclass(frozen=True, slots=True)
class PythonEntry:
    entry: str
    strength: Strength
    reason: str


def find(folder: Folder) -> Iterator[PythonEntry]:
    """Entry points, one a file, in the order of the files that are usually meant; not sorted by strength."""
    settled = table(folder.pyproject, "tool", "fastapi", "entrypoint")
    if isinstance(settled, str) and re.fullmatch(r"[\w.]+:[\w.]+", settled):
        yield PythonEntry(settled, Strength.APP, f'pyproject.toml names it: [tool.fastapi] entrypoint = "{settled}"')
    usual, others = candidates(folder)
    found = False
    for path in usual:
        if entry := _in_file(folder, path):
            found = True
            yield entry
    if found:
        return
    for path in others[:_OTHERS_LIMIT]:
        if (entry := _in_file(folder, path)) and entry.strength is Strength.APP:
            yield entry


def _in_file(folder: Folder, path: str) -> PythonEntry | None:
    text = folder.read(path)
    module = module_name(path, text, folder.files)
    if not module or not _WORTH_PARSING.search(text):
        return None
    best = _best(path, text)
    return PythonEntry(f"{module}:{best[0]}", best[1], best[2]) if best else None


def best_entry(folder: Folder) -> PythonEntry | None:
    """The surest; among equals the first. Stops reading files as soon as nothing can be surer."""
    best: PythonEntry | None = None
    for found in find(folder):
        if best is None or found.strength < best.strength:
            best = found
        if best.strength is Strength.APP:
            break
    return best


def own_server(folder: Folder) -> str | None:
    """A script that opens a port by itself, for a project without an app object."""
    for path in candidates(folder)[0]:
        text = folder.read(path)
        if "/" not in path and "__main__" in text and _OWN_SERVER.search(text):
            return path
    return None


def candidates(folder: Folder) -> tuple[list[str], list[str]]:
    """Python files by how likely they hold the app: usual names in the root, in src/, in packages, then the rest of the
    root. And those to look at when none of them does: the other modules of packages."""

    def likeliness(path: str) -> tuple[int, int, int, str]:
        directory, name = os.path.split(path)
        stem = name.removesuffix(".py")
        depth = 0 if not directory else 1 if directory in ("src", "app", "api") else 2 + directory.count("/")
        usual = STEMS.index(stem) if stem in STEMS else len(STEMS)
        return (usual == len(STEMS), depth, usual, path)

    paths = [path for path in folder.files if path.endswith(".py") and not _TEST_FILE.search(path)]
    paths.sort(key=likeliness)
    usual = {path for path in paths if os.path.basename(path).removesuffix(".py") in STEMS or "/" not in path}
    return [path for path in paths if path in usual], [path for path in paths if path not in usual]


def module_name(path: str, text: str, files: Collection[str]) -> str | None:
    """`shop/main.py` as `shop.main`; None when it cannot be imported under its name."""
    parts = path.removesuffix(".py").split("/")
    if parts[-1] == "__init__":
        parts.pop()
    if _lies_in_source_layout(path, text, files):
        parts.pop(0)
    return ".".join(parts) if parts and all(part.isidentifier() for part in parts) else None


def _lies_in_source_layout(path: str, text: str, files: Collection[str]) -> bool:
    """Whether `src` is the directory that is searched for modules, and not a package. Taking `src/shop/main.py` for
    `src.shop.main` would import the package's modules twice, as `shop.db` and as `src.shop.db`."""
    top, _, rest = path.partition("/")
    if top != "src" or "src/__init__.py" in files or re.search(r"^\s*(?:from|import)\s+src\b", text, re.MULTILINE):
        return False
    name = rest.split("/")[0].removesuffix(".py")
    if any(file == f"{name}.py" or file.startswith(f"{name}/") for file in files):
        return False  # the same name means something else in the root
    if "/" in rest:
        return f"src/{name}/__init__.py" in files
    if re.search(r"^\s*from\s+\.", text, re.MULTILINE):
        return False  # relative to the package `src`
    imported = re.findall(r"^\s*(?:from|import)\s+(\w+)", text, re.MULTILINE)
    return any(f"src/{one}.py" in files or f"src/{one}/__init__.py" in files for one in imported)


def _best(path: str, text: str) -> tuple[str, Strength, str] | None:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # A file that is being edited: the start will tell where it is broken, if only the entry stays the same.
        found = _BROKEN_APP.search(text)
        return (found[1] or found[3], Strength.APP, f"{path} seems to hold it") if found else None
    found_all = [found for statement in _statements(tree.body) for found in _offers(statement, path)]
    if not found_all:
        return None
    return min(found_all, key=lambda offer: (offer[1], _NAMES.index(offer[0]) if offer[0] in _NAMES else len(_NAMES)))


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """What runs when the module is imported, also within `if` and `try`; not the main guard, not functions."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If) and "__main__" not in ast.dump(statement.test):
            yield from _statements([*statement.body, *statement.orelse])
        elif isinstance(statement, ast.Try):
            yield from _statements([*statement.body, *statement.orelse, *statement.finalbody])
        elif isinstance(statement, ast.With):
            yield from _statements(statement.body)


def _offers(statement: ast.stmt, path: str) -> Iterator[tuple[str, Strength, str]]:
    match statement:
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=value)
            | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
        ):
            made_by = _framework(value)
            if made_by:
                yield name, Strength.APP, f"{path} holds {name} = {made_by}(…)"
            elif name in _NAMES[:2] and isinstance(value, ast.Call | ast.Name | ast.Attribute):
                yield name, Strength.NAMED, f"{path} holds {name} = …"
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield from _function_offer(statement, path)
        case ast.ImportFrom(names=names):
            for alias in names:
                name = alias.asname or alias.name
                if name in _NAMES[:2]:
                    yield name, Strength.NAMED, f"{path} imports {name}"


def _framework(value: ast.expr) -> str | None:
    if not isinstance(value, ast.Call):
        return None
    called = ast.unparse(value.func)
    origin, _, name = called.rpartition(".")
    if name in _PLAIN_CLASSES:
        return called if origin.split(".")[0] in _PLAIN_CLASSES[name] else None
    return called if name in _FRAMEWORKS else None


def _function_offer(function: ast.FunctionDef | ast.AsyncFunctionDef, path: str) -> Iterator[tuple[str, Strength, str]]:
    positional = [*function.args.posonlyargs, *function.args.args]
    names = [argument.arg for argument in positional]
    needed = len(positional) - len(function.args.defaults)
    keyword_needed = any(default is None for default in function.args.kw_defaults)
    if function.name == "handler" and needed <= 1 and not keyword_needed:
        yield function.name, Strength.APP, f"{path} holds def handler({', '.join(names)})"
    elif names == ["scope", "receive", "send"] or names == ["environ", "start_response"]:
        yield function.name, Strength.APP, f"{path} holds def {function.name}({', '.join(names)})"
    elif function.name in _FACTORIES and needed == 0 and not keyword_needed:
        yield function.name, Strength.FACTORY, f"{path} holds def {function.name}()"


def version(folder: Folder, default: tuple[int, int]) -> str | None:
    """The version a project asks for, where the default would not do."""
    pinned = re.match(r"\s*(3\.\d{1,2})(?:\.\d+)?\s*$", folder.read(".python-version"))
    if pinned:
        return None if pinned[1] == ".".join(map(str, default)) else pinned[1]
    wanted = table(folder.pyproject, "project", "requires-python")
    if not isinstance(wanted, str):
        return None
    least = max((int(minor) for minor in re.findall(r"(?:>=|==|~=)\s*3\.(\d{1,2})", wanted)), default=0)
    return f"3.{least}" if least > default[1] or ("==" in wanted and least) else None
