"""The tables in PostgreSQL, step by step, under the names the steps have in SQLite (sqlite.py).

The first three were written for SQLite alone, and stand here in the other's words; all later ones are templates for
both, with what differs behind them. A step that was released is never edited; another one follows it.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from psycopg import Connection

from local_server.storage import pg_words
from local_server.storage.migrations.clones import TABLES as CLONES
from local_server.storage.migrations.columns import POSTGRES
from local_server.storage.migrations.gateway_policy import GATEWAY_POLICY
from local_server.storage.migrations.listing_counts import TABLES as LISTING_COUNTS
from local_server.storage.migrations.listing_counts import TRIGGERS_POSTGRES
from local_server.storage.migrations.market_rest import INDEXED as COPIED
from local_server.storage.migrations.market_rest import TABLES as MARKET_REST
from local_server.storage.migrations.marketplace import INDEXED, MARKETPLACE
from local_server.storage.migrations.outbox import TABLES as OUTBOX
from local_server.storage.migrations.publishing import PUBLISHING
from local_server.storage.migrations.remote_versions import TABLES as REMOTE_VERSIONS
from local_server.storage.migrations.secrets import TABLES as SECRETS
from local_server.storage.migrations.upstreams import TABLES as UPSTREAMS
from local_server.storage.migrations.versions import IMMUTABLE_POSTGRES
from local_server.storage.migrations.versions import TABLES as VERSIONS

_LOCAL_REGISTRY = """
create table meta (
    key text not null primary key,
    value text not null
);

create table users (
    id text not null primary key,
    handle text not null unique,
    email text,
    created_at {time} not null
);
create unique index idx_users_email on users (lower(email));

create table apis (
    id text not null primary key,
    user_id text not null references users (id),
    slug text not null,
    directory text not null,
    visibility text not null check (visibility in ('private', 'unlisted', 'public')),
    status text not null check (status in ('draft', 'listed', 'maintenance', 'deprecated', 'removed')),
    category text not null,
    tags text not null,
    summary text not null,
    manifest {json} not null,
    revision integer not null,
    last_generation integer not null default 0,
    created_at {time} not null,
    updated_at {time} not null,
    words tsvector not null generated always as (
        setweight(apimarket_words(slug), 'A') || setweight(apimarket_words(tags), 'B')
        || setweight(apimarket_words(summary), 'C') || setweight(apimarket_words(category), 'D')) stored,
    unique (user_id, slug)
);
create index idx_apis_user_id on apis (user_id);
create index idx_apis_visibility on apis (visibility);
create unique index idx_apis_directory on apis (directory) where status <> 'removed';
create index idx_apis_words on apis using gin (words);

create table trees (
    digest text not null primary key,
    entries {json} not null,
    size_bytes {bigint} not null
);

create table generations (
    api_id text not null references apis (id) on delete cascade,
    number integer not null,
    tree text not null,
    deps_key text not null,
    outcome text not null,
    started_at {time} not null,
    timings_ms {json} not null,
    failure {json},
    primary key (api_id, number)
);
create index idx_generations_tree on generations (tree);

create table deployments (
    api_id text not null primary key references apis (id) on delete cascade,
    desired_state text not null check (desired_state in ('running', 'stopped')),
    state text not null,
    engine text not null,
    last_good integer,
    last_error text,
    updated_at {time} not null
);

-- By days (storage/pg_days.py); what belongs to none of them is not refused.
create table executions (
    id text not null,
    api_id text not null references apis (id) on delete cascade,
    generation integer not null,
    method text not null,
    path text not null,
    status integer not null,
    outcome text not null,
    started_at {time} not null,
    total_us {bigint} not null,
    upstream_us {bigint} not null,
    bytes_in {bigint} not null,
    bytes_out {bigint} not null,
    held {flag} not null,
    primary key (id, started_at)
) partition by range (started_at);
create index idx_executions_api_id on executions (api_id, started_at desc, id desc);
create table executions_rest partition of executions default;
"""

_USAGE_TABLE = """
create table {name} (
    api_id text not null references apis (id) on delete cascade,
    starts_at {time} not null,
    requests {bigint} not null,
    errors {bigint} not null,
    total_us {bigint} not null,
    bytes_in {bigint} not null,
    bytes_out {bigint} not null,
    outcomes {json} not null,
    statuses {json} not null,
    generations {json} not null,
    latencies {json} not null,
    primary key (api_id, starts_at)
);
"""
_USAGE_ROLLUPS = (
    "".join(_USAGE_TABLE.replace("{name}", name) for name in ("usage_minutes", "usage_hours", "usage"))
    + """
create index idx_executions_not_ok on executions (api_id, started_at desc, id desc, outcome, status)
where outcome <> 'ok';
"""
)

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
    rate_requests {bigint},
    rate_window_s {bigint},
    created_at {time} not null,
    expires_at {time},
    revoked_at {time},
    grace_until {time},
    replaced_by text,
    last_used_at {time}
);
create index idx_api_keys_api_id on api_keys (api_id);

create table audit (
    id text not null primary key,
    at {time} not null,
    actor text,
    action text not null,
    subject text not null,
    address text not null,
    detail text not null
);
create index idx_audit_at on audit (at desc, id desc);
"""


