"""Keeps compiled code of the user's modules from one generation to the next.

Every generation has a directory of its own and it is read-only, so Python's usual cache beside the sources never
helps. Here compiled files lie in a temporary directory of the agent, named after the path inside the tree, and are
tied to inode, size and nanoseconds of the source: an unchanged file is the same hard link in every tree, a changed one
never matches, even within one second.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
import zlib
from typing import Any, Dict


def install(directory: str, cache: str) -> None:
    """Load modules below `directory` through the cache, a directory that only this sandbox can write to."""
    real = directory.rstrip(os.sep) + os.sep

    class Loader(importlib.machinery.SourceFileLoader):
        def path_stats(self, path: Any) -> Dict[str, int]:
            found = os.stat(path)
            identity = f"{found.st_dev}:{found.st_ino}:{found.st_mtime_ns}".encode()
            return {"mtime": zlib.crc32(identity), "size": found.st_size}

        def get_data(self, path: Any) -> bytes:
            return super().get_data(_moved(str(path), real, cache))

        def set_data(self, path: Any, data: Any, *, _mode: int = 0o666) -> None:
            super().set_data(_moved(str(path), real, cache), data, _mode=0o600)

    extensions = (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES)
    finder = importlib.machinery.FileFinder.path_hook(
        extensions,
        (Loader, importlib.machinery.SOURCE_SUFFIXES),
        (importlib.machinery.SourcelessFileLoader, importlib.machinery.BYTECODE_SUFFIXES),
    )

    def hook(path: str) -> Any:
        if (path.rstrip(os.sep) + os.sep).startswith(real):
            return finder(path)
        raise ImportError(path)

    sys.path_hooks.insert(0, hook)
    sys.dont_write_bytecode = False


def _moved(path: str, directory: str, cache: str) -> str:
    """Where a compiled file of the tree lies instead; sources stay where they are."""
    if path.endswith(".pyc") and path.startswith(directory):
        return os.path.join(cache, path[len(directory) :])
    return path
