"""Immutable versions of APIs, their channels, where the traffic goes, and which of them should run."""

from sqlite_utils import Database

from local_server.storage.migrations.columns import SQLITE

TABLES = """
-- An API that exists as versions only has no directory.
drop index idx_apis_directory;
create unique index idx_apis_directory on apis (directory) where status <> 'removed' and directory <> '';

-- Not by id alone: an API that was renamed keeps its versions, and another may take its name.
create table api_versions (
    api_id text not null references apis (id) on delete cascade,
    semver text not null,
    id text not null,
    tree text not null,
    document {bytes} not null,
    parents text not null,
    openapi {bytes},
    signer text,
    public_key {bytes},
    signature {bytes},
    published_by text not null,
    created_at {time} not null,
    yanked_at {time},
    yanked_reason text not null,
    deprecated_at {time},
    sunset_at {time},
    primary key (api_id, semver)
) {strict};
create unique index idx_api_versions_id on api_versions (api_id, id);
create index idx_api_versions_created_at on api_versions (api_id, created_at desc, semver desc);
create index idx_api_versions_tree on api_versions (tree);

create table channels (
    api_id text not null,
    name text not null,
    semver text not null,
    moved_at {time} not null,
    primary key (api_id, name),
    foreign key (api_id, semver) references api_versions (api_id, semver) on delete cascade
) {strict};

create table traffic (
    api_id text not null primary key references apis (id) on delete cascade,
    pointer {json} not null,
    earlier {json} not null,
    revision {bigint} not null
) {strict};

create table version_deployments (
    api_id text not null,
    semver text not null,
    desired_state text not null check (desired_state in ('running', 'stopped')),
    state text not null,
    engine text not null,
    last_good {bigint},
    last_error text,
    updated_at {time} not null,
    primary key (api_id, semver),
    foreign key (api_id, semver) references api_versions (api_id, semver) on delete cascade
) {strict};
"""

FIXED = "api_id, semver, id, tree, document, parents, openapi, signer, public_key, signature, published_by, created_at"

IMMUTABLE_SQLITE = f"""
create trigger api_versions_fixed before update of {FIXED} on api_versions begin
    select raise(abort, 'versions never change');
end;
"""

IMMUTABLE_POSTGRES = f"""
create function versions_never_change() returns trigger language plpgsql as $$
begin
    raise exception 'versions never change';
end
$$;
create trigger api_versions_fixed before update of {FIXED} on api_versions
    for each row execute function versions_never_change();
"""


def versions(db: Database) -> None:
    db.executescript(TABLES.format(**SQLITE) + IMMUTABLE_SQLITE)
