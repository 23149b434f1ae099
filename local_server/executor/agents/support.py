"""What a sandbox needs beside the user's own files: the agent's sources, and the packages that serve Python APIs."""

import compileall
import hashlib
import importlib.metadata
import os
import py_compile
import shutil
import tempfile
from collections.abc import Callable
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


def copied_agent(runtime: Runtime, cache_root: Path) -> Path:
    """The same, copied into `cache_root` and named after what is in it: for a Docker that sees the data directory of a
    server which is in a container itself, and not what is installed there. Blocking. Raises OSError."""
    sources = sorted(path for path in agent_directory(runtime).iterdir() if path.is_file())
    digest = hashlib.sha256()
    for source in sources:
        digest.update(f"\0{source.name}\0".encode() + source.read_bytes())
    target = cache_root / f"{runtime}-agent-{digest.hexdigest()[:16]}"

    def copy(making: Path) -> None:
        for source in sources:
            shutil.copyfile(source, making / source.name)

    return _made_once(target, copy)


def support_directory(cache_root: Path) -> Path:
    """A directory to put at the end of a Python API's path (`APIMARKET_SUPPORT`), so that the API needs neither uvicorn
    nor a network. Copied once from the server's own installation into `cache_root`, named after the versions; two
    callers at once end with one copy. Blocking. Raises OSError, and PackageNotFoundError for a broken installation."""
    return _made_once(cache_root / f"python-support-{_key()}", _copy_packages)


def _made_once(target: Path, make: Callable[[Path], None]) -> Path:
    """`make` fills a directory beside it, which then gets its name."""
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        make(making)
        making.chmod(0o755)  # sandboxes read it as another user
        os.rename(making, target)
    except OSError:
        shutil.rmtree(making, ignore_errors=True)
        if not target.is_dir():
            raise
    return target


def _copy_packages(target: Path) -> None:
    for package in PACKAGES:
        _copy_package(package, target)
    _compile(target)


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
