"""PostgresStorage beside others, and on bad days. What every store promises: tests/contracts."""

import asyncio
import signal
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from local_server.domain.events import ApiChanged, Event
from local_server.domain.ids import ApiId
from local_server.domain.registry_errors import HandleTaken, NameTaken
from local_server.domain.storage_errors import StorageNewer, StorageUnavailable, StorageUnreadable
from local_server.domain.usage import Step
from local_server.storage import postgres
from local_server.storage.base import Storage, Tx
from local_server.storage.migrations.postgres import STEPS
from local_server.storage.pg_connection import translated
from local_server.storage.pg_link import place_of
from local_server.storage.postgres import PostgresStorage
from tests.postgres.clusters import Cluster, running
from tests.postgres.cutting_proxy import Cut, CuttingProxy
from tests.storage.factories import ALICE, NOON, a_generation, a_tree, a_user, add_apis, an_api, an_execution, an_id

pytestmark = pytest.mark.postgres

Open = Callable[[], Awaitable[PostgresStorage]]


def ignore(_event: Event) -> None:
    """These tests are not about events."""


@pytest.fixture
async def servers(postgres18: Cluster) -> AsyncIterator[Open]:
    """Opens the storage of another server each time, on one database that knows alice and her APIs 1 and 2."""
    url = postgres18.database()
    opened: list[PostgresStorage] = []

    async def open_one() -> PostgresStorage:
        opened.append(await PostgresStorage.open(url, ignore))
        return opened[-1]

    first = await open_one()
    await first.write(lambda tx: tx.accounts.add(ALICE))
    await add_apis(first, an_api(1), an_api(2))
    yield open_one
    for storage in opened:
        await storage.close()


async def outcomes(*acts: Awaitable[object]) -> list[object]:
    """What each returned, or the class of what it raised."""
    found = await asyncio.gather(*acts, return_exceptions=True)
    return [type(one) if isinstance(one, BaseException) else one for one in found]


class TestBesideOthers:
    async def test_of_two_who_take_a_name_one_is_refused_in_words(self, servers: Open) -> None:
        one, other = await servers(), await servers()
        acts = [add_apis(storage, an_api(number, "same")) for number, storage in enumerate([one, other] * 5, 10)]
        found = await outcomes(*acts)
        assert found.count(None) == 1
        assert found.count(NameTaken) == 9

    async def test_of_many_who_take_a_handle_one_gets_it(self, servers: Open) -> None:
        one, other = await servers(), await servers()

        def add(number: int) -> Callable[[Tx], None]:
            return lambda tx: tx.accounts.add(a_user(number, "bob"))

        found = await outcomes(*((one, other)[number % 2].write(add(number)) for number in range(20)))
        assert found.count(None) == 1
        assert found.count(HandleTaken) == 19

    async def test_what_is_read_to_be_written_back_is_never_lost(self, servers: Open) -> None:
        one, other = await servers(), await servers()

        def bump(tx: Tx) -> None:
            api = tx.registry.get(ApiId(an_id(1)))
            assert api is not None
            tx.registry.save(api, api.revision)

        await asyncio.gather(*(storage.write(bump) for storage in [one, other] * 25))
        api = await one.read(lambda tx: tx.registry.get(ApiId(an_id(1))))
        assert api is not None
        assert api.revision == 51

    async def test_acts_that_wait_for_each_other_are_both_done(self, servers: Open) -> None:
        one, other = await servers(), await servers()
        both = threading.Barrier(2)
        runs: list[int] = []

        def crosswise(first: int, second: int) -> Callable[[Tx], None]:
            met = False

            def act(tx: Tx) -> None:
                nonlocal met
                runs.append(first)
                for number in (first, second):
                    api = tx.registry.get(ApiId(an_id(number)))
                    assert api is not None
                    tx.registry.save(replace(api, directory=f"/moved/{first}/{number}"), api.revision)
                    if not met:
                        met = True
                        both.wait(10)

            return act

        await asyncio.gather(one.write(crosswise(1, 2)), other.write(crosswise(2, 1)))
        assert len(runs) >= 3  # one of them, or each, was rolled back and run again
        revisions = [api.revision for api in await one.read(lambda tx: tx.registry.all())]
        assert revisions == [3, 3]

    async def test_trees_are_added_beside_each_other(self, servers: Open) -> None:
        one, other = await servers(), await servers()
        both = threading.Barrier(2)

        def add(text: str) -> Callable[[Tx], None]:
            def act(tx: Tx) -> None:
                tx.deployments.add_tree(a_tree(text))
                both.wait(10)

            return act

        await asyncio.gather(one.write(add("one")), other.write(add("other")))

    async def test_a_tree_that_somebody_is_about_to_point_at_is_not_pruned(
        self, servers: Open, postgres18: Cluster
    ) -> None:
        one, other = await servers(), await servers()
        tree, added = a_tree("left by somebody"), threading.Event()
        await one.write(lambda tx: tx.deployments.add_tree(tree))

        def point_at_it(tx: Tx) -> None:
            tx.deployments.add_tree(tree)
            added.set()
            with psycopg.connect(postgres18.url(), autocommit=True) as connection:
                deadline = time.monotonic() + 30
                while not connection.execute("select 1 from pg_locks where not granted").fetchone():
                    assert time.monotonic() < deadline, "nobody waits"
                    time.sleep(0.01)
            tx.deployments.put_generation(a_generation(an_api(1), 1, tree))

        pointing = asyncio.create_task(one.write(point_at_it))
        await asyncio.to_thread(added.wait, 10)
        await other.write(lambda tx: tx.deployments.prune(ApiId(an_id(2)), keep=1))
        await pointing
        assert await one.read(lambda tx: tx.deployments.tree(tree.digest)) == tree

    async def test_an_act_that_always_collides_is_given_up(self, servers: Open) -> None:
        storage = await servers()
        runs: list[int] = []

        def act(tx: Tx) -> None:
            runs.append(1)
            raise psycopg.errors.DeadlockDetected

        with pytest.raises(StorageUnavailable):
            await storage.write(act)
        assert len(runs) == postgres.ATTEMPTS

    async def test_a_minute_that_two_begin_to_count_at_once_has_the_requests_of_both(self, servers: Open) -> None:
        one, other = await servers(), await servers()
        apis = [an_api(1), an_api(2)]

        def add(turn: int) -> Callable[[Tx], int]:
            ordered = apis if turn % 2 else apis[::-1]
            rows = [an_execution(api, 1000 + 10 * turn + place) for place, api in enumerate(ordered)]
            return lambda tx: tx.usage.add(rows)

        await asyncio.gather(*(storage.write(add(turn)) for turn, storage in enumerate([one, other] * 10)))
        for api in apis:
            for step in Step:
                (rollup,) = await one.read(
                    lambda tx, api=api, step=step: tx.usage.rollups(api.id, step, step.start_of(NOON))
                )
                assert rollup.tally.requests == 20

    async def test_a_reader_does_not_wait_for_a_writer(self, servers: Open) -> None:
        one, other = await servers(), await servers()
        begun, go_on = threading.Event(), threading.Event()

        def act(tx: Tx) -> None:
            tx.registry.get(ApiId(an_id(1)))
            begun.set()
            go_on.wait(10)

        writing = asyncio.create_task(one.write(act))
        await asyncio.to_thread(begun.wait, 10)
        assert await other.read(lambda tx: tx.registry.get(ApiId(an_id(1)))) is not None
        go_on.set()
        await writing


