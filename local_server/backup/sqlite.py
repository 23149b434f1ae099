"""The SQLite file: copied page by page while the server writes on, put back where there is none."""

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import IO

from sqlite_utils import Database

from local_server.backup.archive import Writer
from local_server.domain.storage_errors import NothingToBackUp, StorageUnreadable
from local_server.storage.migrations.sqlite import MIGRATIONS

FILE = "registry.db"


def dump(home: Path, writer: Writer) -> tuple[str, ...]:
    """Returns the steps it has. Raises NothingToBackUp, StorageUnreadable."""
    path = home / FILE
    if not path.exists():
        raise NothingToBackUp(str(home))
    with tempfile.TemporaryDirectory(dir=home, prefix="backup-") as directory:
        copy = Path(directory) / FILE
        try:
            with (
                closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as source,
                closing(sqlite3.connect(copy)) as target,
            ):
                source.backup(target, pages=4096, sleep=0.01)
                target.execute("pragma journal_mode = delete")
                steps = tuple(row.name for row in MIGRATIONS.applied(Database(target, execute_plugins=False)))
        except sqlite3.DatabaseError as error:
            raise StorageUnreadable(str(path), str(error)) from error
        with copy.open("rb") as content:
            writer.add(FILE, content, copy.stat().st_size)
    return steps


def is_empty(home: Path) -> bool:
    return not (home / FILE).exists()


def load(home: Path, content: IO[bytes]) -> None:
    """At once or not at all."""
    unfinished = home / f".{FILE}.restored"
    with unfinished.open("wb") as file:
        unfinished.chmod(0o600)
        shutil.copyfileobj(content, file, 1024 * 1024)
    unfinished.replace(home / FILE)
