"""What a sandbox needs beside the user's own files: the agent's sources, and the packages that serve Python APIs."""

import compileall
import hashlib
import importlib.metadata
import os
import py_compile
import shutil
import tempfile
from pathlib import Path
from typing import Final

from local_server.domain.manifest import Runtime

# All pure Python, so one copy serves every platform. `typing_extensions` is uvicorn's need before Python 3.11.
PACKAGES: Final = ("a2wsgi", "click", "h11", "typing_extensions", "uvicorn", "wsproto")
_LAYOUT: Final = 1
"""Counts up when the way the directory is made changes, so that an old one is not taken for a new one."""


def agent_directory(runtime: Runtime) -> Path:
    """The sources of a runtime's agent in the installed package. Read-only; mounted or copied into sandboxes."""
    return Path(__file__).parent / str(runtime)


def support_directory(cache_root: Path) -> Path:
    """A directory to put at the end of a Python API's path (`APIMARKET_SUPPORT`), so that the API needs neither uvicorn
    nor a network. Copied once from the server's own installation into `cache_root`, named after the versions; two
    callers at once end with one copy. Blocking. Raises OSError, and PackageNotFoundError for a broken installation."""
    target = cache_root / f"python-support-{_key()}"
    if target.is_dir():
        return target
    cache_root.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=".python-support-", dir=cache_root))
    try:
        for package in PACKAGES:
            _copy_package(package, making)
        _compile(making)
        making.chmod(0o755)  # sandboxes read it as another user
        os.rename(making, target)
    except OSError:
        shutil.rmtree(making, ignore_errors=True)
        if not target.is_dir():
            raise
    return target


def _key() -> str:
    versions = [f"{package}=={importlib.metadata.version(package)}" for package in PACKAGES]
    return hashlib.sha256("\n".join([str(_LAYOUT), *versions]).encode()).hexdigest()[:16]


def _copy_package(package: str, target: Path) -> None:
    for file in importlib.metadata.files(package) or ():
        if ".." in file.parts or "__pycache__" in file.parts or file.suffix not in (".py", ".typed", ""):
            if not _is_metadata(file.parts):
                continue
        source = Path(str(file.locate()))
        if not source.is_file():
            continue
        place = target.joinpath(*file.parts)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)


def _is_metadata(parts: tuple[str, ...]) -> bool:
    return parts[0].endswith(".dist-info") and parts[-1] == "METADATA"


def _compile(target: Path) -> None:
    # Unchecked: the directory never changes, and a sandbox sees other times than the host does.
    compileall.compile_dir(
        target, quiet=2, stripdir=str(target), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
