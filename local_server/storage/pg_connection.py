"""One transaction of PostgreSQL, as storage/sql/connection.py wants it."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.types.string import StrDumperUnknown

from local_server.storage.dialect import PostgresDialect
from local_server.storage.pg_days import drop_days
from local_server.storage.sql.connection import Params, Row

# A string, a cast, a `:name`, or what the driver would take for the beginning of a placeholder.
_TOKEN = re.compile(r"'[^']*'|::|:([a-z_][a-z0-9_]*)|%")


@lru_cache(maxsize=2048)
def translated(sql: str) -> bytes:
    """With `:names` as the driver writes them: `%(names)s`."""
    return _TOKEN.sub(lambda found: f"%({found[1]})s" if found[1] else found[0].replace("%", "%%"), sql).encode()


class TextDumper(StrDumperUnknown):
    """Text with what no column can hold is sent with U+FFFD in its place, and then matches nothing: a hostile id in a
    request is an unknown one, not an error of the database."""

    def dump(self, obj: str) -> Any:
        if not obj.isascii() or "\0" in obj:
            return obj.replace("\0", "\ufffd").encode("utf-8", "replace")
        return obj.encode("ascii")


class PostgresConnection:
    """A connection with an open transaction; nothing goes through it after `end`."""

    dialect = PostgresDialect()

    def __init__(self, raw: psycopg.Connection[dict[str, Any]], *, writes: bool) -> None:
        self._raw = raw
        self._writes = writes
        self._over = False

    def end(self) -> None:
        """Nothing goes through from now on, whoever still holds the transaction's stores."""
        self._over = True

    @property
    def is_open(self) -> bool:
        """False also after a statement failed, whether or not somebody caught the error and went on."""
        return not self._over and self._raw.info.transaction_status is TransactionStatus.INTRANS

    def execute(self, sql: str, params: Params) -> Sequence[Row]:
        # How to look for words depends on which they are: a plan that was made for any would be a bad one for most.
        prepare = False if "tsquery" in sql else None
        cursor = self._begun().execute(translated(sql), params, prepare=prepare)
        return cursor.fetchall() if cursor.description else []

    def change(self, sql: str, params: Params) -> int:
        return self._begun().execute(translated(sql), params).rowcount

    def insert_many(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        values = ", ".join(["%s"] * len(columns))
        names = ", ".join(columns)
        sql = f"insert into {table} ({names}) values ({values}) on conflict do nothing"  # noqa: S608 -- names of ours
        with self._begun().cursor() as cursor:
            cursor.executemany(sql.encode(), rows)

    def change_many(self, sql: str, params: Iterable[Params]) -> None:
        with self._begun().cursor() as cursor:
            cursor.executemany(translated(sql), params)

    def go_by_indices(self) -> None:
        self._begun().execute("set local enable_seqscan = off")

    def locking(self, table: str) -> str:
        # Not `for update`: a row that others refer to, and whose key stays, does not keep them from referring to it.
        return f" for no key update of {table}" if self._writes else ""

    def alone(self, name: str) -> None:
        self.execute("select pg_advisory_xact_lock(hashtextextended(:name, 0))", {"name": name})

    def beside(self, name: str) -> None:
        self.execute("select pg_advisory_xact_lock_shared(hashtextextended(:name, 0))", {"name": name})

    def drop_days(self, table: str, before: datetime) -> int:
        return drop_days(self._begun(), table, before)

    def _begun(self) -> psycopg.Connection[dict[str, Any]]:
        if not self.is_open:
            raise RuntimeError("This transaction is over; nothing more can be done in it")
        return self._raw
