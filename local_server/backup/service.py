"""`apimarket backup` and `apimarket restore`."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, NamedTuple

from local_server import __version__
from local_server.backup import postgres, sqlite
from local_server.backup.archive import Manifest, Writer, each_file, verified, writing
from local_server.data_directory import DataDirectory
from local_server.domain.storage_errors import BackupUnreadable, DatabaseNotEmpty, StorageNewer
from local_server.settings import EMBEDDED, Settings
from local_server.storage.blobs import BlobStore
from local_server.storage.embedded import EmbeddedPostgres
from local_server.storage.migrations.sqlite import STEPS

KEYS = ("device.key", "session.key", "secrets.key")
"""Without the first, versions from here would be signed by a stranger; without the second, every session is over;
without the third no secret can be opened."""


class Done(NamedTuple):
    path: str
    database: str
    files: int
    size_bytes: int
    made_at: str


def backup(settings: Settings, path: Path) -> Done:
    """All of the database, out of one moment, and every blob. A running server goes on. Raises FileExists,
    NothingToBackUp, StorageUnavailable, StorageUnreadable, StorageFull."""
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    columns: Mapping[str, tuple[str, ...]] = {}
    with writing(path) as writer:
        # The database first: blobs are only added to what it knows.
        if not settings.database.get_secret_value():
            kind, steps = "sqlite", sqlite.dump(settings.home, writer)
        else:
            kind = "postgresql"
            with _url(settings) as url:
                steps, columns = postgres.dump(url, writer)
        _add_files(settings.home, writer)
        manifest = Manifest(__version__, kind, steps, made_at, dict(writer.files), columns)
        writer.finish(manifest)
    return _done(path, manifest)


def restore(settings: Settings, path: Path) -> Done:
    """Into an empty data directory, and an empty database: nothing is ever overwritten. The whole backup is looked
    through before anything is done. Raises AlreadyRunning, BackupUnreadable, DatabaseNotEmpty, StorageNewer,
    StorageUnavailable, StorageFull."""
    manifest = verified(path)
    chosen = "postgresql" if settings.database.get_secret_value() else "sqlite"
    if manifest.database != chosen:
        named = " --database embedded" if chosen == "sqlite" else "  (and no --database)"
        hint = f"Nothing was changed. Try: apimarket restore {path}{named}"
        raise BackupUnreadable(str(path), f"it is of {manifest.database}, and would go into {chosen}", hint)
    with DataDirectory(settings.home):
        if any((settings.home / name).exists() for name in KEYS):
            raise DatabaseNotEmpty(str(settings.home))
        if chosen == "sqlite":
            _restore_sqlite(settings.home, path, manifest)
        else:
            with _url(settings) as url:
                _restore_postgres(url, settings.home, path, manifest)
    return _done(path, manifest)


def _restore_sqlite(home: Path, path: Path, manifest: Manifest) -> None:
    for unknown in sorted(set(manifest.steps) - STEPS.keys()):
        raise StorageNewer("The backup", unknown)
    if not sqlite.is_empty(home):
        raise DatabaseNotEmpty(str(home))
    _restore_files(home, path)
    # The database last: where it is, everything it speaks of is there.
    each_file(path, lambda name, _, content: sqlite.load(home, content) if name == sqlite.FILE else None)


def _restore_postgres(url: str, home: Path, path: Path, manifest: Manifest) -> None:
    with postgres.Load(url, manifest).open() as load, tempfile.TemporaryDirectory(dir=home) as directory:
        _restore_files(home, path)

        def lay_out(name: str, _: int, content: IO[bytes]) -> None:
            if name.startswith("tables/"):
                with (Path(directory) / name.removeprefix("tables/")).open("wb") as file:
                    while chunk := content.read(1024 * 1024):
                        file.write(chunk)

        each_file(path, lay_out)
        for table in load.order:
            with (Path(directory) / table).open("rb") as content:
                load.table(table, content)


def _restore_files(home: Path, path: Path) -> None:
    blobs = BlobStore(home / "blobs")

    def take(name: str, _: int, content: IO[bytes]) -> None:
        kind, rest = name.split("/", 1) if "/" in name else (name, "")
        if kind == "blobs":
            with tempfile.NamedTemporaryFile(dir=home, prefix="restoring-") as file:
                while chunk := content.read(1024 * 1024):
                    file.write(chunk)
                file.flush()
                if blobs.put_file(Path(file.name))[0] != rest:
                    raise BackupUnreadable(str(path), f"blob {rest} is not what its name says")
        elif kind == "keys":
            descriptor = os.open(home / rest, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as key:
                key.write(content.read(4096))

    each_file(path, take)


def _add_files(home: Path, writer: Writer) -> None:
    for name in KEYS:
        if (home / name).exists():
            with (home / name).open("rb") as content:
                writer.add(f"keys/{name}", content, os.fstat(content.fileno()).st_size)
    root = home / "blobs"
    for directory in sorted(root.iterdir()) if root.exists() else ():
        if len(directory.name) != 2:
            continue
        for blob in sorted(directory.iterdir()):
            try:
                with blob.open("rb") as content:
                    writer.add(f"blobs/{directory.name}{blob.name}", content, os.fstat(content.fileno()).st_size)
            except FileNotFoundError:
                continue  # nothing needed it any more


@contextmanager
def _url(settings: Settings) -> Iterator[str]:
    """Of the database that the settings name. The embedded one is used as it runs, or runs for as long as it takes."""
    url = settings.database.get_secret_value()
    if url != EMBEDDED:
        yield url
        return
    embedded = EmbeddedPostgres(settings.home / "postgres")
    if (running := embedded.running_url()) is not None:
        yield running
        return
    embedded.start()
    try:
        yield embedded.url
    finally:
        embedded.stop()


def _done(path: Path, manifest: Manifest) -> Done:
    return Done(str(path), manifest.database, len(manifest.files), path.stat().st_size, manifest.made_at)
