"""The secrets of APIs, sealed: the key is not in the database."""

from sqlite_utils import Database

from local_server.storage.migrations.columns import SQLITE

TABLES = """
create table secrets (
    api_id text not null references apis (id) on delete cascade,
    name text not null,
    sealed {bytes} not null,
    updated_at {time} not null,
    primary key (api_id, name)
) {strict};
"""


def api_secrets(db: Database) -> None:
    db.executescript(TABLES.format(**SQLITE))
