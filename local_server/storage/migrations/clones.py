"""Which API of this machine somebody's version was brought here as, and whether it stays at that version."""

from sqlite_utils import Database

from local_server.storage.migrations.columns import SQLITE

TABLES = """
alter table remote_refs add column clone_api_id text;
alter table remote_refs add column pinned {flag};
"""


def clones(db: Database) -> None:
    db.executescript(TABLES.format(**SQLITE))
