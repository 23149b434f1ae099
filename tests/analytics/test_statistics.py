"""Statistics over real storage, at a time that stands still."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local_server.analytics.statistics import Statistics, statistics
from local_server.analytics.templates import template_of
from local_server.analytics.windows import WINDOWS
from local_server.domain.executions import CallOutcome
from local_server.storage.base import Storage
from local_server.storage.sqlite import SqliteStorage
from tests.storage.factories import ALICE, add_apis, an_api, an_execution

NOW = datetime(2026, 3, 14, 12, 30, 15, tzinfo=UTC)
API, OTHER = an_api(1), an_api(2)


class Still:
    def now(self) -> datetime:
        return NOW

    def new_id(self) -> str:
        raise AssertionError("nothing is made here")


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    storage = await SqliteStorage.open(tmp_path / "a.db", lambda event: None)
    await storage.write(lambda tx: tx.accounts.add(ALICE))
    await add_apis(storage, API, OTHER)
    yield storage
    await storage.close()


class Log:
    """Adds requests that began some time before `NOW`."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._number = 0

    async def add(self, count: int = 1, *, ago: timedelta = timedelta(), api: object = API, **more: object) -> None:
        rows = []
        for _ in range(count):
            self._number += 1
            rows.append(an_execution(api, self._number, started_at=NOW - ago, **more))  # type: ignore[arg-type]
        await self._storage.write(lambda tx: tx.usage.add(rows))


@pytest.fixture
def log(storage: Storage) -> Log:
    return Log(storage)


async def of(storage: Storage, window: str = "24h") -> Statistics:
    return await statistics(storage, Still(), API, WINDOWS[window])


class TestWindows:
    @pytest.mark.parametrize(
        ("window", "since", "last", "points"),
        [
            ("1h", "2026-03-14T11:31:00", "2026-03-14T12:30:00", 60),
            ("24h", "2026-03-13T13:00:00", "2026-03-14T12:00:00", 24),
            ("7d", "2026-03-07T13:00:00", "2026-03-14T12:00:00", 168),
            ("30d", "2026-02-13T00:00:00", "2026-03-14T00:00:00", 30),
        ],
    )
    async def test_end_with_the_step_that_goes_on(
        self, storage: Storage, log: Log, window: str, since: str, last: str, points: int
    ) -> None:
        begin = datetime.fromisoformat(since).replace(tzinfo=UTC)
        await log.add(ago=NOW - begin)
        await log.add(5, ago=NOW - begin + timedelta(microseconds=1))
        await log.add(2)
        found = await of(storage, window)
        assert (found.since, found.until) == (begin, NOW)
        assert len(found.points) == points
        assert found.points[-1].starts_at.isoformat() == f"{last}+00:00"
        assert (found.points[0].tally.requests, found.points[-1].tally.requests) == (1, 2)
        assert found.tally.requests == sum(point.tally.requests for point in found.points) == 3
        assert found.requests_per_s == pytest.approx(3 / (NOW - begin).total_seconds())


class TestFigures:
    async def test_of_silence_are_none(self, storage: Storage) -> None:
        found = await of(storage)
        assert found.tally.requests == 0
        assert (found.success_rate, found.error_rate, found.mean_us, found.percentile_us(0.5)) == (None,) * 4
        assert [point.tally.requests for point in found.points] == [0] * 24

    async def test_rates_tell_the_apis_faults_from_its_callers(self, storage: Storage, log: Log) -> None:
        for outcome, count in {"ok": 6, "client_error": 2, "timeout": 1, "unavailable": 1}.items():
            await log.add(count, outcome=CallOutcome(outcome))
        found = await of(storage)
        assert (found.success_rate, found.error_rate) == (0.6, 0.2)

    async def test_latency_is_of_what_was_answered(self, storage: Storage, log: Log) -> None:
        await log.add(98, total_us=1000)
        await log.add(2, total_us=50_000, ago=timedelta(hours=3))
        await log.add(500, outcome=CallOutcome.REFUSED, status=429, total_us=1)
        found = await of(storage)
        assert found.mean_us == pytest.approx(98 * 10 + 1000)
        assert found.percentile_us(0.5) == pytest.approx(1000, rel=1 / 32)
        assert found.percentile_us(0.99) == pytest.approx(50_000, rel=1 / 32)
        assert found.points[-4].percentile_us(0.95) == pytest.approx(50_000, rel=1 / 32)

    async def test_generations_are_newest_first(self, storage: Storage, log: Log) -> None:
        await log.add(2, generation=3, total_us=10)
        await log.add(1, generation=4, total_us=30, outcome=CallOutcome.SERVER_ERROR)
        found = await of(storage)
        assert [(number, part.requests, part.errors, part.total_us) for number, part in found.generations] == [
            (4, 1, 1, 30),
            (3, 2, 0, 20),
        ]

    async def test_versions_have_figures_of_their_own_the_busiest_first(self, storage: Storage, log: Log) -> None:
        await log.add(1, generation=1)
        await log.add(2, generation=1, version="1.0.0", total_us=10)
        await log.add(3, generation=1, version="1.1.0", total_us=30, outcome=CallOutcome.SERVER_ERROR)
        found = await of(storage)
        assert [(number, part.requests) for number, part in found.generations] == [(1, 1)]
        assert [(version, part.requests, part.errors, part.total_us) for version, part in found.versions] == [
            ("1.1.0", 3, 3, 90),
            ("1.0.0", 2, 0, 20),
        ]


class TestGroups:
    async def test_paths_and_errors_are_alike_but_for_identifiers(self, storage: Storage, log: Log) -> None:
        for number in range(30):
            ago = timedelta(seconds=30 - number)
            await log.add(path=f"/users/{number}", outcome=CallOutcome.SERVER_ERROR, status=500, ago=ago)
        await log.add(3, path="/users/me")
        found = await of(storage)
        assert [(one.path, one.requests) for one in found.paths] == [("/users/{id}", 30), ("/users/me", 3)]
        (trouble,) = found.troubles
        assert (trouble.path, trouble.requests, trouble.outcome) == ("/users/{id}", 30, "server_error")
        assert trouble.last_at == NOW - timedelta(seconds=1)

    @pytest.mark.parametrize(
        ("path", "template"),
        [
            ("/", "/"),
            ("/v2/users", "/v2/users"),
            ("/users/42/posts/7/", "/users/{id}/posts/{id}/"),
            ("/x/0195b2a4-7c1e-7000-8000-00000000a11c", "/x/{id}"),
            ("/commit/9f86d081884c7d659a2feaa0c55ad015", "/commit/{id}"),
            ("/t/sk_live_51H8abcDEFghiJKL", "/t/{id}"),
            ("/a-segment-that-is-only-long/b", "/a-segment-that-is-only-long/b"),
            ("/facade", "/facade"),
        ],
    )
    def test_identifiers_are_told_from_names(self, path: str, template: str) -> None:
        assert template_of(path) == template


class TestPopularity:
    async def test_ranks_among_the_owners_apis(self, storage: Storage, log: Log) -> None:
        assert (await of(storage)).rank.place == 1
        await log.add(1)
        await log.add(3, api=OTHER)
        await log.add(50, ago=timedelta(days=3))
        rank = (await of(storage)).rank
        assert (rank.place, rank.of, rank.share) == (2, 2, 0.25)
        assert (await of(storage, "7d")).rank.place == 1
