"""The tables of PostgreSQL beside those of SQLite."""

from pathlib import Path

import psycopg
import pytest
from sqlite_utils import Database

from local_server.storage.migrations.sqlite import MIGRATIONS
from tests.postgres.clusters import Cluster

pytestmark = pytest.mark.postgres

# What each database needs for itself: search, days, and who applied which step.
OWN_TABLES = {"_sqlite_migrations", "apimarket_migrations", "apimarket_outcomes"}
OWN_COLUMNS = {("apis", "seq"), ("apis", "words"), ("listing_texts", "words"), ("copied_listings", "words")}

NULLABLE = """
    select table_name, column_name, is_nullable = 'YES' from information_schema.columns
    where table_schema = 'public' and table_name not like 'executions\\_%'
"""


@pytest.mark.parametrize("version", [18, 15])
def test_have_the_same_columns(request: pytest.FixtureRequest, tmp_path: Path, version: int) -> None:
    cluster: Cluster = request.getfixturevalue(f"postgres{version}")
    with psycopg.connect(cluster.database()) as connection:
        there = {(table, column, bool(nullable)) for table, column, nullable in connection.execute(NULLABLE)}
    db = Database(tmp_path / "a.db")
    MIGRATIONS.apply(db)
    here = {
        (table, row["name"], not (row["notnull"] or row["pk"]))
        for table in db.table_names()
        if "_fts" not in table
        for row in db.query(f"pragma table_info({table})")
    }
    db.close()
    assert wanted(there) == wanted(here)


def wanted(columns: set[tuple[str, str, bool]]) -> set[tuple[str, str, bool]]:
    return {one for one in columns if one[0] not in OWN_TABLES and one[:2] not in OWN_COLUMNS}


@pytest.mark.parametrize("version", [18, 15])
def test_text_sorts_by_code_points(request: pytest.FixtureRequest, version: int) -> None:
    cluster: Cluster = request.getfixturevalue(f"postgres{version}")
    with psycopg.connect(cluster.database()) as connection:
        others = connection.execute(
            "select table_name, column_name from information_schema.columns where table_schema = 'public' "
            "and data_type = 'text' and collation_name is distinct from 'C'"
        ).fetchall()
    assert others == []


def test_a_plan_never_changes(postgres18: Cluster) -> None:
    with psycopg.connect(postgres18.database()) as connection:
        triggers = connection.execute("select tgname from pg_trigger where not tgisinternal").fetchall()
    assert ("plans_are_immutable",) in triggers
