"""Storage in one SQLite file: a single writer thread, a few reader threads beside it."""

import asyncio
import errno
import logging
import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlite_utils import Database

from local_server.domain.events import Event
from local_server.domain.storage_errors import StorageFull, StorageNewer, StorageUnreadable
from local_server.storage.base import ReadTx, Tx
from local_server.storage.dialect import SqliteDialect
from local_server.storage.migrations.sqlite import MIGRATIONS, STEPS
from local_server.storage.sql.connection import Params, Row
from local_server.storage.sql.transactions import SqlReadTx, SqlTx
from local_server.storage.threads import Workers

logger = logging.getLogger(__name__)

T = TypeVar("T")
READERS = 3
_ROWS_AT_ONCE = 100
"""Of one INSERT. sqlite3 hands the interpreter's lock over for each statement: with one for each row, writing the
request log took the gateway's thread more time than its own work. Beyond a hundred nothing is gained."""

_SHARED_PRAGMAS = (
    "busy_timeout = 5000",  # ms; only another process (a backup, a shell) can ever make us wait
    "mmap_size = 134217728",  # reads come from the page cache without a copy
    "temp_store = memory",
)
_WRITER_PRAGMAS = (
    # Readers see a snapshot and never wait for the writer.
    "journal_mode = wal",
    # A killed process loses nothing; a power cut may lose the last moments, never the file's integrity. FULL would
    # add a disk flush to every write, to the request log and every save above all. What somebody was told is kept is
    # written as `lasting`.
    "synchronous = normal",
    "fullfsync = on",  # on macOS a flush that reaches the disk and not only its cache
    "foreign_keys = on",
    "cache_size = -16384",  # 16 MiB
    "journal_size_limit = 67108864",  # the WAL shrinks back after a burst
)


class SqliteConnection:
    """A sqlite3 connection as storage/sql/connection.py wants it; works only inside a transaction."""

    dialect = SqliteDialect()

    def __init__(self, raw: sqlite3.Connection) -> None:
        raw.row_factory = sqlite3.Row
        self._raw = raw
        self._over = False

    @property
    def over(self) -> bool:
        """It cannot be committed any more."""
        return self._over or not self._raw.in_transaction

    def end(self) -> None:
        """Nothing goes through from now on, whoever still holds the transaction's stores."""
        self._over = True

    def execute(self, sql: str, params: Params) -> Sequence[Row]:
        with self._statement() as raw:
            return raw.execute(sql, params).fetchall()

    def change(self, sql: str, params: Params) -> int:
        with self._statement() as raw:
            return raw.execute(sql, params).rowcount

    def insert_many(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        with self._statement() as raw:
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                part = rows[start : start + _ROWS_AT_ONCE]
                raw.execute(_insert_sql(table, tuple(columns), len(part)), tuple(chain.from_iterable(part)))

    def change_many(self, sql: str, params: Iterable[Params]) -> None:
        with self._statement() as raw:
            raw.executemany(sql, params)

    def go_by_indices(self) -> None:
        pass  # its index of words is asked by its own name

    def locking(self, table: str) -> str:
        return ""  # who writes, writes alone

    def alone(self, name: str) -> None:
        pass

    def beside(self, name: str) -> None:
        pass

    def drop_days(self, table: str, before: datetime) -> int:
        return 0

    @contextmanager
    def _statement(self) -> Iterator[sqlite3.Connection]:
        # Some failures (a full disk) make SQLite undo the one statement, or the whole transaction. Whoever caught one
        # and went on would keep half of an act, or write outside any transaction.
        if self.over:
            raise RuntimeError("This transaction is over; nothing more can be done in it")
        try:
            yield self._raw
        except sqlite3.OperationalError:
            self._over = True
            raise


@lru_cache(maxsize=2 * _ROWS_AT_ONCE)
def _insert_sql(table: str, columns: tuple[str, ...], rows: int) -> str:
    row = f"({', '.join('?' * len(columns))})"
    values = ", ".join([row] * rows)
    return f"insert into {table} ({', '.join(columns)}) values {values} on conflict do nothing"  # noqa: S608 -- names


@dataclass(frozen=True, slots=True)
class _Committed(Generic[T]):
    result: T
    events: Sequence[Event]


class SqliteStorage:
    """See storage/base.py. Open with `await SqliteStorage.open(...)`; use on one event loop."""

    def __init__(self, path: Path, publish: Callable[[Event], None], writer: Workers[Database]) -> None:
        self._path = path
        self._publish = publish
        self._writer = writer
        self._readers: Workers[Database] | None = None
        self._install_id = ""
        self._closing: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        path: Path,
        publish: Callable[[Event], None],
        *,
        readers: int = READERS,
        max_pages: int | None = None,
    ) -> "SqliteStorage":
        """Open the database at `path`, made (mode 0600) or brought up to date as needed. `publish` takes each event
        on the event loop, after its commit. `max_pages` (of 4 KiB) bounds the file.

        Raises StorageNewer, StorageFull, StorageUnreadable."""
        writer = Workers("storage-writer", 1, partial(_open_writer, path, max_pages), _close_writer)
        storage = cls(path, publish, writer)
        try:
            await writer.ready()
            storage._install_id = await writer.run(_install_id)
            storage._readers = Workers("storage-reader", readers, partial(_open_reader, path), Database.close)
            await storage._readers.ready()
        except BaseException:
            await storage.close()
            raise
        return storage

    @property
    def description(self) -> str:
        return f"sqlite {sqlite3.sqlite_version}"

    @property
    def install_id(self) -> str:
        return self._install_id

    async def write(self, act: Callable[[Tx], T], *, lasting: bool = False) -> T:
        transact = self._transact_for_sure if lasting else self._transact
        done = await self._writer.run(lambda db: transact(act, db), then=self._announce)
        return done.result

    async def read(self, question: Callable[[ReadTx], T]) -> T:
        assert self._readers is not None
        return await self._readers.run(lambda db: self._answer(question, db))

    async def keep_house(self, now: datetime) -> None:
        """Nothing: the file is tidied up when it is closed."""

    async def close(self) -> None:
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="storage-close")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        # Readers first: the last connection out checkpoints the log, and only the writer may.
        if self._readers is not None:
            await self._readers.stop()
        await self._writer.stop()

    def _transact(self, act: Callable[[Tx], T], db: Database) -> _Committed[T]:
        with _transaction(db, self._path, "begin immediate") as connection:
            tx = SqlTx(connection)
            return _Committed(act(tx), tx.events)

    def _transact_for_sure(self, act: Callable[[Tx], T], db: Database) -> _Committed[T]:
        db.execute("pragma synchronous = full")  # the commit flushes the log: all before it lasts, too
        try:
            return self._transact(act, db)
        finally:
            db.execute("pragma synchronous = normal")

    def _answer(self, question: Callable[[ReadTx], T], db: Database) -> T:
        with _transaction(db, self._path, "begin deferred") as connection:
            return question(SqlReadTx(connection))

    def _announce(self, done: _Committed[Any]) -> None:
        for event in done.events:
            try:
                self._publish(event)
            except Exception:  # the change is committed: a listener's fault must not look like a failed write
                logger.exception("Publishing %r failed", type(event).__name__)


