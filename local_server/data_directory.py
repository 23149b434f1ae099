"""The data directory: made for its owner's eyes only, held by one server at a time, with the token that opens it."""

import errno
import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from local_server.domain.server_errors import AlreadyRunning, DirectoryRefused
from local_server.domain.storage_errors import StorageFull
from local_server.storage.flush import flush

SECRET_BYTES = 32
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class DataDirectory:
    """Holds the directory while it is open: a second server is refused, and told who holds it. With `held` False it
    only reads and makes what opens it, beside the server that holds it.

    Whoever `announces` itself there is the server that commands on this machine talk to."""

    def __init__(self, path: Path, *, held: bool = True, announces: bool = True) -> None:
        self.path = path
        self._held = held
        self._announces = announces
        self._lock = FileLock(path / "server.lock")
        self._making = FileLock(path / "making.lock")
        """Held while a secret is made: several servers may want the first one at once."""
        self._record = path / "server.json"
        """Where the server answers; there only while it does."""
        self._pid = path / "server.pid"

    def __enter__(self) -> "DataDirectory":
        """Raises AlreadyRunning, StorageFull, DirectoryRefused."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
            if self._held:
                self._lock.acquire(timeout=0)
            if self._announces:
                self._record.unlink(missing_ok=True)  # of a server that was killed
        except Timeout:
            raise AlreadyRunning(str(self.path), self.holder()) from None
        except OSError as error:
            if error.errno in FULL:
                raise StorageFull(str(self.path)) from error
            raise DirectoryRefused(str(self.path), (error.strerror or str(error)).lower()) from error
        if self._held:
            with suppress(OSError):  # only names us to others
                self._pid.write_text(f"{os.getpid()}\n")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._announces:
            self._record.unlink(missing_ok=True)
        if self._held:
            self._pid.unlink(missing_ok=True)
            self._lock.release()

    def holder(self) -> int | None:
        """The process id that the running server wrote down."""
        try:
            return int(self._pid.read_text())
        except (OSError, ValueError):
            return None

    def announce(self, url: str, version: str) -> None:
        """Say where this server answers, for the command line and the terminal UI."""
        if not self._announces:
            return
        record = {"url": url, "pid": os.getpid(), "version": version}
        _write_private(self._record, json.dumps(record))

    def token(self) -> str:
        """The local bearer token, made on first use; only its owner can read the file."""
        path = self.path / "token"
        with self._making:
            with suppress(FileNotFoundError):
                token = path.read_text().strip()
                if len(token) >= 32:
                    path.chmod(0o600)
                    return token
            token = secrets.token_urlsafe(32)
            _write_private(path, token + "\n")
        return token

    def signing_key(self) -> bytes:
        """What session tokens are signed with: 32 random bytes, made on first use. Without the file every session
        that was begun is over."""
        return self._secret("session.key")

    def device_key(self) -> bytes:
        """What versions published from this machine are signed with: an Ed25519 private key, made on first use.
        Without the file a new one is made, and marketplaces are told of it at the next publish."""
        return self._secret("device.key")

    def secrets_key(self) -> bytes:
        """What the secrets of APIs are sealed with: 32 random bytes, made on first use. Without the file every secret
        must be set anew."""
        return self._secret("secrets.key")

    def _secret(self, name: str) -> bytes:
        path = self.path / name
        with self._making:
            with suppress(FileNotFoundError, ValueError):
                key = bytes.fromhex(path.read_text())
                if len(key) == SECRET_BYTES:
                    path.chmod(0o600)
                    return key
            key = secrets.token_bytes(SECRET_BYTES)
            _write_private(path, key.hex() + "\n")
        return key


def _write_private(path: Path, text: str) -> None:
    """Write whole or not at all, also if the power goes, and never readable by others, not even for a moment. Raises
    StorageFull."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        flush(unfinished)
        unfinished.replace(path)
        flush(path.parent)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise StorageFull(str(path.parent)) from error
