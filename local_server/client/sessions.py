"""The sessions begun from this machine, by server: `sessions.json` in the data directory, for its owner's eyes."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TypedDict, cast


class Kept(TypedDict):
    token: str
    handle: str
    expires_at: str


def find(directory: Path, url: str) -> Kept | None:
    """The session with the server at `url`; it may be over."""
    kept = _read(directory).get(url)
    return kept if kept is not None and all(isinstance(kept.get(name), str) for name in Kept.__annotations__) else None


def every(directory: Path) -> dict[str, Kept]:
    """By server; they may be over."""
    return {url: kept for url in _read(directory) if (kept := find(directory, url)) is not None}


def keep(directory: Path, url: str, session: Kept) -> None:
    _write(directory, _read(directory) | {url: session})


def forget(directory: Path, url: str) -> None:
    """An unknown one is forgotten already."""
    kept = _read(directory)
    if kept.pop(url, None) is not None:
        _write(directory, kept)


def _read(directory: Path) -> dict[str, Kept]:
    try:
        kept = json.loads((directory / "sessions.json").read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(kept, dict):
        return {}
    return {url: cast("Kept", one) for url, one in kept.items() if isinstance(one, dict)}


def _write(directory: Path, kept: dict[str, Kept]) -> None:
    """Whole or not at all, and never readable by others, not even for a moment."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = directory / f".sessions.json.{os.getpid()}"
    with suppress(FileNotFoundError):
        unfinished.unlink()
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(kept, file)
    unfinished.replace(directory / "sessions.json")
