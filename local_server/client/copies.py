"""Copies of marketplaces' catalogues, to be searched without a network: `market/` in the data directory."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

LARGEST = 64 * 1024 * 1024
"""Bytes of one copy that are read back."""


def read(directory: Path, url: str) -> bytes | None:
    """The copy of the catalogue at `url` as it was kept; None where there is none."""
    path = _path(directory, url)
    try:
        return path.read_bytes() if path.stat().st_size <= LARGEST else None
    except OSError:
        return None


def keep(directory: Path, url: str, copy: bytes) -> None:
    """Whole or not at all. What cannot be written is fetched again the next time: a full disk is no reason to fail."""
    path = _path(directory, url)
    unfinished = path.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished.write_bytes(copy)
        unfinished.replace(path)
        return
    with suppress(OSError):
        unfinished.unlink()


def _path(directory: Path, url: str) -> Path:
    """A name of our own: what an address may hold is not what a file name may."""
    return directory / "market" / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"
