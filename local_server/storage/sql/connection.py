"""The little that the SQL of the stores asks of a database driver."""

from collections.abc import Iterable, Mapping, Sequence
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
