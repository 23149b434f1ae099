"""Storage in PostgreSQL: a thread for each connection of a pool, some to write and some to read.

Writes run beside each other, in READ COMMITTED: what is read to be written back is locked (`Connection.locking`), what
counts is moved by one statement, and what must be unique is an index. Where two of them get into each other's way
nevertheless, one is rolled back by the database and its act run again, which is why an act does nothing but through its
transaction.
"""

import asyncio
import logging
import random
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import psycopg
from psycopg import errors

from local_server.domain.events import Event
from local_server.domain.storage_errors import StorageNewer, StorageUnavailable, StorageUncertain
from local_server.storage.base import ReadTx, Tx
from local_server.storage.migrations.postgres import migrate
from local_server.storage.pg_connection import PostgresConnection
from local_server.storage.pg_days import make_days
from local_server.storage.pg_link import ConnectionLost, PostgresLink, Raw, connect, later
from local_server.storage.sql.transactions import SqlReadTx, SqlTx
from local_server.storage.threads import Workers

logger = logging.getLogger(__name__)

T = TypeVar("T")
WRITERS, READERS = 4, 4

ATTEMPTS = 6
"""At one act that others keep getting into the way of; the fifth repetition waits up to a third of a second."""
LOST_S = 5.0
"""How long an act is tried again on new connections: a server that restarts is back by then."""
OUTCOME_S = 20.0
"""How long we ask what became of a commit. Whoever waits for the act waits too."""

# A row that was not there when the act looked, and is by now: run again, the act sees it and refuses in its own words.
_RACES = (
    errors.DeadlockDetected, errors.SerializationFailure, errors.UniqueViolation, errors.ExclusionViolation,
    errors.ForeignKeyViolation,
)  # fmt: skip

Tell = Callable[[Event], tuple[str, str] | None]
"""An event -> (channel, payload) by which other servers of the same database learn of it; None: it is nobody else's."""


