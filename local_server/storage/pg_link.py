"""The way to a PostgreSQL server: a pool of connections, and what their failures mean."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from local_server.domain.storage_errors import StorageFull, StorageUnavailable, StorageUnreadable
from local_server.storage.pg_connection import TextDumper

logger = logging.getLogger(__name__)

Raw = psycopg.Connection[DictRow]

OLDEST = 150000
"""PostgreSQL 15, in the notation of `server_version`."""
WAIT_S = 5.0
"""For a connection: the server restarts, or others use all it has."""

# What a session of ours is like, whatever the database's own defaults are.
_SESSION = """
    set timezone = 'UTC';
    set client_encoding = 'UTF8';
    set lock_timeout = '10s';
    set statement_timeout = '60s';
    set idle_in_transaction_session_timeout = '60s';
    -- Disks have no heads to move any more; and of many short questions none is worth compiling, or two processors.
    set random_page_cost = 1.1;
    set jit = off;
    set max_parallel_workers_per_gather = 0;
"""

# Whoever pulls a cable is noticed after about a minute, not after the two hours that TCP takes by itself.
_CONNECT: Mapping[str, Any] = {
    "connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3,
}  # fmt: skip

_GONE = (errors.AdminShutdown, errors.CrashShutdown, errors.CannotConnectNow, errors.IdleSessionTimeout)
_BUSY = (
    errors.TooManyConnections, errors.ConfigurationLimitExceeded, errors.OutOfMemory, errors.LockNotAvailable,
    errors.QueryCanceled, errors.ReadOnlySqlTransaction, errors.IdleInTransactionSessionTimeout,
)  # fmt: skip


class ConnectionLost(Exception):
    """While work was under way; nothing of it was kept. Never leaves the storage."""


class PostgresLink:
    """Connections for threads. `conninfo` is a URL or key=value pairs, as libpq takes them."""

    def __init__(self, conninfo: str, size: int) -> None:
        self.conninfo = conninfo
        self.place = place_of(conninfo)
        self._pool: ConnectionPool[Raw] = ConnectionPool(
            conninfo,
            open=False,
            min_size=1,
            max_size=size,
            timeout=WAIT_S,
            # It tries ever more rarely; so that it notices soon that a server is back, the next request begins anew.
            reconnect_timeout=WAIT_S,
            configure=configure,
            kwargs={"autocommit": True, "row_factory": dict_row, **_CONNECT},
            name=f"apimarket-{id(self)}",
        )

    def open(self, prepare: Callable[[Raw], None]) -> None:
        """Run `prepare` on the first connection, and keep some ready from then on. Raises StorageUnavailable, which
        says why it cannot be reached, and StorageUnreadable where it is no database for us."""
        with self.failures_named(), connect(self.conninfo) as raw:
            self._refuse_unfit(raw)
            prepare(raw)
        self._pool.open()

    def close(self) -> None:
        """May be called twice."""
        self._pool.close()

    @contextmanager
    def connection(self) -> Iterator[Raw]:
        """One of the pool, given back whatever happened; with a transaction that is still open it is rolled back.
        Raises ConnectionLost, StorageUnavailable, StorageFull."""
        with self.failures_named(), self._pool.connection() as raw:
            try:
                yield raw
            except psycopg.OperationalError as error:
                if raw.broken or isinstance(error, _GONE):
                    raise ConnectionLost(str(error).strip()) from error
                raise
            finally:
                if not raw.closed and raw.info.transaction_status is not TransactionStatus.IDLE:
                    _roll_back(raw)

    def look_over(self) -> None:
        """After a connection was lost: replace the others that were lost with it, rather than stumble over each."""
        self._pool.check()

    @contextmanager
    def failures_named(self) -> Iterator[None]:
        """What a server that is gone, full or busy says, as errors that users may see."""
        try:
            yield
        except errors.DiskFull as error:
            raise StorageFull(f"the database at {self.place}") from error
        except _BUSY as error:
            raise StorageUnavailable(self.place, _said(error)) from error
        except PoolTimeout as error:
            raise StorageUnavailable(self.place, f"no connection within {WAIT_S:.0f} s") from error
        except PoolClosed as error:
            raise RuntimeError("The storage is closed") from error
        except (errors.DeadlockDetected, errors.SerializationFailure):
            raise  # whoever ran into another may try again
        except psycopg.OperationalError as error:
            raise StorageUnavailable(self.place, _said(error)) from error

    def _refuse_unfit(self, raw: Raw) -> None:
        version, encoding = raw.info.server_version, raw.info.parameter_status("server_encoding")
        if version < OLDEST:
            raise StorageUnreadable(self.place, f"it is PostgreSQL {version // 10000}, and must be 15 or newer")
        if encoding != "UTF8":
            raise StorageUnreadable(self.place, f"its encoding is {encoding}, and must be UTF8")


def connect(conninfo: str) -> Raw:
    """A connection outside of any pool."""
    raw = psycopg.connect(conninfo, autocommit=True, row_factory=dict_row, **_CONNECT)
    configure(raw)
    return raw


def configure(raw: psycopg.Connection[Any]) -> None:
    raw.execute(_SESSION)
    raw.adapters.register_dumper(str, TextDumper)


def place_of(conninfo: str) -> str:
    """Host, port and database, for people: never who logs in, nor with what. Raises StorageUnreadable."""
    try:
        parts = conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError as error:
        raise StorageUnreadable("the database's URL", str(error).strip()) from None
    host, port = parts.get("host") or "localhost", parts.get("port")
    where = f"{host}:{port}" if port else f"{host}"
    return f"{where}/{parts.get('dbname') or ''}"


def later(deadline: float, pause_s: float) -> bool:
    """Wait before another try; False where there is no time left for one."""
    if time.monotonic() + pause_s > deadline:
        return False
    time.sleep(pause_s)
    return True


def _said(error: psycopg.Error) -> str:
    return (error.diag.message_primary or str(error)).strip().splitlines()[0]


def _roll_back(raw: Raw) -> None:
    try:
        raw.execute("rollback")
    except psycopg.Error as error:
        logger.debug("a lost connection cannot be rolled back, and need not be: %s", error)
