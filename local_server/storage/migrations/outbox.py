"""Versions on their way to marketplaces, and what is known here of those marketplaces."""

from sqlite_utils import Database

from local_server.storage.migrations.columns import SQLITE

# No foreign keys to apis: what was published stays known when the API is removed here. Trees that rows point at are
# kept by the pruning of generations (storage/sql/deployments.py).
TABLES = """
create table remotes (
    url text not null primary key,
    marketplace_id text not null,
    account text not null,
    "cursor" text not null
) {strict};

create table remote_refs (
    remote text not null references remotes (url) on delete cascade,
    owner text not null,
    slug text not null,
    api_id text,
    head_version text,
    head_semver text,
    head_tree text,
    head_revision {bigint},
    base_version text,
    base_semver text,
    base_tree text,
    base_revision {bigint},
    visibility text not null,
    deleted {flag} not null,
    yanked {json} not null,
    primary key (remote, owner, slug)
) {strict};
create index idx_remote_refs_api_id on remote_refs (api_id);

create table outbox (
    op text not null primary key,
    api_id text not null,
    remote text not null,
    owner text not null,
    slug text not null,
    semver text not null,
    tree text not null,
    version text not null,
    parents text not null,
    document {bytes} not null,
    signature {bytes} not null,
    signer text not null,
    openapi {bytes},
    created_at {time} not null,
    updated_at {time} not null,
    state text not null,
    attempts integer not null,
    next_at {time},
    upload_id text,
    trouble {json},
    sent_bytes {bigint} not null,
    total_bytes {bigint} not null,
    sent_blobs integer not null,
    total_blobs integer not null
) {strict};
create index idx_outbox_state on outbox (state);
create index idx_outbox_api_id on outbox (api_id);
"""


def outbox(db: Database) -> None:
    db.executescript(TABLES.format(**SQLITE))
