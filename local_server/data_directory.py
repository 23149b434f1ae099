"""The data directory: made for its owner's eyes only, held by one server at a time, with the token that opens it."""

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from local_server.domain.errors import AlreadyRunning, StorageFull


class DataDirectory:
    """Holds the directory while it is open. A second server is refused, and told who holds it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path / "server.lock")
        self._record = path / "server.json"

    def __enter__(self) -> "DataDirectory":
        """Raises AlreadyRunning, StorageFull."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise AlreadyRunning(str(self.path), self.holder()) from None
        except OSError as error:
            raise StorageFull(str(self.path)) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with suppress(FileNotFoundError):
            self._record.unlink()
        self._lock.release()

    def holder(self) -> int | None:
        """The process id that the running server wrote down."""
        try:
            return int(json.loads(self._record.read_text())["pid"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def announce(self, url: str, version: str) -> None:
        """Say where this server answers, for the command line and the terminal UI."""
        record = {"url": url, "pid": os.getpid(), "version": version}
        _write_private(self._record, json.dumps(record))

    def token(self) -> str:
        """The local bearer token, made on first use; only its owner can read the file."""
        path = self.path / "token"
        with suppress(FileNotFoundError):
            token = path.read_text().strip()
            if len(token) >= 32:
                path.chmod(0o600)
                return token
        token = secrets.token_urlsafe(32)
        _write_private(path, token + "\n")
        return token


def _write_private(path: Path, text: str) -> None:
    """Write whole or not at all, and never readable by others, not even for a moment."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        unfinished.unlink()
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    unfinished.replace(path)