class TestOpening:
    async def test_servers_that_start_at_once_make_the_tables_once(self, postgres18: Cluster) -> None:
        url = postgres18.empty_database()
        opened = await asyncio.gather(*(PostgresStorage.open(url, ignore) for _ in range(4)))
        try:
            assert len({storage.install_id for storage in opened}) == 1
            with psycopg.connect(url) as connection:
                names = [name for (name,) in connection.execute("select name from apimarket_migrations order by name")]
            assert names == sorted(STEPS)
        finally:
            for storage in opened:
                await storage.close()
            postgres18.drop(url)

    async def test_a_database_of_a_newer_program_is_refused(self, postgres18: Cluster) -> None:
        url = postgres18.empty_database()
        try:
            await (await PostgresStorage.open(url, ignore)).close()
            with psycopg.connect(url) as connection:
                connection.execute("insert into apimarket_migrations (name) values ('9999_from_the_future')")
            with pytest.raises(StorageNewer, match="9999_from_the_future"):
                await PostgresStorage.open(url, ignore)
        finally:
            postgres18.drop(url)

    async def test_a_database_that_cannot_hold_all_text_is_refused(self, postgres18: Cluster) -> None:
        postgres18.execute("create database ascii template template0 encoding 'SQL_ASCII' locale 'C'")
        try:
            with pytest.raises(StorageUnreadable, match="UTF8"):
                await PostgresStorage.open(postgres18.url("ascii"), ignore)
        finally:
            postgres18.execute("drop database ascii")

    @pytest.mark.parametrize(
        "conninfo",
        [
            "postgresql://ana:hunter2@127.0.0.1:1/market",
            "host=127.0.0.1 port=1 user=ana password=hunter2 dbname=market",
        ],
    )
    async def test_one_that_does_not_answer_is_named_without_its_password(self, conninfo: str) -> None:
        with pytest.raises(StorageUnavailable, match=r"127\.0\.0\.1:1/market") as refused:
            await PostgresStorage.open(conninfo, ignore)
        assert "hunter2" not in str(refused.value)
        assert "ana" not in place_of(conninfo)

    async def test_a_broken_url_is_told_of(self) -> None:
        with pytest.raises(StorageUnreadable, match="URL"):
            await PostgresStorage.open("postgresql://[", ignore)


