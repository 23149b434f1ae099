"""Users in SQL."""

from collections.abc import Sequence

from local_server.domain.errors import HandleTaken
from local_server.domain.registry import User
from local_server.storage.sql.connection import Connection
from local_server.storage.sql.rows import storable, user_from, user_row


class SqlAccountsReader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect

    def by_handle(self, handle: str) -> User | None:
        rows = self._connection.execute(
            "select id, handle, created_at from users where handle = :handle", {"handle": storable(handle)}
        )
        return user_from(self._dialect, rows[0]) if rows else None

    def all(self) -> Sequence[User]:
        rows = self._connection.execute("select id, handle, created_at from users order by created_at, id", {})
        return [user_from(self._dialect, row) for row in rows]


class SqlAccountsStore(SqlAccountsReader):
    def add(self, user: User) -> None:
        if self.by_handle(user.handle) is not None:
            raise HandleTaken(user.handle)
        self._connection.execute(
            "insert into users (id, handle, created_at) values (:id, :handle, :created_at)",
            user_row(self._dialect, user),
        )