class PostgresStorage:
    """See storage/base.py. Open with `await PostgresStorage.open(...)`; use on one event loop."""

    def __init__(self, link: PostgresLink, publish: Callable[[Event], None], tell: Tell) -> None:
        self._link = link
        self._publish = publish
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._writers: Workers[None] | None = None
        self._readers: Workers[None] | None = None
        self._in_order = threading.Lock()
        """Held from a commit until its events are on their way, so that they arrive in the order of the commits."""
        self._version = 0
        self._install_id = ""
        self._closing: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, conninfo: str, publish: Callable[[Event], None], *, tell: Tell = lambda event: None
    ) -> "PostgresStorage":
        """Connect, and bring the database up to date as needed; servers that start at once do it once. `publish` takes
        each event on the event loop, after its commit; `tell` says what others are told within it.

        Raises StorageUnavailable, StorageUnreadable, StorageNewer, StorageFull."""
        storage = cls(PostgresLink(conninfo, WRITERS + READERS), publish, tell)
        try:
            await asyncio.to_thread(storage._link.open, storage._prepare)
        except BaseException:
            await asyncio.to_thread(storage._link.close)
            raise
        storage._writers = _workers("storage-writer", WRITERS)
        storage._readers = _workers("storage-reader", READERS)
        return storage

    @property
    def description(self) -> str:
        return f"postgresql {self._version // 10000}.{self._version % 10000}"

    @property
    def install_id(self) -> str:
        return self._install_id

    async def write(self, act: Callable[[Tx], T], *, lasting: bool = False) -> T:
        """Lasts in any case. Also raises StorageUnavailable when the database is gone for longer than it takes to
        restart, and StorageUncertain when it went in the moment of the commit and did not come back."""
        assert self._writers is not None
        return await self._writers.run(lambda _: self._until_done(lambda: self._transact(act)))

    async def read(self, question: Callable[[ReadTx], T]) -> T:
        assert self._readers is not None
        return await self._readers.run(lambda _: self._until_done(lambda: self._answer(question)))

    async def keep_house(self, now: datetime) -> None:
        assert self._writers is not None
        await self._writers.run(lambda _: self._until_done(lambda: self._make_days(now)))

    async def close(self) -> None:
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="storage-close")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        for workers in (self._readers, self._writers):
            if workers is not None:
                await workers.stop()
        await asyncio.to_thread(self._link.close)

    # -- On the threads ----------------------------------------------------------------------------------------

    def _prepare(self, raw: Raw) -> None:
        self._version = raw.info.server_version
        if (unknown := migrate(raw)) is not None:
            raise StorageNewer(f"The database at {self._link.place}", unknown)
        raw.execute(
            "insert into meta (key, value) values ('install_id', %s) on conflict (key) do nothing",
            [secrets.token_hex(8)],
        )
        (row,) = raw.execute("select value from meta where key = 'install_id'").fetchall()
        self._install_id = row["value"]
        make_days(raw, datetime.now(UTC).date())

    def _make_days(self, now: datetime) -> None:
        with self._link.connection() as raw:
            raw.execute(_FORGET)
            if made := make_days(raw, now.date()):
                logger.info("made %d days ahead", made)

    def _until_done(self, attempt: Callable[[], T]) -> T:
        """Run `attempt` again when others were in its way, or its connection was lost. Neither left anything behind."""
        deadline = time.monotonic() + LOST_S
        tried = 0
        while True:
            try:
                return attempt()
            except _RACES as error:
                tried += 1
                if tried == ATTEMPTS and isinstance(error, psycopg.OperationalError):
                    raise StorageUnavailable(self._link.place, "others keep changing the same rows") from error
                if tried == ATTEMPTS:
                    raise
                logger.info("an act met another one (%s) and is run again", type(error).__name__)
                time.sleep(random.uniform(0, 0.01 * 2**tried))  # noqa: S311 -- keeps two from meeting again
            except ConnectionLost as error:
                self._link.look_over()
                if not later(deadline, 0.1):
                    raise StorageUnavailable(self._link.place, str(error)) from error

    def _transact(self, act: Callable[[Tx], T]) -> T:
        with self._link.connection() as raw:
            connection = PostgresConnection(raw, writes=True)
            try:
                raw.execute("begin isolation level read committed read write")
                tx = SqlTx(connection)
                result = act(tx)
                if not connection.is_open:
                    raise RuntimeError("The database gave the transaction up, and the act went on regardless")
                self._commit(raw, tx.events)
                return result
            finally:
                connection.end()

    def _answer(self, question: Callable[[ReadTx], T]) -> T:
        with self._link.connection() as raw:
            connection = PostgresConnection(raw, writes=False)
            try:
                raw.execute("begin isolation level repeatable read read only")
                return question(SqlReadTx(connection))
            finally:
                connection.end()

    def _commit(self, raw: Raw, events: Sequence[Event]) -> None:
        for event in events:
            if (told := self._tell(event)) is not None:
                raw.execute("select pg_notify(%s, %s)", told)
        written = _mark(raw)
        if not events:
            self._commit_for_sure(raw, written)
            return
        with self._in_order:
            self._commit_for_sure(raw, written)
            try:
                self._loop.call_soon_threadsafe(self._announce, tuple(events))
            except RuntimeError:
                logger.warning("The event loop closed before %d events of a commit were published", len(events))

    def _commit_for_sure(self, raw: Raw, written: "_Written | None") -> None:
        """A connection that breaks before its COMMIT is sent leaves nothing behind. One that breaks after that does not
        say what became of it; the database knows, once it is back. Raises ConnectionLost where nothing was kept."""
        try:
            raw.execute("commit")
        except psycopg.OperationalError as error:
            if not raw.broken:
                raise
            if written is None or not self._was_committed(written):
                raise ConnectionLost(str(error).strip()) from error

    def _was_committed(self, written: "_Written") -> bool:
        """Raises StorageUncertain."""
        deadline = time.monotonic() + OUTCOME_S
        while True:
            with suppress(psycopg.Error), connect(self._link.conninfo) as raw:
                if not _under_way(raw, written.transaction):
                    return raw.execute(_KEPT, [written.mark]).fetchone() is not None
            if not later(deadline, 0.2):
                raise StorageUncertain(self._link.place)

    def _announce(self, events: Sequence[Event]) -> None:
        for event in events:
            try:
                self._publish(event)
            except Exception:  # the change is committed: a listener's fault must not look like a failed write
                logger.exception("Publishing %r failed", type(event).__name__)


class _Written(NamedTuple):
    """How a transaction that wrote something is known again."""

    transaction: str
    mark: str
    """Its row in `apimarket_outcomes`. The number of the transaction does not tell what became of it: one whose writing
    did not reach the disk before a crash is given to another transaction afterwards, and that may well be committed."""


_MARK = """
    insert into apimarket_outcomes (id) select %s where pg_current_xact_id_if_assigned() is not null
    returning cast(pg_current_xact_id() as text) as id
"""
_KEPT = "select 1 from apimarket_outcomes where id = %s"
_FORGET = "delete from apimarket_outcomes where at < now() - interval '1 hour'"


def _mark(raw: Raw) -> _Written | None:
    """None where nothing was written."""
    mark = secrets.token_hex(12)
    row = raw.execute(_MARK, [mark]).fetchone()
    return _Written(row["id"], mark) if row else None


def _under_way(raw: Raw, transaction: str) -> bool:
    try:
        row = raw.execute("select pg_xact_status(cast(%s as xid8)) as status", [transaction]).fetchone()
    except errors.InvalidParameterValue:
        return False  # a crash took it, number and all
    return row is not None and row["status"] == "in progress"


def _workers(name: str, count: int) -> Workers[None]:
    """Each job takes a connection of the pool, and there are as many as threads."""
    return Workers(name, count, lambda: None, _nothing_to_close)


def _nothing_to_close(nothing: Any) -> None:
    """The pool closes its connections itself."""