@pytest.fixture
def own() -> Iterator[Cluster]:
    """A server that a test may kill."""
    with running(18) as cluster:
        yield cluster


class TestBadDays:
    @pytest.mark.parametrize("when", ["before", "after"])
    async def test_a_connection_cut_at_the_commit_leaves_the_act_done_once(
        self, postgres18: Cluster, tmp_path_factory: pytest.TempPathFactory, when: Cut
    ) -> None:
        url = postgres18.database()
        directory = Path(tmp_path_factory.mktemp("p"))
        published: list[Event] = []
        runs: list[int] = []

        def act(tx: Tx) -> int:
            runs.append(1)
            tx.accounts.add(ALICE)
            tx.emit(ApiChanged(ApiId("a")))
            return 7

        with CuttingProxy(postgres18.directory, directory) as proxy:
            storage = await PostgresStorage.open(
                url.replace(str(postgres18.directory), str(directory)), published.append
            )
            proxy.arm(b"commit\0", when)
            assert await storage.write(act) == 7
            assert proxy.cuts == 1
            assert len(runs) == (2 if when == "before" else 1)
            assert await storage.read(lambda tx: tx.accounts.all()) == [ALICE]
            assert published == [ApiChanged(ApiId("a"))]
            await storage.close()

    @pytest.mark.slow
    async def test_a_crash_under_load_loses_nothing_that_was_promised(self, own: Cluster) -> None:
        storage = await PostgresStorage.open(own.database(), ignore)
        kept: set[str] = set()
        stopped = False

        async def write(writer: int) -> None:
            for number in range(10_000):
                if stopped:
                    return
                user = a_user(writer * 10_000 + number, f"user-{writer}-{number}")
                await storage.write(lambda tx, user=user: tx.accounts.add(user))
                kept.add(user.handle)

        writers = [asyncio.create_task(write(writer)) for writer in range(8)]
        for _ in range(2):
            before = len(kept)
            async with asyncio.timeout(30):
                while len(kept) < before + 100:
                    await asyncio.sleep(0.01)
            await asyncio.to_thread(own.stop, signal.SIGQUIT)
            await asyncio.to_thread(own.start)
        stopped = True
        await asyncio.gather(*writers)
        there = [user.handle for user in await storage.read(lambda tx: tx.accounts.all())]
        assert len(there) == len(set(there))
        assert set(there) == kept
        await storage.close()

    @pytest.mark.slow
    async def test_a_server_that_is_gone_is_told_of_and_used_again_when_it_is_back(self, own: Cluster) -> None:
        storage = await PostgresStorage.open(own.database(), ignore)
        await storage.write(lambda tx: tx.accounts.add(ALICE))
        await asyncio.to_thread(own.stop)
        found = await outcomes(storage.read(lambda tx: tx.accounts.all()), storage.write(lambda tx: None))
        assert found == [StorageUnavailable] * 2
        await asyncio.to_thread(own.start)
        assert await storage.read(lambda tx: tx.accounts.all()) == [ALICE]
        await storage.close()

    @pytest.mark.slow
    async def test_out_of_connections(self, own: Cluster) -> None:
        own.execute("create role tenant login connection limit 3")
        own.execute("create database tenants owner tenant template template0")
        url = own.url("tenants", user="tenant")
        storage = await PostgresStorage.open(url, ignore)
        assert await outcomes(*(storage.write(lambda tx: None) for _ in range(20))) == [None] * 20
        await storage.close()
        taken = [own.patiently_connected(url) for _ in range(3)]
        with pytest.raises(StorageUnavailable, match="too many connections"):
            await PostgresStorage.open(url, ignore)
        for connection in taken:
            connection.close()

    async def test_a_statement_that_failed_ends_the_transaction(self, servers: Open) -> None:
        storage: Storage = await servers()

        def act(tx: Tx) -> None:
            with pytest.raises(psycopg.errors.CheckViolation):
                tx.reviews._connection.execute(  # type: ignore[attr-defined]
                    "update apis set status = 'unheard of'", {}
                )

        with pytest.raises(RuntimeError, match="went on regardless"):
            await storage.write(act)
        assert len(await storage.read(lambda tx: tx.registry.all())) == 2


class TestTranslated:
    @pytest.mark.parametrize(
        ("sql", "expected"),
        [
            ("a = :a and b = :b_2", b"a = %(a)s and b = %(b_2)s"),
            ("cast(:a as text) = ':a' and b::text = :b", b"cast(%(a)s as text) = ':a' and b::text = %(b)s"),
            ("a like 'x%' and 5 % :n = 0", b"a like 'x%%' and 5 %% %(n)s = 0"),
            ("'it''s :a'", b"'it''s :a'"),
        ],
    )
    def test_names_are_written_as_the_driver_wants_them(self, sql: str, expected: bytes) -> None:
        assert translated(sql) == expected
