"""Quotas over real HTTP and a real store."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from local_server.accounts.quotas import QuotaLedger
from local_server.domain.executions import CallOutcome
from local_server.domain.keys import ApiKey, Grant, grant_of
from local_server.domain.quota_errors import QuotaExceeded, QuotaUncounted
from local_server.domain.quotas import Lease, Period, Quota, period_of
from local_server.domain.storage_errors import StorageFull
from local_server.gateway import Edge, Gateway, Hosts
from local_server.gateway.quotas import Purse, Quotas
from local_server.gateway.serving import uvicorn_options
from local_server.storage.base import Storage
from local_server.storage.sqlite import SqliteStorage
from local_server.system import RealSystem
from tests.gateway.conftest import Rig, answering, control, raw_server, serving
from tests.gateway.test_callers import a_key, bearer

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
FAILED = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"


def a_quota_key(requests: int, overage: Any = "block", *, number: int = 1, **more: Any) -> tuple[str, ApiKey]:
    return a_key(number, quota=Quota(requests, "month", overage), **more)


async def counted(storage: Storage, subject: str = "key:k1", at: datetime | None = None) -> int:
    period = period_of("month", at or datetime.now(UTC))
    return (await storage.read(lambda tx: tx.quotas.used([(subject, period)])))[subject, period.name]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Storage]:
    storage = await SqliteStorage.open(tmp_path / "registry.db", lambda _: None)
    yield storage
    await storage.close()


@pytest.fixture
async def ok_port() -> AsyncIterator[int]:
    async with raw_server(answering(OK)) as port:
        yield port


@pytest.fixture
def metered(rig: Rig, store: Storage, ok_port: int) -> Rig:
    """`me/hello` answers "ok"; its quotas are counted in `store`."""
    rig.gateway.quotas.ledger = QuotaLedger(store)
    rig.api("hello", ok_port)
    return rig


async def hammer(clients: list[httpx2.AsyncClient], calls: int, key: str) -> list[int]:
    """`calls` by 64 at once, turn by turn on each of the clients."""
    places = iter(range(calls))
    statuses: list[int] = []

    async def one() -> None:
        for place in places:
            answer = await clients[place % len(clients)].get("/me/hello/", headers=bearer(key))
            statuses.append(answer.status_code)

    await asyncio.gather(*(one() for _ in range(64)))
    return statuses


class TestUnderLoad:
    @pytest.mark.parametrize("requests", [1, 50, 700])
    async def test_64_clients_are_let_in_exactly_as_often_as_there_is_quota(
        self, metered: Rig, store: Storage, requests: int
    ) -> None:
        text, key = a_quota_key(requests)
        metered.gateway.callers.use_keys([key])
        statuses = await hammer([metered.client], requests + 200, text)
        assert (statuses.count(200), statuses.count(429)) == (requests, 200)
        assert await counted(store) == requests

    async def test_two_servers_never_overrun_it_together(self, metered: Rig, store: Storage, ok_port: int) -> None:
        text, key = a_quota_key(300)
        other = Gateway(lambda _: None, RealSystem(), hosts=Hosts([]))
        other.quotas.ledger = QuotaLedger(store)
        second = Rig(other, 0, metered.client)
        second.api("hello", ok_port)
        for gateway in (metered.gateway, other):
            gateway.callers.use_keys([key])
        async with (
            serving(Edge(control, other), **uvicorn_options()) as port,
            httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
        ):
            statuses = await hammer([metered.client, client], 700, text)
            admitted = statuses.count(200)
            held = sum(
                g.quotas.unspent("key:k1", period_of("month", datetime.now(UTC))) for g in (metered.gateway, other)
            )
            assert admitted + held == await counted(store) <= 300
            await asyncio.gather(other.quotas.close(), metered.gateway.quotas.close())
            assert await counted(store) == admitted
            # What one of them held is free again.
            statuses = await hammer([metered.client], 300, text)
            assert admitted + statuses.count(200) == 300
            await other.close()

    async def test_most_calls_wait_for_no_storage(self, metered: Rig, store: Storage) -> None:
        text, key = a_quota_key(100_000)
        metered.gateway.callers.use_keys([key])
        leases: list[int] = []
        ledger = QuotaLedger(store)

        class Counting(QuotaLedger):
            async def lease(self, subject: str, period: Period, cap: int | None, wanted: int) -> Lease:
                leases.append(wanted)
                return await ledger.lease(subject, period, cap, wanted)

        metered.gateway.quotas.ledger = Counting(store)
        assert (await hammer([metered.client], 600, text)).count(200) == 600
        assert len(leases) <= 5

    async def test_an_api_that_comes_up_while_a_call_waits_for_storage_is_not_missed(
        self, metered: Rig, store: Storage, ok_port: int
    ) -> None:
        class Slow(QuotaLedger):
            async def lease(self, subject: str, period: Period, cap: int | None, wanted: int) -> Lease:
                metered.api("hello", ok_port)
                return await QuotaLedger.lease(self, subject, period, cap, wanted)

        metered.gateway.quotas.ledger = Slow(store)
        metered.api("hello", None, availability="starting")
        text, key = a_quota_key(3)
        metered.gateway.callers.use_keys([key])
        answer = await metered.client.get("/me/hello/", headers=bearer(text))
        assert (answer.status_code, (await metered.record()).held) == (200, False)


class TestWhatCosts:
    @pytest.mark.parametrize(
        ("answer", "cost"), [(OK, 1), (NOT_FOUND, 1), (FAILED, 0), (b"", 0), (b"nonsense\r\n\r\n", 0)]
    )
    async def test_an_answer_below_500(self, metered: Rig, store: Storage, answer: bytes, cost: int) -> None:
        text, key = a_quota_key(100)
        metered.gateway.callers.use_keys([key])
        async with raw_server(answering(answer, close=not answer.startswith(b"HTTP"))) as port:
            metered.api("hello", port)
            for _ in range(3):
                await metered.client.get("/me/hello/", headers=bearer(text))
        await metered.gateway.quotas.close()
        assert await counted(store) == 3 * cost

    async def test_the_gateways_own_refusals_do_not(self, metered: Rig, store: Storage) -> None:
        text, key = a_quota_key(100)
        metered.gateway.callers.use_keys([key])
        metered.api("hello", None, availability="stopped")
        assert (await metered.client.get("/me/hello/", headers=bearer(text))).status_code == 503
        await metered.gateway.quotas.close()
        assert await counted(store) == 0

    async def test_who_hangs_up_on_an_api_at_work_has_been_served(self, metered: Rig, store: Storage) -> None:
        text, key = a_quota_key(100)
        metered.gateway.callers.use_keys([key])
        reached = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            reached.set()
            await reader.read()

        async with raw_server(silent) as port:
            metered.api("hello", port)
            _, writer = await asyncio.open_connection("127.0.0.1", metered.port)
            writer.write(
                b"GET /me/hello/ HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-Api-Key: %b\r\n\r\n"
                % (metered.port, text.encode())
            )
            await reached.wait()
            writer.close()
            assert (await metered.record()).outcome is CallOutcome.ABORTED
        await metered.gateway.quotas.close()
        assert await counted(store) == 1

    async def test_beyond_a_billed_quota_all_is_counted_and_nothing_refused(self, metered: Rig, store: Storage) -> None:
        text, key = a_quota_key(10, "bill")
        metered.gateway.callers.use_keys([key])
        assert (await hammer([metered.client], 200, text)).count(200) == 200
        await metered.gateway.quotas.close()
        assert await counted(store) == 200

    async def test_a_key_that_replaces_another_goes_on_counting(self, metered: Rig, store: Storage) -> None:
        (old, first), (new, second) = (a_quota_key(3, number=number, quota_subject="key:k1") for number in (1, 2))
        metered.gateway.callers.use_keys([first, second])
        statuses = [
            (await metered.client.get("/me/hello/", headers=bearer(key))).status_code for key in (old, new, old, new)
        ]
        assert statuses == [200, 200, 200, 429]


class TestAnswers:
    async def test_tell_what_is_left_beside_the_rate_limit(self, metered: Rig, ok_port: int) -> None:
        from local_server.domain.manifest import RateLimit

        text, key = a_quota_key(5, rate_limit=RateLimit(60, 60))
        metered.gateway.callers.use_keys([key])
        answer = await metered.client.get("/me/hello/", headers=bearer(text))
        month = period_of("month", datetime.now(UTC))
        policy = f'"caller";q=60;w=60, "quota";q=5;w={month.length_s}'
        assert answer.headers["ratelimit-policy"] == policy
        assert '"quota";r=4;t=' in answer.headers["ratelimit"]
        assert answer.headers["ratelimit-remaining"] == "59"

    async def test_of_a_quota_that_is_used_up_tell_when_it_begins_anew(self, metered: Rig) -> None:
        text, key = a_quota_key(1)
        metered.gateway.callers.use_keys([key])
        await metered.client.get("/me/hello/", headers=bearer(text))
        refused = await metered.client.get("/me/hello/", headers=bearer(text))
        problem = refused.json()
        assert (refused.status_code, problem["code"], problem["quota"]) == (429, "quota_exceeded", "1/month")
        left_s = (period_of("month", datetime.now(UTC)).ends_at - datetime.now(UTC)).total_seconds()
        assert abs(int(refused.headers["retry-after"]) - left_s) < 5
        assert refused.headers["ratelimit"].startswith('"quota";r=0;t=')
        assert [(row.outcome, row.key_id) for row in metered.records] == [
            (CallOutcome.OK, "k1"),
            (CallOutcome.REFUSED, "k1"),
        ]


class Clock:
    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


class TestPurses:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock(datetime(2026, 3, 31, 23, 0, tzinfo=UTC))

    @pytest.fixture
    async def quotas(self, clock: Clock, store: Storage) -> AsyncIterator[Quotas]:
        quotas = Quotas(clock.now)
        quotas.ledger = QuotaLedger(store)
        yield quotas
        await quotas.close()

    @staticmethod
    def grant(requests: int = 100) -> Grant:
        return grant_of(a_quota_key(requests)[1])

    @staticmethod
    async def spend(quotas: Quotas, grant: Grant) -> Purse:
        return quotas.take(grant) or await quotas.wait(grant, "me/hello")

    async def test_a_period_that_ends_gives_back_what_is_left_and_the_next_begins(
        self, quotas: Quotas, clock: Clock, store: Storage
    ) -> None:
        march = clock.at
        old = await self.spend(quotas, self.grant())
        clock.at += timedelta(hours=1)
        new = await self.spend(quotas, self.grant())
        assert (old.period.name, new.period.name, new.remaining) == ("2026-03", "2026-04", 99)
        quotas.refund(old)  # it began in March, and failed in April
        await quotas.close()
        assert (await counted(store, at=march), await counted(store, at=clock.at)) == (0, 1)

    async def test_at_rest_it_gives_back_what_is_left(self, quotas: Quotas, clock: Clock, store: Storage) -> None:
        await self.spend(quotas, self.grant())
        quotas.sweep()
        assert quotas.unspent("key:k1", period_of("month", clock.at)) > 0
        quotas.sweep()
        assert quotas.unspent("key:k1", period_of("month", clock.at)) == 0
        await quotas.close()
        assert await counted(store, at=clock.at) == 1

    async def test_a_crash_leaves_one_lease_counted_as_used(self, quotas: Quotas, clock: Clock, store: Storage) -> None:
        await self.spend(quotas, self.grant(1600))
        assert await counted(store, at=clock.at) == 100

    async def test_another_quota_for_the_same_key_counts_on(self, quotas: Quotas, clock: Clock) -> None:
        for _ in range(3):
            await self.spend(quotas, self.grant(100))
        assert (await self.spend(quotas, self.grant(10))).remaining == 10 - 4

    async def test_one_that_is_used_up_asks_seldom_and_notices_what_is_given_back(
        self, quotas: Quotas, clock: Clock, store: Storage
    ) -> None:
        period, now_s = period_of("month", clock.at), asyncio.get_running_loop().time
        await store.write(lambda tx: tx.quotas.lease("key:k1", period, 10, 10))
        with pytest.raises(QuotaExceeded):
            await self.spend(quotas, self.grant(10))
        await store.write(lambda tx: tx.quotas.give_back("key:k1", period, 1))
        began_s = now_s()
        with pytest.raises(QuotaExceeded):
            await self.spend(quotas, self.grant(10))
        async with asyncio.timeout(5):
            while True:
                try:
                    await self.spend(quotas, self.grant(10))
                    break
                except QuotaExceeded:
                    await asyncio.sleep(0.05)
        assert now_s() - began_s < 3

    async def test_what_cannot_be_counted_is_refused(self, quotas: Quotas) -> None:
        class Broken:
            async def lease(self, *_: object) -> Lease:
                raise StorageFull("/data")

            async def give_back(self, *_: object) -> None:
                raise StorageFull("/data")

        quotas.ledger = Broken()
        with pytest.raises(QuotaUncounted):
            await self.spend(quotas, self.grant())

    async def test_a_caller_that_gives_up_while_waiting_takes_nothing(
        self, quotas: Quotas, clock: Clock, store: Storage
    ) -> None:
        waiting = asyncio.create_task(quotas.wait(self.grant(1), "me/hello"))
        await asyncio.sleep(0)  # it has asked for a lease
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert (await self.spend(quotas, self.grant(1))).remaining == 0
