"""The tables of PostgreSQL as COPY writes them, all out of one snapshot, and back in one transaction."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from graphlib import TopologicalSorter
from typing import IO

from psycopg.sql import SQL, Composed, Identifier

from local_server.backup.archive import Manifest, Writer
from local_server.domain.storage_errors import DatabaseNotEmpty, NothingToBackUp, StorageNewer
from local_server.in_common import BLOBS_NAME
from local_server.storage.migrations.postgres import STEPS, migrate
from local_server.storage.pg_link import PostgresLink, Raw, connect

_STEPS_TABLE = "apimarket_migrations"
_IN_MEMORY_BYTES = 16 * 1024 * 1024

# What a generated column holds is made again.
_COLUMNS = """
    select relname as table, array_agg(attname order by attnum) as columns
    from pg_attribute join pg_class on pg_class.oid = attrelid
    where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p') and not relispartition
      and attnum > 0 and not attisdropped and attgenerated = ''
    group by relname
"""
_REFERENCES = """
    select conrelid::regclass::text as table, confrelid::regclass::text as other from pg_constraint
    where contype = 'f' and conparentid = 0 and conrelid <> confrelid
"""


def dump(url: str, writer: Writer) -> tuple[tuple[str, ...], Mapping[str, tuple[str, ...]]]:
    """Returns the steps it has, and the columns of each table. Raises NothingToBackUp, StorageUnavailable."""
    link = PostgresLink(url, 1)
    with link.failures_named(), _snapshot(url) as raw:
        tables = _tables(raw)
        if _STEPS_TABLE not in tables:
            raise NothingToBackUp(link.place)
        steps = tuple(row["name"] for row in raw.execute("select name from apimarket_migrations order by name"))
        del tables[_STEPS_TABLE]
        for table, columns in tables.items():
            with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as spool:
                with raw.cursor().copy(_statement("copy (select {} from {}) to stdout", table, columns)) as copy:
                    for chunk in copy:
                        spool.write(chunk)
                size_bytes = spool.tell()
                spool.seek(0)
                writer.add(f"tables/{table}", spool, size_bytes)
    return steps, tables


class Load:
    """Puts tables back, in one transaction: `with Load(url, manifest) as load: load.table(name, content)`. In the order
    of `load.order`, since rows refer to each other."""

    def __init__(self, url: str, manifest: Manifest) -> None:
        self._url = url
        self._manifest = manifest
        self._link = PostgresLink(url, 1)

    @contextmanager
    def open(self) -> Iterator["Load"]:
        """Raises DatabaseNotEmpty, StorageNewer, StorageUnavailable."""
        for unknown in sorted(set(self._manifest.steps) - STEPS.keys()):
            raise StorageNewer("The backup", unknown)
        with self._link.failures_named(), connect(self._url) as raw, raw.transaction():
            raw.execute("set local statement_timeout = 0")
            if _tables(raw):
                raise DatabaseNotEmpty(self._link.place)
            migrate(raw, self._manifest.steps)
            self._raw = raw
            self.order = _order(raw, list(self._manifest.columns))
            yield self
            raw.execute("delete from meta where key = %s", [BLOBS_NAME])

    def table(self, table: str, content: IO[bytes]) -> None:
        columns = self._manifest.columns[table]
        # What triggers would add to other tables is in the backup of those.
        self._raw.execute(_statement("alter table {1} disable trigger user", table, ()))
        with self._raw.cursor().copy(_statement("copy {1} ({0}) from stdin", table, columns)) as copy:
            while chunk := content.read(256 * 1024):
                copy.write(chunk)
        self._raw.execute(_statement("alter table {1} enable trigger user", table, ()))


@contextmanager
def _snapshot(url: str) -> Iterator[Raw]:
    with connect(url) as raw:
        raw.execute("set statement_timeout = 0; set idle_in_transaction_session_timeout = 0")
        raw.execute("begin isolation level repeatable read read only")
        yield raw
        raw.execute("rollback")


def _tables(raw: Raw) -> dict[str, tuple[str, ...]]:
    return {row["table"]: tuple(row["columns"]) for row in raw.execute(_COLUMNS)}


def _order(raw: Raw, tables: Sequence[str]) -> Sequence[str]:
    sorter: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(tables, ()))
    for row in raw.execute(_REFERENCES):
        sorter.add(row["table"], row["other"])
    return [table for table in sorter.static_order() if table in tables]


def _statement(template: str, table: str, columns: Sequence[str]) -> Composed:
    return SQL(template).format(SQL(", ").join(map(Identifier, columns)), Identifier(table))
