"""Users in SQL, and the log of what was done to accounts and keys."""

from collections.abc import Sequence

from local_server.domain.account_errors import EmailTaken
from local_server.domain.accounts import Account, AuditEntry, folded_email
from local_server.domain.ids import UserId
from local_server.domain.registry import User
from local_server.domain.registry_errors import HandleTaken
from local_server.storage.sql.account_rows import account_from, account_row, audit_from, audit_row
from local_server.storage.sql.connection import Connection, Row
from local_server.storage.sql.rows import storable, user_from, user_row

_ACCOUNT = """
    select id, handle, email, password_hash, role, token_version, status, created_at from users
"""

_INSERT = """
    insert into users (id, handle, email, password_hash, role, token_version, status, created_at)
    values (:id, :handle, :email, :password_hash, :role, :token_version, :status, :created_at)
"""

_CLAIM = """
    update users set email = :email, password_hash = :password_hash
    where id = :id and password_hash is null
    returning id
"""


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

    def account(self, user_id: UserId) -> Account | None:
        return self._account("where id = :id", {"id": storable(user_id)})

    def account_by_login(self, login: str) -> Account | None:
        # No handle has an @ in it, so the two never mean different accounts.
        if "@" in login:
            return self._account("where lower(email) = :login", {"login": storable(folded_email(login))})
        return self._account("where handle = :login", {"login": storable(login)})

    def _account(self, rest: str, params: Row) -> Account | None:
        rows = self._connection.execute(_ACCOUNT + rest + self._connection.locking("users"), params)
        return account_from(self._dialect, rows[0]) if rows else None


class SqlAccountsStore(SqlAccountsReader):
    def add(self, user: User) -> None:
        if self.by_handle(user.handle) is not None:
            raise HandleTaken(user.handle)
        self._connection.execute(
            "insert into users (id, handle, created_at) values (:id, :handle, :created_at)",
            user_row(self._dialect, user),
        )

    def add_account(self, account: Account) -> None:
        if self.by_handle(account.handle) is not None:
            raise HandleTaken(account.handle)
        self._refuse_email(account)
        self._connection.execute(_INSERT, account_row(self._dialect, account))

    def claim(self, account: Account) -> bool:
        self._refuse_email(account)
        row = account_row(self._dialect, account)
        wanted = {name: row[name] for name in ("id", "email", "password_hash")}
        return bool(self._connection.execute(_CLAIM, wanted))

    def end_sessions(self, user_id: UserId) -> None:
        self._connection.execute(
            "update users set token_version = token_version + 1 where id = :id", {"id": storable(user_id)}
        )

    def change_password(self, user_id: UserId, password_hash: str) -> None:
        self._connection.execute(
            "update users set password_hash = :hash, token_version = token_version + 1 where id = :id",
            {"id": storable(user_id), "hash": password_hash},
        )

    def _refuse_email(self, account: Account) -> None:
        if account.email is None:
            return
        there = self.account_by_login(account.email)
        if there is not None and there.id != account.id:
            raise EmailTaken(account.email)


class SqlAuditReader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect

    def latest(self, limit: int = 100) -> Sequence[AuditEntry]:
        rows = self._connection.execute(
            "select id, at, actor, action, subject, address, detail from audit order by at desc, id desc limit :limit",
            {"limit": max(limit, 0)},
        )
        return [audit_from(self._dialect, row) for row in rows]


class SqlAuditStore(SqlAuditReader):
    def add(self, entry: AuditEntry) -> None:
        self._connection.execute(
            "insert into audit (id, at, actor, action, subject, address, detail) "
            "values (:id, :at, :actor, :action, :subject, :address, :detail)",
            audit_row(self._dialect, entry),
        )
