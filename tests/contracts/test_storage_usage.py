"""What storage/base.py promises of the request log, of every store."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from local_server.domain.executions import CallOutcome
from local_server.domain.ids import KeyId
from local_server.domain.registry import Api
from local_server.storage.base import Storage
from tests.storage.factories import (
    NOON,
    add_apis,
    an_api,
    an_execution,
)


class TestUsage:
    @pytest.fixture
    async def api(self, storage: Storage) -> Api:
        api = an_api(1)
        await add_apis(storage, api)
        return api

    async def test_rows_come_back_as_they_were(self, storage: Storage, api: Api) -> None:
        row = an_execution(api, 1, held=True, outcome=CallOutcome.SERVER_ERROR, status=500, path="/ü/🌦", method="PURGE")
        row = row._replace(key_id=KeyId("k1"), version="1.2.0-rc.1", cached=True)
        await storage.write(lambda tx: tx.usage.add([row]))
        assert await storage.read(lambda tx: tx.usage.history(api.id)) == [row]

    async def test_a_hostile_path_spoils_no_batch(self, storage: Storage, api: Api) -> None:
        rows = [an_execution(api, 1), an_execution(api, 2, path="/\udcff\0", method="\ud800")]
        await storage.write(lambda tx: tx.usage.add(rows))
        paths = {row.path for row in await storage.read(lambda tx: tx.usage.history(api.id))}
        assert paths == {"/forecast", "/\ufffd\ufffd"}

    async def test_adding_twice_is_adding_once(self, storage: Storage, api: Api) -> None:
        rows = [an_execution(api, number, after_s=number) for number in range(5)]
        await storage.write(lambda tx: tx.usage.add(rows[:3]))
        await storage.write(lambda tx: tx.usage.add(rows))
        await storage.write(lambda tx: tx.usage.add([rows[0]._replace(status=418)]))
        assert await storage.read(lambda tx: tx.usage.history(api.id)) == rows[::-1]

    async def test_rows_of_removed_apis_are_dropped_and_the_others_kept(self, storage: Storage, api: Api) -> None:
        gone = an_api(2)
        rows = [an_execution(gone, 1), an_execution(api, 2), an_execution(gone, 3)]
        await storage.write(lambda tx: tx.usage.add(rows))
        assert await storage.read(lambda tx: tx.usage.history(api.id)) == [rows[1]]
        assert await storage.read(lambda tx: tx.usage.history(gone.id)) == []

    async def test_nothing_can_be_added(self, storage: Storage) -> None:
        await storage.write(lambda tx: tx.usage.add([]))

    async def test_history_goes_on_behind_the_last_row_seen(self, storage: Storage, api: Api) -> None:
        # Rows 10 to 19 began in the same microsecond, and a page ends among them.
        rows = [an_execution(api, number, after_s=0 if 10 <= number < 20 else number - 100) for number in range(30)]
        rows += [an_execution(api, 30, after_s=5)]
        await storage.write(lambda tx: tx.usage.add(rows))
        seen = []
        before = None
        while page := await storage.read(lambda tx, before=before: tx.usage.history(api.id, 7, before)):
            assert len(page) <= 7
            seen += page
            before = page[-1].id
        assert seen == sorted(rows, key=lambda row: (row.started_at, row.id), reverse=True)

    async def test_history_behind_an_unknown_row_is_empty(self, storage: Storage, api: Api) -> None:
        await storage.write(lambda tx: tx.usage.add([an_execution(api, 1)]))
        assert await storage.read(lambda tx: tx.usage.history(api.id, before="\ud800")) == []

    async def test_count_is_by_outcome_from_a_time_on(self, storage: Storage, api: Api) -> None:
        rows = [an_execution(api, number, after_s=number) for number in range(4)]
        rows += [an_execution(api, 9, after_s=3, outcome=CallOutcome.TIMEOUT)]
        await storage.write(lambda tx: tx.usage.add(rows))
        since = (NOON + timedelta(seconds=2)).astimezone(timezone(timedelta(hours=-3)))
        assert await storage.read(lambda tx: tx.usage.count(api.id, since)) == {"ok": 2, "timeout": 1}
        assert await storage.read(lambda tx: tx.usage.count(api.id, datetime(2030, 1, 1, tzinfo=UTC))) == {}

    async def test_prune_deletes_what_is_older_and_counts_it(self, storage: Storage, api: Api) -> None:
        rows = [an_execution(api, number, after_s=number) for number in range(10)]
        await storage.write(lambda tx: tx.usage.add(rows))
        assert await storage.write(lambda tx: tx.usage.prune(NOON + timedelta(seconds=4))) == 4
        assert await storage.read(lambda tx: tx.usage.history(api.id)) == rows[:3:-1]
        assert await storage.write(lambda tx: tx.usage.prune(NOON + timedelta(seconds=4))) == 0
