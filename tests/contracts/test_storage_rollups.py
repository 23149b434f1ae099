"""What storage/base.py promises of rollups and of filtered history, of every store."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from local_server.domain.executions import CallOutcome, Execution
from local_server.domain.histogram import percentile_us
from local_server.domain.ids import KeyId, UserId
from local_server.domain.registry import Api
from local_server.domain.usage import GENERATIONS_KEPT, GenerationTally, HistoryFilter, Rollup, Step, Tally
from local_server.storage.base import ReadTx, Storage
from local_server.storage.sql import usage
from tests.storage.factories import ALICE, NOON, a_user, add_apis, an_api, an_execution, an_id

LONG_AGO = NOON - timedelta(days=4000)


@pytest.fixture
async def api(storage: Storage) -> Api:
    api = an_api(1)
    await add_apis(storage, api)
    return api


async def add(storage: Storage, *rows: Execution) -> int:
    return await storage.write(lambda tx: tx.usage.add(rows))


async def rollups(storage: Storage, api: Api, step: Step, since: datetime = LONG_AGO) -> Sequence[Rollup]:
    return await storage.read(lambda tx: tx.usage.rollups(api.id, step, since))


def tally_of(rows: Sequence[Execution]) -> Tally:
    tally = Tally()
    for row in rows:
        tally.add(Tally.of([row]))
    return tally


def many(api: Api, count: int, seed: int = 1) -> list[Execution]:
    """Spread over three days, with everything that is counted different."""
    dice = random.Random(seed)
    outcomes = list(CallOutcome)
    return [
        an_execution(
            api,
            seed * 100_000 + number,
            after_s=dice.randrange(3 * 86400),
            outcome=dice.choice(outcomes),
            status=dice.choice([200, 204, 301, 404, 429, 500, 503]),
            total_us=dice.randrange(10_000_000),
            generation=dice.randrange(5),
            bytes_in=dice.randrange(1000),
            bytes_out=dice.randrange(2**40),
        )
        for number in range(count)
    ]


class TestRollups:
    @pytest.mark.parametrize("step", list(Step))
    async def test_count_what_began_in_each_step(self, storage: Storage, api: Api, step: Step) -> None:
        rows = many(api, 500)
        for start in range(0, 500, 90):  # in several batches, so that stored counts are added to
            await add(storage, *rows[start : start + 90])
        expected: dict[datetime, list[Execution]] = {}
        for row in rows:
            expected.setdefault(step.start_of(row.started_at), []).append(row)
        found = await rollups(storage, api, step)
        assert [(one.api_id, one.starts_at) for one in found] == [(api.id, start) for start in sorted(expected)]
        assert {one.starts_at: one.tally for one in found} == {
            start: tally_of(group) for start, group in expected.items()
        }

    async def test_the_sums_of_minutes_hours_and_days_agree(self, storage: Storage, api: Api) -> None:
        rows = many(api, 400)
        await add(storage, *rows)
        for step in Step:
            total = Tally()
            for one in await rollups(storage, api, step):
                total.add(one.tally)
            assert total == tally_of(rows)

    async def test_percentiles_come_from_merged_histograms(self, storage: Storage, api: Api) -> None:
        # 99 quick requests in one hour and a slow one in the next: their percentiles' mean would be far off.
        rows = [an_execution(api, number, total_us=1000) for number in range(99)]
        rows += [an_execution(api, 99, after_s=3600, total_us=9_000_000)]
        await add(storage, *rows)
        total = Tally()
        for one in await rollups(storage, api, Step.HOUR):
            total.add(one.tally)
        assert percentile_us(total.latencies, 0.95) == pytest.approx(1000, rel=1 / 32)
        assert percentile_us(total.latencies, 1.0) == pytest.approx(9_000_000, rel=1 / 32)

    async def test_steps_are_of_utc(self, storage: Storage, api: Api) -> None:
        far = datetime(2026, 5, 1, 1, 10, 59, 999_999, tzinfo=timezone(timedelta(hours=5, minutes=30)))
        await add(storage, an_execution(api, 1, started_at=far))
        starts = [(await rollups(storage, api, step))[0].starts_at.isoformat() for step in Step]
        assert starts == ["2026-04-30T19:40:00+00:00", "2026-04-30T19:00:00+00:00", "2026-04-30T00:00:00+00:00"]

    async def test_since_takes_those_that_began_then_or_later(self, storage: Storage, api: Api) -> None:
        await add(storage, *(an_execution(api, number, after_s=60 * number) for number in range(5)))
        start = Step.MINUTE.start_of(NOON) + timedelta(minutes=3)
        found = await rollups(storage, api, Step.MINUTE, start)
        assert [one.starts_at for one in found] == [start, start + timedelta(minutes=1)]

    async def test_only_the_newest_generations_are_told_apart(self, storage: Storage, api: Api) -> None:
        rows = [an_execution(api, number, generation=number) for number in range(GENERATIONS_KEPT + 50)]
        for row in rows:
            await add(storage, row)
        (day,) = await rollups(storage, api, Step.DAY)
        assert set(day.tally.generations) == set(range(50, GENERATIONS_KEPT + 50))
        assert day.tally.requests == len(rows)

    async def test_versions_are_told_apart_from_the_directorys_generations(self, storage: Storage, api: Api) -> None:
        answered = [("", 1), ("", 1), ("1.0.0", 1), ("1.0.0", 2), ("1.1.0", 1), ("", 0)]
        for number, (version, generation) in enumerate(answered):
            outcome = CallOutcome.SERVER_ERROR if version == "1.1.0" else CallOutcome.OK
            row = an_execution(api, number, version=version, generation=generation, total_us=10, outcome=outcome)
            await add(storage, row)
        (day,) = await rollups(storage, api, Step.DAY)
        assert day.tally.generations == {1: GenerationTally(2, 0, 20), 0: GenerationTally(1, 0, 10)}
        assert day.tally.versions == {"1.0.0": GenerationTally(2, 0, 20), "1.1.0": GenerationTally(1, 1, 10)}

    async def test_only_the_busiest_versions_are_told_apart(self, storage: Storage, api: Api) -> None:
        rows = [an_execution(api, number, version=f"1.{number}.0") for number in range(GENERATIONS_KEPT + 50)]
        rows += [an_execution(api, 500 + number, version="1.149.0") for number in range(2)]
        await add(storage, *rows)
        (day,) = await rollups(storage, api, Step.DAY)
        assert len(day.tally.versions) == GENERATIONS_KEPT
        assert day.tally.versions["1.149.0"].requests == 3

    async def test_go_with_their_api(self, storage: Storage, api: Api) -> None:
        await add(storage, an_execution(api, 1))
        await storage.write(lambda tx: tx.registry.remove(api.id))
        await add_apis(storage, api)
        assert [await rollups(storage, api, step) for step in Step] == [[], [], []]


class TestExactlyOnce:
    async def test_a_batch_sent_twice_is_counted_once(self, storage: Storage, api: Api) -> None:
        rows = many(api, 1200)
        assert await add(storage, *rows) == 1200
        assert await add(storage, *rows) == 0
        assert await self.requests(storage, api) == 1200

    async def test_of_a_batch_partly_there_only_the_rest_counts(self, storage: Storage, api: Api) -> None:
        rows = many(api, 100)
        assert await add(storage, *rows[40:60]) == 20
        assert await add(storage, *rows) == 80
        assert await self.requests(storage, api) == 100

    async def test_an_id_twice_in_a_batch_is_its_first_row(self, storage: Storage, api: Api) -> None:
        assert await add(storage, an_execution(api, 1, status=200), an_execution(api, 1, status=418)) == 1
        (row,) = await storage.read(lambda tx: tx.usage.history(api.id))
        (day,) = await rollups(storage, api, Step.DAY)
        assert (row.status, day.tally.statuses) == (200, {200: 1})

    async def test_ids_in_any_order_count(self, storage: Storage, api: Api) -> None:
        rows = many(api, 300)
        random.Random(3).shuffle(rows)
        for row in rows:
            await add(storage, row)
        assert await self.requests(storage, api) == 300

    async def test_what_a_failed_act_counted_never_was(self, storage: Storage, api: Api) -> None:
        def act(tx: Any) -> None:
            tx.usage.add([an_execution(api, 1)])
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await storage.write(act)
        assert await rollups(storage, api, Step.DAY) == []

    async def requests(self, storage: Storage, api: Api) -> int:
        sums = {sum(one.tally.requests for one in await rollups(storage, api, step)) for step in Step}
        assert sums == {len(await storage.read(lambda tx: tx.usage.history(api.id, 10_000)))}
        return sums.pop()


class TestPruning:
    async def test_takes_at_most_so_many_rows_and_leaves_rollups(self, storage: Storage, api: Api) -> None:
        await add(storage, *(an_execution(api, number, after_s=number) for number in range(10)))
        cut = NOON + timedelta(seconds=5)
        assert [await storage.write(lambda tx: tx.usage.prune(cut, 3)) for _ in range(3)] == [3, 2, 0]
        assert [row.started_at >= cut for row in await storage.read(lambda tx: tx.usage.history(api.id))] == [True] * 5
        (day,) = await rollups(storage, api, Step.DAY)
        assert day.tally.requests == 10

    async def test_takes_old_rollups_of_one_step_from_every_api(self, storage: Storage, api: Api) -> None:
        other = an_api(2)
        await add_apis(storage, other)
        for number in range(4):
            await add(storage, *(an_execution(each, number * 2 + each.id.endswith("2"), after_s=3600 * number)
                                 for each in (api, other)))  # fmt: skip
        cut = Step.HOUR.start_of(NOON) + timedelta(hours=2)
        deleted = [await storage.write(lambda tx: tx.usage.prune_rollups(Step.HOUR, cut, 3)) for _ in range(3)]
        assert deleted == [3, 1, 0]
        assert [len(await rollups(storage, each, Step.HOUR)) for each in (api, other)] == [2, 2]
        assert [len(await rollups(storage, api, step)) for step in (Step.MINUTE, Step.DAY)] == [4, 1]


class TestPopularity:
    async def test_counts_each_api_of_the_owner(self, storage: Storage, api: Api) -> None:
        bob = a_user(9, "bob")
        await storage.write(lambda tx: tx.accounts.add(bob))
        quiet, foreign = an_api(2), an_api(3, user=bob)
        await add_apis(storage, quiet, foreign)
        await add(storage, *many(api, 30), *many(foreign, 5, seed=2))
        found = await self.popularity(storage, ALICE.id, LONG_AGO)
        assert found == {api.id: 30, quiet.id: 0}
        assert await self.popularity(storage, bob.id, LONG_AGO) == {foreign.id: 5}
        assert await self.popularity(storage, ALICE.id, NOON + timedelta(days=40)) == {api.id: 0, quiet.id: 0}

    async def popularity(self, storage: Storage, user_id: UserId, since: datetime) -> dict[str, int]:
        return dict(await storage.read(lambda tx: tx.usage.popularity(user_id, Step.DAY, since)))


async def all_pages(storage: Storage, api: Api, wanted: HistoryFilter, limit: int = 7) -> list[Execution]:
    rows: list[Execution] = []
    before: str | None = None
    for _ in range(10_000):
        cursor = before

        def question(tx: ReadTx, cursor: str | None = cursor) -> Any:
            return tx.usage.page(api.id, wanted, limit, cursor)

        page = await storage.read(question)
        assert len(page.rows) <= limit
        rows += page.rows
        before = page.next
        if before is None:
            return rows
    raise AssertionError("the pages never end")


WANTED = {
    "everything": (HistoryFilter(), lambda row: True),
    "a class": (HistoryFilter(status_class=4), lambda row: 400 <= row.status < 500),
    "an outcome": (HistoryFilter(outcome=CallOutcome.TIMEOUT), lambda row: row.outcome == "timeout"),
    "ok": (HistoryFilter(outcome=CallOutcome.OK), lambda row: row.outcome == "ok"),
    "not ok": (HistoryFilter(not_ok=True), lambda row: row.outcome != "ok"),
    "a method": (HistoryFilter(method="POST"), lambda row: row.method == "POST"),
    "a path": (HistoryFilter(path_prefix="/ü%_"), lambda row: row.path.startswith("/ü%_")),
    "a generation": (HistoryFilter(generation=0), lambda row: row.generation == 0 and not row.version),
    "a key": (HistoryFilter(key_id=KeyId("k1")), lambda row: row.key_id == "k1"),
    "a version": (HistoryFilter(version="1.0.0"), lambda row: row.version == "1.0.0"),
    "a generation of a version": (
        HistoryFilter(version="1.0.0", generation=0),
        lambda row: row.version == "1.0.0" and row.generation == 0,
    ),
    "a time": (
        HistoryFilter(since=NOON + timedelta(days=1), until=NOON + timedelta(days=2)),
        lambda row: timedelta(days=1) <= row.started_at - NOON < timedelta(days=2),
    ),
    "all at once": (
        HistoryFilter(status_class=5, not_ok=True, method="GET", path_prefix="/", since=NOON, generation=3),
        lambda row: (
            row.status >= 500
            and row.outcome != "ok"
            and row.method == "GET"
            and row.generation == 3
            and not row.version
        ),
    ),
    "nothing there is": (HistoryFilter(method="\ud800"), lambda row: False),
}


class TestPages:
    @pytest.fixture
    async def rows(self, storage: Storage, api: Api) -> list[Execution]:
        """Newest first."""
        paths, methods = ["/", "/ü%_x", "/üabc", "/forecast"], ["GET", "POST"]
        rows = [
            an_execution(
                api, number, after_s=row.started_at.timestamp() - NOON.timestamp() - number % 3 * 1e-6,
                outcome=row.outcome, status=row.status, generation=row.generation, path=paths[number % 4],
                method=methods[number // 4 % 2], key_id=[None, "k1", "k2"][number % 3],
                version=["", "1.0.0"][number % 2],
            )
            for number, row in enumerate(many(api, 300))
        ]  # fmt: skip
        await add(storage, *rows)
        return sorted(rows, key=lambda row: (row.started_at, row.id), reverse=True)

    @pytest.mark.parametrize("scanned", [1, 7, 20, 10_000])
    @pytest.mark.parametrize("name", list(WANTED))
    async def test_together_hold_what_is_wanted_once_and_in_order(
        self,
        storage: Storage,
        api: Api,
        rows: list[Execution],
        name: str,
        scanned: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(usage, "SCANNED", scanned)
        wanted, passes = WANTED[name]
        assert await all_pages(storage, api, wanted) == [row for row in rows if passes(row)]

    async def test_look_through_a_bounded_number_of_rows(
        self, storage: Storage, api: Api, rows: list[Execution], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(usage, "SCANNED", 50)
        page = await storage.read(lambda tx: tx.usage.page(api.id, HistoryFilter(method="PURGE")))
        assert (list(page.rows), page.next) == ([], rows[49].id)

    async def test_an_unknown_cursor_has_nothing_behind_it(
        self, storage: Storage, api: Api, rows: list[Execution]
    ) -> None:
        page = await storage.read(lambda tx: tx.usage.page(api.id, HistoryFilter(), 10, "\ud800"))
        assert (list(page.rows), page.next) == ([], None)


class TestGroups:
    async def test_paths_are_counted_among_the_newest(self, storage: Storage, api: Api) -> None:
        rows = [an_execution(api, number, after_s=number, path=f"/{number % 3}", total_us=10) for number in range(12)]
        await add(storage, *rows)
        found = await storage.read(lambda tx: tx.usage.paths(api.id, LONG_AGO, 7))
        assert [(one.path, one.requests, one.total_us) for one in found] == [
            ("/2", 3, 30), ("/0", 2, 20), ("/1", 2, 20)
        ]  # fmt: skip

    async def test_troubles_are_what_was_not_ok(self, storage: Storage, api: Api) -> None:
        rows = [an_execution(api, number, after_s=number) for number in range(5)]
        rows += [
            an_execution(api, 10 + number, after_s=number, outcome=CallOutcome.TIMEOUT, status=504)
            for number in range(3)
        ]
        rows += [an_execution(api, 20, outcome=CallOutcome.CLIENT_ERROR, status=404, method="POST", path="/x")]
        await add(storage, *rows)
        found = await storage.read(lambda tx: tx.usage.troubles(api.id, LONG_AGO, 100))
        assert [(one.outcome, one.status, one.method, one.path, one.requests) for one in found] == [
            ("timeout", 504, "GET", "/forecast", 3),
            ("client_error", 404, "POST", "/x", 1),
        ]
        assert (found[0].last_at, found[0].last_id) == (NOON + timedelta(seconds=2), an_id(12))
        later = NOON + timedelta(seconds=1)
        (late,) = await storage.read(lambda tx: tx.usage.troubles(api.id, later, 100))
        assert late.requests == 2