def _weight(column: str) -> str:
    return pg_words.TAGS if column == "tags" else "D"


def _words(table: str, columns: Sequence[str]) -> str:
    words = " || ".join(f"setweight(apimarket_words({name}), '{_weight(name)}')" for name in columns)
    return f"""
alter table {table} add column words tsvector not null generated always as ({words}) stored;
create index idx_{table}_words on {table} using gin (words);
"""


_IMMUTABLE_PLANS = """
create function apimarket_plans_are_immutable() returns trigger language plpgsql as $plans$
begin
    raise exception 'a plan never changes; other terms are its next version' using errcode = 'restrict_violation';
end
$plans$;
create trigger plans_are_immutable before update on plans for each row execute function apimarket_plans_are_immutable();
"""


# A path may be longer than an index of order can hold; one of hashes holds any.
_LONG_DIRECTORIES = """
drop index idx_apis_directory;
alter table apis add constraint idx_apis_directory exclude using hash (directory with =)
    where (status <> 'removed' and directory <> '');
"""


def _local_registry(connection: Connection[Any]) -> None:
    rows = connection.execute("select collname from pg_collation where collname = any(%s)", [list(pg_words.COLLATIONS)])
    there = {row["collname"] for row in rows}
    collation = next(name for name in pg_words.COLLATIONS if name in there)
    connection.execute(pg_words.FUNCTION.format(collation=collation).encode())
    _tables(_LOCAL_REGISTRY)(connection)


def _marketplace(connection: Connection[Any]) -> None:
    _tables(MARKETPLACE)(connection)
    connection.execute((_words("listing_texts", INDEXED) + _IMMUTABLE_PLANS).encode())


def _market_rest(connection: Connection[Any]) -> None:
    _tables(MARKET_REST)(connection)
    connection.execute(_words("copied_listings", COPIED).encode())


def _versions(connection: Connection[Any]) -> None:
    _tables(VERSIONS)(connection)
    connection.execute((IMMUTABLE_POSTGRES + _LONG_DIRECTORIES).encode())


def _listing_counts(connection: Connection[Any]) -> None:
    _tables(LISTING_COUNTS)(connection)
    connection.execute(TRIGGERS_POSTGRES.encode())


_TEXT = re.compile(r'(?m)((?:^ *|add column )(?:\w+|"\w+") text)\b')


def _tables(template: str) -> Callable[[Connection[Any]], None]:
    """A step that makes what `template` (columns.py) says. Text sorts by code points, as in SQLite and in Python:
    cursors and pages compare what one of them stored with what the other one told."""
    sql = _TEXT.sub(r'\1 collate "C"', template.format(**POSTGRES))
    return lambda connection: _run(connection, sql)


def _run(connection: Connection[Any], sql: str) -> None:
    connection.execute(sql.encode())  # bytes: no placeholders are looked for


STEPS: Mapping[str, Callable[[Connection[Any]], None]] = {
    "0001_local_registry": _local_registry,
    "0002_usage_rollups": _tables(_USAGE_ROLLUPS),
    "0003_accounts_and_keys": _tables(_ACCOUNTS_AND_KEYS),
    "0005_gateway_policy": _tables(GATEWAY_POLICY),
    "0007_marketplace": _marketplace,
    "0008_outbox": _tables(OUTBOX),
    "0009_remote_versions": _tables(REMOTE_VERSIONS),
    "0010_versions": _versions,
    "0011_publishing": _tables(PUBLISHING),
    "0012_market_rest": _market_rest,
    "0013_upstreams": _tables(UPSTREAMS),
    "0014_listing_counts": _listing_counts,
    "0015_secrets": _tables(SECRETS),
    "0017_clones": _tables(CLONES),
}
"""By the name that is kept in the database, in order: the same as in SQLite."""

# How rows are laid out, which changes nothing of what they hold. Texts and their words go out of line, so that a search
# that finds much reads a narrow table.
_LAYOUT = "alter table listing_texts set (toast_tuple_target = 128)"

_LOCK = 0x61706D6B74
"""Held while steps are applied, so that of servers that start at once one applies them, and the others find it done."""


def migrate(connection: Connection[Any], wanted: Collection[str] = STEPS.keys()) -> str | None:
    """Apply what is missing of `wanted`, in one transaction: all of it or nothing. Returns the name of a step that is
    unknown here, and then nothing was done: the database is of a newer program."""
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
        connection.execute(
            "create table if not exists apimarket_migrations ("
            'name text collate "C" not null primary key, applied_at timestamptz not null default now())'
        )
        # Which acts were committed, for the hour in which somebody might ask (storage/postgres.py).
        connection.execute(
            'create table if not exists apimarket_outcomes (id text collate "C" not null primary key, '
            "at timestamptz not null default now())"
        )
        applied = {row["name"] for row in connection.execute("select name from apimarket_migrations")}
        for unknown in sorted(applied - STEPS.keys()):
            return str(unknown)
        for name, step in STEPS.items():
            if name in wanted and name not in applied:
                step(connection)
                connection.execute("insert into apimarket_migrations (name) values (%s)", [name])
        if "0007_marketplace" not in applied and "0007_marketplace" in wanted:
            connection.execute(_LAYOUT)
    return None
