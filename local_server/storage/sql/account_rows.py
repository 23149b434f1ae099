"""Accounts, keys and audit entries as rows, and rows as them."""

from datetime import datetime
from typing import Any

from local_server.domain.accounts import Account, AccountStatus, AuditEntry, Role
from local_server.domain.ids import ApiId, KeyId, UserId
from local_server.domain.keys import ApiKey, Scope
from local_server.domain.manifest import RateLimit
from local_server.domain.quotas import Quota
from local_server.storage.dialect import Dialect
from local_server.storage.sql.connection import Row
from local_server.storage.sql.rows import storable


def account_row(dialect: Dialect, account: Account) -> Row:
    return {
        "id": account.id,
        "handle": account.handle,
        "email": None if account.email is None else storable(account.email),
        "password_hash": account.password_hash,
        "role": account.role,
        "token_version": account.token_version,
        "status": account.status,
        "created_at": dialect.time(account.created_at),
    }


def account_from(dialect: Dialect, row: Row) -> Account:
    return Account(
        id=UserId(row["id"]),
        handle=row["handle"],
        email=row["email"],
        password_hash=row["password_hash"],
        role=Role(row["role"]),
        token_version=row["token_version"],
        status=AccountStatus(row["status"]),
        created_at=dialect.moment(row["created_at"]),
    )


def audit_row(dialect: Dialect, entry: AuditEntry) -> Row:
    return {
        "id": entry.id,
        "at": dialect.time(entry.at),
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "address": storable(entry.address),
        "detail": storable(entry.detail),
    }


def audit_from(dialect: Dialect, row: Row) -> AuditEntry:
    return AuditEntry(
        id=row["id"],
        at=dialect.moment(row["at"]),
        actor=None if row["actor"] is None else UserId(row["actor"]),
        action=row["action"],
        subject=row["subject"],
        address=row["address"],
        detail=row["detail"],
    )


def key_row(dialect: Dialect, key: ApiKey) -> Row:
    limit, quota = key.rate_limit, key.quota
    return {
        "id": key.id,
        "api_id": key.api_id,
        "user_id": key.user_id,
        "name": storable(key.name),
        # As text: a digest is compared and looked up, and reads the same in every database.
        "digest": key.digest.hex(),
        "prefix": key.prefix,
        "scopes": " ".join(key.scopes),
        "cidrs": " ".join(key.cidrs),
        "rate_requests": limit.requests if limit else None,
        "rate_window_s": limit.window_s if limit else None,
        "created_at": dialect.time(key.created_at),
        "expires_at": _time(dialect, key.expires_at),
        "revoked_at": _time(dialect, key.revoked_at),
        "grace_until": _time(dialect, key.grace_until),
        "replaced_by": key.replaced_by,
        "last_used_at": _time(dialect, key.last_used_at),
        "quota_requests": quota.requests if quota else None,
        "quota_interval": quota.interval if quota else None,
        "quota_overage": quota.overage if quota else None,
        "quota_subject": None if key.quota_subject is None else storable(key.quota_subject),
        "plan": key.plan,
    }


def key_from(dialect: Dialect, row: Row) -> ApiKey:
    requests, quota = row["rate_requests"], row["quota_requests"]
    return ApiKey(
        id=KeyId(row["id"]),
        api_id=ApiId(row["api_id"]),
        user_id=UserId(row["user_id"]),
        name=row["name"],
        digest=bytes.fromhex(row["digest"]),
        prefix=row["prefix"],
        scopes=tuple(Scope(scope) for scope in row["scopes"].split()),
        cidrs=tuple(row["cidrs"].split()),
        rate_limit=None if requests is None else RateLimit(requests, row["rate_window_s"]),
        created_at=dialect.moment(row["created_at"]),
        expires_at=_moment(dialect, row["expires_at"]),
        revoked_at=_moment(dialect, row["revoked_at"]),
        grace_until=_moment(dialect, row["grace_until"]),
        replaced_by=None if row["replaced_by"] is None else KeyId(row["replaced_by"]),
        last_used_at=_moment(dialect, row["last_used_at"]),
        quota=None if quota is None else Quota(quota, row["quota_interval"], row["quota_overage"]),
        quota_subject=row["quota_subject"],
        plan=row["plan"],
    )


def _time(dialect: Dialect, at: datetime | None) -> Any:
    return None if at is None else dialect.time(at)


def _moment(dialect: Dialect, value: Any) -> datetime | None:
    return None if value is None else dialect.moment(value)