@contextmanager
def _transaction(db: Database, path: Path, begin: str) -> Iterator[SqliteConnection]:
    """Commits at the end, rolls back what raised. Raises StorageFull."""
    raw = db.conn
    connection = SqliteConnection(raw)
    with _mapped_errors(path):
        try:
            raw.execute(begin)
            yield connection
            if connection.over:
                raise RuntimeError("The database gave the transaction up, and the act went on regardless")
            raw.execute("commit")
        except BaseException:
            if raw.in_transaction:
                raw.execute("rollback")
            raise
        finally:
            connection.end()


# -- On the threads ----------------------------------------------------------------------------------------------


def _open_writer(path: Path, max_pages: int | None) -> Database:
    with _mapped_errors(path, unreadable=True):
        _make_private(path)
        db = _database(sqlite3.connect(path, isolation_level=None))
        try:
            for pragma in _WRITER_PRAGMAS:
                db.execute(f"pragma {pragma}")
            if max_pages is not None:
                db.execute(f"pragma max_page_count = {int(max_pages)}")
            _migrate(db, path)
        except BaseException:
            db.close()
            raise
        return db


def _open_reader(path: Path) -> Database:
    with _mapped_errors(path, unreadable=True):
        return _database(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None))


def _database(raw: sqlite3.Connection) -> Database:
    # Plugins of sqlite-utils that happen to be installed have no business in our transactions.
    db = Database(raw, execute_plugins=False)
    for pragma in _SHARED_PRAGMAS:
        db.execute(f"pragma {pragma}")
    return db


def _close_writer(db: Database) -> None:
    try:
        db.execute("pragma analysis_limit = 400")  # or a long log would be read through
        db.execute("pragma optimize")
        db.execute("pragma wal_checkpoint(truncate)")
    except sqlite3.Error as error:  # a full disk; the log is read again at the next start, so nothing is lost
        logger.warning("The database could not be tidied up while closing: %s", error)
    finally:
        db.close()


def _make_private(path: Path) -> None:
    """Make the file before SQLite does, for its owner alone; SQLite gives -wal and -shm the same mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)


def _migrate(db: Database, path: Path) -> None:
    for applied in MIGRATIONS.applied(db):
        if applied.name not in STEPS:
            raise StorageNewer(str(path), applied.name)
    MIGRATIONS.apply(db)


def _install_id(db: Database) -> str:
    db.execute(
        "insert into meta (key, value) values ('install_id', :id) on conflict (key) do nothing",
        {"id": secrets.token_hex(8)},
    )
    return str(db.execute("select value from meta where key = 'install_id'").fetchone()[0])


# -- Errors ------------------------------------------------------------------------------------------------------


@contextmanager
def _mapped_errors(path: Path, *, unreadable: bool = False) -> Iterator[None]:
    """SQLite's word for a full disk becomes StorageFull; with `unreadable`, its other failures StorageUnreadable."""
    try:
        yield
    except (sqlite3.DatabaseError, OSError) as error:
        if _is_full(error, path):
            raise StorageFull(str(path.parent)) from error
        if unreadable:
            raise StorageUnreadable(str(path), str(error)) from error
        raise


def _is_full(error: sqlite3.DatabaseError | OSError, path: Path) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    code = getattr(error, "sqlite_errorcode", 0)
    if code == sqlite3.SQLITE_FULL:
        return True
    # Where the log's index cannot grow, SQLite speaks of an input/output error only.
    return code & 0xFF == sqlite3.SQLITE_IOERR and shutil.disk_usage(path.parent).free < 1024 * 1024
