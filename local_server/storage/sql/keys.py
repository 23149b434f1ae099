"""API keys in SQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from local_server.domain.ids import ApiId, KeyId, UserId
from local_server.domain.keys import ApiKey
from local_server.domain.quotas import Quota
from local_server.storage.sql.account_rows import key_from, key_row
from local_server.storage.sql.connection import Connection, Row
from local_server.storage.sql.rows import storable

_COLUMNS = """id, api_id, user_id, name, digest, prefix, scopes, cidrs, rate_requests, rate_window_s, created_at,
              expires_at, revoked_at, grace_until, replaced_by, last_used_at, quota_requests, quota_interval,
              quota_overage, quota_subject, plan"""

_SELECT = f"select {_COLUMNS} from api_keys "  # noqa: S608 -- a constant

_ADD = f"""
    insert into api_keys ({_COLUMNS})
    values (:id, :api_id, :user_id, :name, :digest, :prefix, :scopes, :cidrs, :rate_requests, :rate_window_s,
            :created_at, :expires_at, :revoked_at, :grace_until, :replaced_by, :last_used_at, :quota_requests,
            :quota_interval, :quota_overage, :quota_subject, :plan)
"""  # noqa: S608 -- put together from constants only

_REPLACE = """
    update api_keys set replaced_by = :replaced_by, grace_until = :grace_until where id = :id
"""

_FOLLOW = """
    update api_keys
    set quota_requests = :requests, quota_interval = :interval, quota_overage = :overage, plan = :plan,
        expires_at = :expires_at
    where quota_subject = :subject
    returning id
"""

_USED = """
    update api_keys set last_used_at = :at where id = :id and (last_used_at is null or last_used_at < :at)
"""


class SqlKeysReader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect

    def get(self, key_id: KeyId, owner: UserId | None = None) -> ApiKey | None:
        params = {"id": storable(key_id), "owner": owner}
        locking = self._connection.locking("api_keys")
        found = self._many(f"where id = :id and user_id = coalesce(:owner, user_id){locking}", params)
        return found[0] if found else None

    def of_api(self, api_id: ApiId) -> Sequence[ApiKey]:
        return self._many("where api_id = :api_id order by created_at desc, id desc", {"api_id": api_id})

    def of_user(self, user_id: UserId) -> Sequence[ApiKey]:
        return self._many("where user_id = :user_id order by created_at desc, id desc", {"user_id": user_id})

    def of_subject(self, api_id: ApiId, subject: str) -> Sequence[ApiKey]:
        rest = "where api_id = :api_id and quota_subject = :subject order by created_at desc, id desc"
        return self._many(rest, {"api_id": api_id, "subject": subject})

    def all(self) -> Sequence[ApiKey]:
        return self._many("order by id", {})

    def _many(self, rest: str, params: Row) -> Sequence[ApiKey]:
        return [key_from(self._dialect, row) for row in self._connection.execute(_SELECT + rest, params)]


class SqlKeysStore(SqlKeysReader):
    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.changed: set[KeyId] = set()

    def add(self, key: ApiKey) -> None:
        self.changed.add(key.id)
        self._connection.execute(_ADD, key_row(self._dialect, key))

    def replace(self, key_id: KeyId, by: ApiKey, grace_until: datetime) -> None:
        self.add(by)
        self.changed.add(key_id)
        self._connection.execute(
            _REPLACE, {"id": key_id, "replaced_by": by.id, "grace_until": self._dialect.time(grace_until)}
        )

    def revoke(self, key_id: KeyId, at: datetime) -> None:
        self.changed.add(key_id)
        self._connection.execute(
            "update api_keys set revoked_at = :at where id = :id and revoked_at is null",
            {"id": key_id, "at": self._dialect.time(at)},
        )

    def follow(self, subject: str, quota: Quota | None, plan: str | None, expires_at: datetime | None) -> None:
        params = {
            "subject": subject,
            "requests": quota.requests if quota else None,
            "interval": quota.interval if quota else None,
            "overage": quota.overage if quota else None,
            "plan": plan,
            "expires_at": None if expires_at is None else self._dialect.time(expires_at),
        }
        self.changed.update(KeyId(row["id"]) for row in self._connection.execute(_FOLLOW, params))

    def used(self, times: Mapping[KeyId, datetime]) -> None:
        # In one order everywhere, so that two servers that write at once never wait for each other in a ring.
        self._connection.change_many(
            _USED, [{"id": key_id, "at": self._dialect.time(times[key_id])} for key_id in sorted(times)]
        )
