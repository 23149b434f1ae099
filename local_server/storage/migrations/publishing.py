"""What a marketplace keeps of what is published to it: refs, the feed, operations, uploads, and who may publish."""

from sqlite_utils import Database

from local_server.storage.migrations.columns import SQLITE

PUBLISHING = """
-- One row an account: whoever publishes locks it, so that an account's publishes come one after the other.
create table publishers (
    user_id text not null primary key references users (id)
) {strict};

-- An API that was published from elsewhere. Versions are never deleted, and neither is this row: a removed API keeps
-- its name.
create table published_refs (
    api_id text not null primary key references apis (id),
    head_version text,
    head_semver text,
    head_tree text,
    head_rev {bigint} not null,
    visibility text not null check (visibility in ('private', 'unlisted', 'public')),
    visibility_rev {bigint} not null,
    yanked {json} not null,
    yanked_rev {bigint} not null,
    removed {flag} not null
) {strict};
create index idx_published_refs_visibility on published_refs (visibility, api_id);

-- Counted up under a row lock, never by a sequence: the order of the numbers is the order of the commits.
create table feed_end (
    name text not null primary key,
    number {bigint} not null,
    digest text not null
) {strict};

create table feed (
    number {bigint} not null primary key,
    digest text not null,
    at {time} not null,
    kind text not null check (kind in ('published', 'visibility', 'yanked', 'removed')),
    api_id text not null references apis (id),
    user_id text not null references users (id),
    audience text not null check (audience in ('owner', 'public', 'leaving')),
    refs {json} not null
) {strict};

create table ops (
    user_id text not null references users (id),
    op text not null,
    request_hash text not null,
    outcome {json} not null,
    at {time} not null,
    primary key (user_id, op)
) {strict};

create table uploads (
    id text not null primary key,
    user_id text not null references users (id),
    op text not null,
    request {bytes} not null,
    created_at {time} not null,
    expires_at {time} not null,
    unique (user_id, op)
) {strict};
create index idx_uploads_expires_at on uploads (expires_at);

-- Which blobs an account has shown that it has. Without a version that holds it, only until `expires_at`.
create table blob_grants (
    user_id text not null references users (id),
    sha256 text not null,
    size_bytes {bigint} not null,
    expires_at {time},
    primary key (user_id, sha256)
) {strict};
create index idx_blob_grants_expires_at on blob_grants (expires_at) where expires_at is not null;

create table access_tokens (
    id text not null primary key,
    user_id text not null references users (id),
    name text not null,
    prefix text not null,
    digest {bytes} not null unique,
    scope text not null,
    created_at {time} not null,
    expires_at {time} not null,
    revoked_at {time},
    last_used_at {time}
) {strict};
create index idx_access_tokens_user_id on access_tokens (user_id);

create table signing_keys (
    user_id text not null references users (id),
    id text not null,
    name text not null,
    public_key {bytes} not null,
    created_at {time} not null,
    revoked_at {time},
    token_id text references access_tokens (id),
    primary key (user_id, id)
) {strict};
"""


def publishing(db: Database) -> None:
    db.executescript(PUBLISHING.format(**SQLITE))
