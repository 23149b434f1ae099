"""Where the generations of each API listen, for gateways that are processes of their own."""

from sqlite_utils import Database

from local_server.storage.migrations.columns import SQLITE

TABLES = """
create table upstreams (
    api_id text not null primary key references apis (id) on delete cascade,
    way {json} not null
) {strict};
"""


def upstreams(db: Database) -> None:
    db.executescript(TABLES.format(**SQLITE))
