"""The little that the SQL of the stores asks of a database driver."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from local_server.storage.dialect import Dialect

Row = Mapping[str, Any]
Params = Mapping[str, Any]
"""Values for the `:names` in a statement."""


class Connection(Protocol):
    """One open transaction. Raises the driver's own errors; whoever opened it maps them."""

    @property
    def dialect(self) -> Dialect: ...

    def execute(self, sql: str, params: Params) -> Sequence[Row]:
        """Run one statement; its rows, or none."""

    def change(self, sql: str, params: Params) -> int:
        """Run one statement that returns nothing; how many rows it changed."""

    def insert_many(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Add rows whose values stand in the order of `columns`, many in one statement; a row whose key is there
        already is left out."""

    def change_many(self, sql: str, params: Iterable[Params]) -> None:
        """Run one statement once for each of `params`, in order."""

    def go_by_indices(self) -> None:
        """Read no table through until this transaction ends, where an index will do: what a row costs that is unpacked
        to look into it, planners do not know."""

    # -- Where other transactions write at the same time. In SQLite none does. ----------------------------------

    def locking(self, table: str) -> str:
        """What a SELECT ends with so that its rows of `table` stay as they are read until this transaction ends. For
        whoever reads a row to write it back."""

    def alone(self, name: str) -> None:
        """Go on when no other transaction that asked for the same name is under way. For whoever acts upon rows that
        are not there yet, or upon more of them than can be locked one by one."""

    def beside(self, name: str) -> None:
        """Go on when no other transaction that asked to be `alone` with the name is under way; others that are beside
        each other may be. For whoever adds what those who are alone would take away."""

    def drop_days(self, table: str, before: datetime) -> int:
        """Drop whole days of a table that is kept in days, as far as they ended by then; how many rows went."""
