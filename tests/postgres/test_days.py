"""The request log in days: made ahead, filled, dropped whole."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from psycopg.rows import dict_row

from local_server.domain.events import Event
from local_server.storage.pg_days import AHEAD, make_days
from local_server.storage.postgres import PostgresStorage
from tests.postgres.clusters import Cluster
from tests.storage.factories import ALICE, NOON, add_apis, an_api, an_execution

pytestmark = pytest.mark.postgres


def ignore(_event: Event) -> None:
    """These tests are not about events."""


def rows_by_partition(url: str) -> dict[str, int]:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "select cast(tableoid as regclass)::text, count(*) from executions group by 1"
        ).fetchall()
    return dict(found)


def days(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "select relname from pg_class join pg_inherits on inhrelid = oid "
            "where inhparent = 'executions'::regclass and relkind = 'r'"
        )
        return {name.removeprefix("executions_") for (name,) in found}


def make(url: str, today: date) -> int:
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        return make_days(connection, today)


@pytest.fixture(params=[18, 15])
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[tuple[PostgresStorage, str]]:
    """A store that knows alice's API 1, and its URL. A database of its own: days are tables, and stay."""
    cluster: Cluster = request.getfixturevalue(f"postgres{request.param}")
    url = cluster.empty_database()
    storage = await PostgresStorage.open(url, ignore)

    await storage.write(lambda tx: tx.accounts.add(ALICE))
    await add_apis(storage, an_api(1))
    yield storage, url
    await storage.close()
    cluster.drop(url)


class TestDays:
    async def test_are_made_for_a_week_and_no_row_is_refused(self, opened: tuple[PostgresStorage, str]) -> None:
        storage, url = opened
        noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
        names = {f"{noon.date() + timedelta(days):%Y%m%d}" for days in range(-1, AHEAD + 1)}
        assert days(url) == {*names, "rest"}
        rows = [
            an_execution(an_api(1), number, started_at=noon + timedelta(days))
            for number, days in enumerate((0, 0, AHEAD, -400, 400), 1)
        ]
        assert await storage.write(lambda tx: tx.usage.add(rows)) == 5
        assert rows_by_partition(url) == {
            f"executions_{noon:%Y%m%d}": 2,
            f"executions_{noon + timedelta(AHEAD):%Y%m%d}": 1,
            "executions_rest": 2,
        }
        assert len(await storage.read(lambda tx: tx.usage.history(an_api(1).id))) == 5
        assert await storage.write(lambda tx: tx.usage.add(rows)) == 0

    async def test_rows_that_came_too_early_are_moved_when_their_day_is_made(
        self, opened: tuple[PostgresStorage, str]
    ) -> None:
        storage, url = opened
        rows = [an_execution(an_api(1), number, after_s=60.0 * number) for number in range(1, 4)]
        await storage.write(lambda tx: tx.usage.add(rows))
        assert rows_by_partition(url) == {"executions_rest": 3}
        assert make(url, NOON.date()) == AHEAD + 2
        assert make(url, NOON.date()) == 0
        assert rows_by_partition(url) == {f"executions_{NOON:%Y%m%d}": 3}
        history = await storage.read(lambda tx: tx.usage.history(an_api(1).id))
        assert [row.id for row in history] == [row.id for row in reversed(rows)]

    async def test_days_that_are_over_are_dropped_whole(self, opened: tuple[PostgresStorage, str]) -> None:
        storage, url = opened
        make(url, NOON.date())
        rows = [an_execution(an_api(1), 1 + hours, after_s=3600.0 * hours) for hours in range(48)]
        await storage.write(lambda tx: tx.usage.add(rows))
        before = NOON.replace(hour=15) + timedelta(days=1)
        # Twelve of the first day, fifteen of the next, of which the rest is still wanted.
        assert await storage.write(lambda tx: tx.usage.prune(before)) == 12 + 15
        assert f"{NOON:%Y%m%d}" not in days(url)
        assert f"{NOON + timedelta(1):%Y%m%d}" in days(url)
        left = await storage.read(lambda tx: tx.usage.history(an_api(1).id))
        assert min(row.started_at for row in left) >= before

    async def test_whoever_holds_on_to_the_table_does_not_stop_the_pruning(
        self, opened: tuple[PostgresStorage, str]
    ) -> None:
        storage, url = opened
        make(url, NOON.date())
        await storage.write(lambda tx: tx.usage.add([an_execution(an_api(1), 1)]))
        with psycopg.connect(url) as reader:
            reader.execute("select count(*) from executions").fetchone()  # a long report, in a transaction
            assert await storage.write(lambda tx: tx.usage.prune(NOON + timedelta(days=2))) == 1
        assert f"{NOON:%Y%m%d}" in days(url)
        assert await storage.read(lambda tx: tx.usage.history(an_api(1).id)) == []
        await storage.keep_house(NOON)
