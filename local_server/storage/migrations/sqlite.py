"""The tables in SQLite, step by step. A step that was released is never edited; another one follows it."""

from collections.abc import Callable, Mapping

from sqlite_utils import Database
from sqlite_utils.db import Table
from sqlite_utils.migrations import Migrations

from local_server.storage.migrations.accounts import accounts_and_keys
from local_server.storage.migrations.clones import clones
from local_server.storage.migrations.gateway_policy import gateway_policy
from local_server.storage.migrations.listing_counts import listing_counts
from local_server.storage.migrations.market_rest import market_rest
from local_server.storage.migrations.marketplace import marketplace
from local_server.storage.migrations.outbox import outbox
from local_server.storage.migrations.publishing import publishing
from local_server.storage.migrations.remote_versions import remote_versions
from local_server.storage.migrations.secrets import api_secrets
from local_server.storage.migrations.upstreams import upstreams
from local_server.storage.migrations.usage import usage_rollups
from local_server.storage.migrations.versions import versions

_LOCAL_REGISTRY = """
create table meta (
    key text not null primary key,
    value text not null
) strict;

create table users (
    id text not null primary key,
    handle text not null unique,
    email text,
    created_at text not null
) strict;
create unique index idx_users_email on users (lower(email));

-- seq names a row to the search index; a rowid without a column of its own may change when the file is vacuumed.
create table apis (
    seq integer primary key,
    id text not null unique,
    user_id text not null references users (id),
    slug text not null,
    directory text not null,
    visibility text not null check (visibility in ('private', 'unlisted', 'public')),
    status text not null check (status in ('draft', 'listed', 'maintenance', 'deprecated', 'removed')),
    category text not null,
    tags text not null,
    summary text not null,
    manifest text not null,
    revision integer not null,
    last_generation integer not null default 0,
    created_at text not null,
    updated_at text not null,
    unique (user_id, slug)
) strict;
create index idx_apis_user_id on apis (user_id);
create index idx_apis_visibility on apis (visibility);
create unique index idx_apis_directory on apis (directory) where status <> 'removed';

create table trees (
    digest text not null primary key,
    entries text not null,
    size_bytes integer not null
) strict;

create table generations (
    api_id text not null references apis (id) on delete cascade,
    number integer not null,
    tree text not null,
    deps_key text not null,
    outcome text not null,
    started_at text not null,
    timings_ms text not null,
    failure text,
    primary key (api_id, number)
) strict, without rowid;
create index idx_generations_tree on generations (tree);

create table deployments (
    api_id text not null primary key references apis (id) on delete cascade,
    desired_state text not null check (desired_state in ('running', 'stopped')),
    state text not null,
    engine text not null,
    last_good integer,
    last_error text,
    updated_at text not null
) strict, without rowid;

create table executions (
    id text not null primary key,
    api_id text not null references apis (id) on delete cascade,
    generation integer not null,
    method text not null,
    path text not null,
    status integer not null,
    outcome text not null,
    started_at text not null,
    total_us integer not null,
    upstream_us integer not null,
    bytes_in integer not null,
    bytes_out integer not null,
    held integer not null check (held in (0, 1))
) strict, without rowid;
-- Descending as it is read; the primary key follows by itself in a table without rowid.
create index idx_executions_api_id on executions (api_id, started_at desc, id desc);
"""

# sqlite-utils' own triggers fire on every update; these leave the search index alone while its words stay the same.
_SEARCH_TRIGGERS = """
create trigger apis_fts_insert after insert on apis begin
    insert into apis_fts (rowid, slug, summary, tags, category)
    values (new.seq, new.slug, new.summary, new.tags, new.category);
end;
create trigger apis_fts_delete after delete on apis begin
    insert into apis_fts (apis_fts, rowid, slug, summary, tags, category)
    values ('delete', old.seq, old.slug, old.summary, old.tags, old.category);
end;
create trigger apis_fts_update after update on apis
when (old.slug, old.summary, old.tags, old.category) is not (new.slug, new.summary, new.tags, new.category)
begin
    insert into apis_fts (apis_fts, rowid, slug, summary, tags, category)
    values ('delete', old.seq, old.slug, old.summary, old.tags, old.category);
    insert into apis_fts (rowid, slug, summary, tags, category)
    values (new.seq, new.slug, new.summary, new.tags, new.category);
end;
"""


def _local_registry(db: Database) -> None:
    db.executescript(_LOCAL_REGISTRY)
    apis = db["apis"]
    assert isinstance(apis, Table)
    apis.enable_fts(["slug", "summary", "tags", "category"], tokenize="unicode61 remove_diacritics 2")
    db.executescript(_SEARCH_TRIGGERS)


STEPS: Mapping[str, Callable[[Database], None]] = {
    "0001_local_registry": _local_registry,
    "0002_usage_rollups": usage_rollups,
    "0003_accounts_and_keys": accounts_and_keys,
    "0005_gateway_policy": gateway_policy,
    "0007_marketplace": marketplace,
    "0008_outbox": outbox,
    "0009_remote_versions": remote_versions,
    "0010_versions": versions,
    "0011_publishing": publishing,
    "0012_market_rest": market_rest,
    "0013_upstreams": upstreams,
    "0014_listing_counts": listing_counts,
    "0015_secrets": api_secrets,
    "0017_clones": clones,
}
"""By the name that is kept in the database, in order."""

MIGRATIONS = Migrations("apimarket")
for _name, _step in STEPS.items():
    MIGRATIONS(name=_name)(_step)
