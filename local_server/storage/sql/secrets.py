"""Sealed secrets in SQL."""

from collections.abc import Sequence

from local_server.domain.api_secrets import SealedSecret
from local_server.domain.ids import ApiId
from local_server.storage.sql.connection import Connection, Params
from local_server.storage.sql.rows import storable

_PUT = """
    insert into secrets (api_id, name, sealed, updated_at) values (:api_id, :name, :sealed, :updated_at)
    on conflict (api_id, name) do update set sealed = excluded.sealed, updated_at = excluded.updated_at
"""


class SqlSecretsReader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect

    def of_api(self, api_id: ApiId) -> Sequence[SealedSecret]:
        return self._many("where api_id = :api_id order by name", {"api_id": storable(api_id)})

    def all(self) -> Sequence[SealedSecret]:
        return self._many("order by api_id, name", {})

    def _many(self, rest: str, params: Params) -> Sequence[SealedSecret]:
        rows = self._connection.execute(f"select api_id, name, sealed, updated_at from secrets {rest}", params)  # noqa: S608
        return [
            SealedSecret(
                ApiId(row["api_id"]), row["name"], bytes(row["sealed"]), self._dialect.moment(row["updated_at"])
            )
            for row in rows
        ]


class SqlSecretsStore(SqlSecretsReader):
    def put(self, secret: SealedSecret) -> None:
        row = {
            "api_id": secret.api_id,
            "name": secret.name,
            "sealed": secret.sealed,
            "updated_at": self._dialect.time(secret.updated_at),
        }
        self._connection.change(_PUT, row)

    def remove(self, api_id: ApiId, name: str) -> bool:
        params = {"api_id": api_id, "name": storable(name)}
        return self._connection.change("delete from secrets where api_id = :api_id and name = :name", params) > 0
