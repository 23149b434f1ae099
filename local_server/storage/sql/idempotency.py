"""Requests that count once, in SQL. The row is claimed and settled in the transaction of the effect itself, so that
neither is ever there without the other."""

from datetime import datetime

from local_server.domain.idempotency import KEPT_FOR, Outcome
from local_server.domain.ids import UserId
from local_server.domain.market_errors import IdempotencyKeyReused
from local_server.storage.sql.connection import Connection

# Who claims the same key at the same time waits for the first one's commit.
_CLAIM = """
    insert into idempotency (account_id, key, request_hash, expires_at)
    values (:account_id, :key, :request_hash, :expires_at)
    on conflict (account_id, key) do nothing
"""


class SqlIdempotencyStore:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect

    def claim(self, account: UserId, key: str, request_hash: str, now: datetime) -> Outcome | None:
        params = {"account_id": account, "key": key}
        self._connection.change(
            "delete from idempotency where account_id = :account_id and key = :key and expires_at <= :now",
            {**params, "now": self._dialect.time(now)},
        )
        claimed = {**params, "request_hash": request_hash, "expires_at": self._dialect.time(now + KEPT_FOR)}
        if self._connection.change(_CLAIM, claimed) == 1:
            return None
        (row,) = self._connection.execute(
            "select request_hash, status, response from idempotency where account_id = :account_id and key = :key",
            params,
        )
        if row["request_hash"] != request_hash:
            raise IdempotencyKeyReused(key)
        return Outcome(row["status"], self._dialect.parsed(row["response"]))

    def settle(self, account: UserId, key: str, outcome: Outcome) -> None:
        self._connection.change(
            "update idempotency set status = :status, response = :response "
            "where account_id = :account_id and key = :key",
            {
                "account_id": account,
                "key": key,
                "status": outcome.status,
                "response": self._dialect.json(dict(outcome.response)),
            },
        )

    def prune(self, before: datetime) -> int:
        return self._connection.change(
            "delete from idempotency where expires_at <= :before", {"before": self._dialect.time(before)}
        )
