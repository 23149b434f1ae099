"""Turns an exception into what the protocol says of a failed start: a kind, one sentence, and the user's own frames."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any, Dict, List, Optional

_PACKAGE_OF = {
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "jose": "python-jose",
    "jwt": "PyJWT",
    "magic": "python-magic",
    "multipart": "python-multipart",
    "PIL": "pillow",
    "psycopg2": "psycopg2-binary",
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
}
_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep


class EntryError(Exception):
    """The entry names nothing that can be served; the message says what there is instead."""


class NotServable(Exception):
    """The serving packages themselves cannot be imported."""


def describe(error: BaseException, directory: str) -> Dict[str, Any]:
    """The fields of `failed` for an error while the program was loaded."""
    if isinstance(error, (EntryError, NotServable)):
        kind = "entry" if isinstance(error, EntryError) else "import"
        return _fields(kind, str(error), None, None, "")
    file, line = _place(error, directory)
    text = format_traceback(error, directory)
    if isinstance(error, SyntaxError) and _relative(error.filename, directory) is not None:
        message = f"{type(error).__name__}: {error.msg}"
        return _fields("syntax", message, _relative(error.filename, directory), error.lineno, text)
    if isinstance(error, SystemExit):
        return _fields("exit", f"it ended while it was loaded: sys.exit({error.code!r})", file, line, text)
    message = one_line(error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        message += _module_hint(error.name, directory)
    return _fields("import", message, file, line, text)


def describe_start(error: BaseException, directory: str) -> Dict[str, Any]:
    """The fields of `failed` for an error after loading: the start-up of the API itself."""
    if isinstance(error, (EntryError, NotServable)):
        return describe(error, directory)
    file, line = _place(error, directory)
    return _fields("exit", f"start-up failed: {one_line(error)}", file, line, format_traceback(error, directory))


def one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    name = type(error).__name__
    return f"{name}: {text}" if text else name


def format_traceback(error: BaseException, directory: str) -> str:
    """As Python prints it, without the frames of the agent, of importlib and of the server around the user's, and with
    paths as the user knows them."""
    shown = traceback.TracebackException(type(error), error, error.__traceback__)
    _strip(shown, directory, set())
    return "".join(shown.format()).replace(directory.rstrip(os.sep) + os.sep, "").rstrip("\n")


def _fields(kind: str, message: str, file: Optional[str], line: Optional[int], text: str) -> Dict[str, Any]:
    return {"kind": kind, "message": message, "file": file, "line": line, "traceback": text}


def _strip(shown: traceback.TracebackException, directory: str, seen: "set[int]") -> None:
    if id(shown) in seen:
        return
    seen.add(id(shown))
    frames = [frame for frame in shown.stack if not _is_machinery(frame.filename)]
    first = next((i for i, frame in enumerate(frames) if _relative(frame.filename, directory) is not None), 0)
    shown.stack = traceback.StackSummary.from_list(frames[first:])
    for other in (shown.__cause__, shown.__context__):
        if other is not None:
            _strip(other, directory, seen)


def _is_machinery(filename: str) -> bool:
    return filename.startswith((_OURS, "<frozen importlib")) or filename.endswith(
        (os.path.join("importlib", "__init__.py"), os.path.join("uvicorn", "server.py"))
    )


def _place(error: BaseException, directory: str) -> "tuple[Optional[str], Optional[int]]":
    """The innermost frame in the user's tree."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = _relative(frame.filename, directory)
        if file is not None:
            return file, frame.lineno
    return None, None


def _relative(filename: Optional[str], directory: str) -> Optional[str]:
    prefix = directory.rstrip(os.sep) + os.sep
    if filename and filename.startswith(prefix):
        return filename[len(prefix) :]
    return None


def _module_hint(name: str, directory: str) -> str:
    top = name.partition(".")[0]
    if top in getattr(sys, "stdlib_module_names", ()):
        return ""
    present: List[str] = [top, top + ".py"]
    if any(os.path.exists(os.path.join(directory, file)) for file in present):
        return ""
    package = _PACKAGE_OF.get(top, top)
    return f". Add {package} to requirements.txt"
