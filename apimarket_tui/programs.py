"""The command lines of programs that get the terminal for a while: an editor, a shell."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local_server.wire.apis import ApiView

OPENS_DIRECTORIES = frozenset({"code", "codium", "cursor", "zed", "subl", "idea", "pycharm", "webstorm", "goland"})
"""Editors with a window of their own: they show the directory beside the file."""
COUNTS_LINES = frozenset({"vi", "vim", "nvim", "nano", "emacs", "micro", "joe", "kak", "ne", "mg"})
"""Editors that take `+12` before a file."""
MAIN_FILES = ("main.py", "app.py", "server.py", "index.js", "app.js", "server.js", "index.mjs", "index.ts", "main.go")


def editor_command(editor: str, api: "ApiView", chosen: str = "", at: int | None = None) -> list[str]:
    """Opens the file that was chosen; else the one in which the newest save fails, at its line; else the one it starts
    with; else the directory. Raises ValueError where `editor` is no command line, FileNotFoundError where the chosen
    file is not there."""
    program = shlex.split(editor)
    name = Path(program[0]).stem if program else ""
    directory = Path(api.directory)
    file, line = (_own(api, chosen), at) if chosen else _where(api)
    if chosen and file is None:
        raise FileNotFoundError(f"{chosen} is not in {directory}")
    command = [*program]
    if name in OPENS_DIRECTORIES or file is None:
        command.append(str(directory))
    if file is None:
        return command
    if line is not None and name in COUNTS_LINES:
        command.append(f"+{line}")
    return [*command, str(file)]


def _where(api: "ApiView") -> tuple[Path | None, int | None]:
    file = _failing(api)
    if file is not None and api.failure is not None:
        return file, api.failure.line
    return _main_file(api), None


def _failing(api: "ApiView") -> Path | None:
    """Only one of the API's own: a traceback may end anywhere."""
    if api.failure is None or not api.failure.file:
        return None
    return _own(api, api.failure.file)


def _main_file(api: "ApiView") -> Path | None:
    entry = api.entry or ""
    module = entry.partition(":")[0].replace(".", "/")
    named = [entry, f"{module}.py"] if entry else []
    return next((file for name in (*named, *MAIN_FILES) if (file := _own(api, name)) is not None), None)


def _own(api: "ApiView", name: str) -> Path | None:
    root = Path(api.directory).resolve()
    file = (root / name).resolve()
    return file if file.is_file() and file.is_relative_to(root) else None


def shell_command(api: "ApiView") -> list[str] | None:
    """A shell in the container that runs the API, where the files of what serves lie; None: it runs in none."""
    container = api.container
    if container is None:
        return None
    here = shlex.quote(container.trees) + f"/{api.serving}-*"
    return ["docker", "exec", "-it", container.id, "sh", "-c", f"cd {here} 2>/dev/null; exec sh"]
