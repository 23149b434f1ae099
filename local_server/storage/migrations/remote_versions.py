"""Versions as marketplaces have them: what was published from here, and what was pulled."""

from sqlite_utils import Database

from local_server.storage.migrations.columns import SQLITE

TABLES = """
create table remote_versions (
    remote text not null references remotes (url) on delete cascade,
    id text not null,
    owner text not null,
    slug text not null,
    semver text not null,
    tree text not null,
    document {bytes} not null,
    signer text not null,
    public_key {bytes} not null,
    signature {bytes} not null,
    openapi {bytes},
    primary key (remote, id)
) {strict};
create index idx_remote_versions_name on remote_versions (remote, owner, slug);
"""


def remote_versions(db: Database) -> None:
    db.executescript(TABLES.format(**SQLITE))
