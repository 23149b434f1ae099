"""Makes a file, or the names in a directory, outlive a power cut. Blocking: the disk is waited for."""

import os
from pathlib import Path

try:
    from fcntl import F_FULLFSYNC, fcntl  # type: ignore[attr-defined, unused-ignore]  # macOS alone
except ImportError:
    F_FULLFSYNC = None


def flush(path: Path) -> None:
    """Returns when it is on the disk. Raises FileNotFoundError, and OSError for what the disk could not take: then
    nothing is known of the content, and it has to be written again."""
    if os.name == "nt" and path.is_dir():
        return  # cannot be opened there; NTFS keeps a log of its names
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        if F_FULLFSYNC is None:
            os.fsync(descriptor)
        else:  # there, fsync leaves it to the disk when it writes what it holds in memory
            fcntl(descriptor, F_FULLFSYNC)
    finally:
        os.close(descriptor)
