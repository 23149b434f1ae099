"""Who may publish, in SQL: signing keys and access tokens."""

from collections.abc import Sequence
from datetime import datetime

from local_server.domain.access_tokens import AccessToken, TokenId
from local_server.domain.ids import UserId
from local_server.domain.signatures import SignerId, SigningKey
from local_server.storage.sql.connection import Connection, Params
from local_server.storage.sql.publishing_rows import signing_key_from, signing_key_row, token_from, token_row
from local_server.storage.sql.rows import storable

_KEY = "select user_id, id, name, public_key, created_at, revoked_at, token_id from signing_keys"

_ADD_KEY = """
    insert into signing_keys (user_id, id, name, public_key, created_at, revoked_at, token_id)
    values (:user_id, :id, :name, :public_key, :created_at, :revoked_at, :token_id)
    on conflict (user_id, id) do nothing
"""

_ACCESS = """
    select id, user_id, name, prefix, digest, scope, created_at, expires_at, revoked_at, last_used_at
    from access_tokens
"""

_ADD_ACCESS = """
    insert into access_tokens (id, user_id, name, prefix, digest, scope, created_at, expires_at, revoked_at,
                               last_used_at)
    values (:id, :user_id, :name, :prefix, :digest, :scope, :created_at, :expires_at, :revoked_at, :last_used_at)
"""

_USED = """
    update access_tokens set last_used_at = :at where id = :id and (last_used_at is null or last_used_at < :at)
"""


class SqlSigningKeysReader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect

    def get(self, user_id: UserId, signer: SignerId) -> SigningKey | None:
        params = {"user_id": user_id, "id": storable(signer)}
        found = self._many("where user_id = :user_id and id = :id", params)
        return found[0] if found else None

    def of_user(self, user_id: UserId, token_id: TokenId | None = None, limit: int = 200) -> Sequence[SigningKey]:
        which = "token_id is null" if token_id is None else "token_id = :token_id"
        params = {"user_id": user_id, "limit": limit} | ({} if token_id is None else {"token_id": token_id})
        return self._many(
            f"where user_id = :user_id and {which} order by created_at desc, id desc limit :limit", params
        )

    def _many(self, rest: str, params: Params) -> Sequence[SigningKey]:
        rows = self._connection.execute(f"{_KEY} {rest}", params)
        return [signing_key_from(self._dialect, row) for row in rows]


class SqlSigningKeysStore(SqlSigningKeysReader):
    def add(self, key: SigningKey) -> None:
        self._connection.change(_ADD_KEY, signing_key_row(self._dialect, key))

    def revoke(self, user_id: UserId, signer: SignerId, at: datetime) -> None:
        self._connection.change(
            "update signing_keys set revoked_at = :at where user_id = :user_id and id = :id and revoked_at is null",
            {"user_id": user_id, "id": storable(signer), "at": self._dialect.time(at)},
        )


class SqlAccessTokensReader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect

    def get(self, token_id: TokenId) -> AccessToken | None:
        found = self._many("where id = :id", {"id": storable(token_id)})
        return found[0] if found else None

    def by_digest(self, digest: bytes) -> AccessToken | None:
        found = self._many("where digest = :digest", {"digest": digest})
        return found[0] if found else None

    def of_user(self, user_id: UserId) -> Sequence[AccessToken]:
        return self._many("where user_id = :user_id order by created_at desc, id desc", {"user_id": user_id})

    def _many(self, rest: str, params: Params) -> Sequence[AccessToken]:
        rows = self._connection.execute(f"{_ACCESS} {rest}", params)
        return [token_from(self._dialect, row) for row in rows]


class SqlAccessTokensStore(SqlAccessTokensReader):
    def add(self, token: AccessToken) -> None:
        self._connection.change(_ADD_ACCESS, token_row(self._dialect, token))

    def revoke(self, token_id: TokenId, at: datetime) -> None:
        self._connection.change(
            "update access_tokens set revoked_at = :at where id = :id and revoked_at is null",
            {"id": token_id, "at": self._dialect.time(at)},
        )

    def used(self, token_id: TokenId, at: datetime) -> None:
        self._connection.change(_USED, {"id": token_id, "at": self._dialect.time(at)})
