"""Accounts that log in, API keys, and the log of what was done to both."""

from sqlite_utils import Database

# A user without a password_hash cannot log in: the machine's owner, who has the local token instead.
_ACCOUNTS_AND_KEYS = """
alter table users add column password_hash text;
alter table users add column role text not null default 'developer' check (role in ('developer', 'consumer'));
alter table users add column token_version integer not null default 0;
alter table users add column status text not null default 'active' check (status in ('active', 'suspended'));

create table api_keys (
    id text not null primary key,
    api_id text not null references apis (id) on delete cascade,
    user_id text not null references users (id),
    name text not null,
    digest text not null unique check (length(digest) = 64),
    prefix text not null,
    scopes text not null,
    cidrs text not null,
    rate_requests integer,
    rate_window_s integer,
    created_at text not null,
    expires_at text,
    revoked_at text,
    grace_until text,
    replaced_by text,
    last_used_at text
) strict, without rowid;
create index idx_api_keys_api_id on api_keys (api_id);

-- No foreign keys: what was done stays known when what it was done to is gone.
create table audit (
    id text not null primary key,
    at text not null,
    actor text,
    action text not null,
    subject text not null,
    address text not null,
    detail text not null
) strict, without rowid;
create index idx_audit_at on audit (at desc, id desc);
"""


def accounts_and_keys(db: Database) -> None:
    db.executescript(_ACCOUNTS_AND_KEYS)
