"""What is SQLite's own: the file, its mode, its versions, full disks and sudden ends."""

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database

from local_server.domain.events import ApiRegistered, Event
from local_server.domain.registry import Api
from local_server.domain.storage_errors import StorageFull, StorageNewer, StorageUnreadable
from local_server.storage.base import Tx
from local_server.storage.sqlite import SqliteStorage
from tests.storage.factories import ALICE, add_apis, an_api, an_execution

ROOT = Path(__file__).parents[2]
WRITER = Path(__file__).with_name("killed_writer.py")


def ignore(_event: Event) -> None:
    """For tests that are not about events."""


class TestFile:
    async def test_is_its_owners_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "apimarket.db"
        storage = await SqliteStorage.open(path, ignore)
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        await storage.close()
        assert modes == {"apimarket.db": 0o600, "apimarket.db-wal": 0o600, "apimarket.db-shm": 0o600}

    async def test_is_taken_from_others_who_could_read_it(self, tmp_path: Path) -> None:
        path = tmp_path / "apimarket.db"
        path.touch(0o644)
        storage = await SqliteStorage.open(path, ignore)
        await storage.close()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    async def test_is_whole_in_one_piece_after_close(self, tmp_path: Path) -> None:
        storage = await SqliteStorage.open(tmp_path / "a.db", ignore)
        await storage.write(lambda tx: tx.accounts.add(ALICE))
        await storage.close()
        assert os.listdir(tmp_path) == ["a.db"]
        with sqlite3.connect(tmp_path / "a.db") as raw:
            assert raw.execute("select handle from users").fetchall() == [("alice",)]
            assert raw.execute("pragma integrity_check").fetchone() == ("ok",)
        raw.close()

    async def test_only_what_is_to_last_waits_for_the_disk(self, tmp_path: Path) -> None:
        storage = await SqliteStorage.open(tmp_path / "a.db", ignore)

        def flushes(tx: Tx) -> int:
            (row,) = tx.accounts._connection.execute("pragma synchronous", {})  # type: ignore[attr-defined]
            return int(row["synchronous"])

        def fails(tx: Tx) -> None:
            raise LookupError

        normal, full = 1, 2
        assert await storage.write(flushes) == normal
        assert await storage.write(flushes, lasting=True) == full
        with pytest.raises(LookupError):
            await storage.write(fails, lasting=True)
        assert await storage.write(flushes) == normal
        await storage.close()

    async def test_a_path_with_odd_characters_opens(self, tmp_path: Path) -> None:
        path = tmp_path / "50% off?#" / "ä b.db"
        storage = await SqliteStorage.open(path, ignore)
        assert await storage.read(lambda tx: tx.accounts.all()) == []
        await storage.close()
        assert path.exists()

    async def test_has_the_tables_and_indexes_others_rely_on(self, tmp_path: Path) -> None:
        storage = await SqliteStorage.open(tmp_path / "a.db", ignore)
        await storage.close()
        db = Database(tmp_path / "a.db")
        names = {row["name"] for row in db.query("select name from sqlite_master")}
        ours = [row for row in db.query("pragma table_list") if row["type"] == "table" and row["schema"] == "main"]
        loose = {row["name"] for row in ours if not row["strict"]}
        db.close()
        assert {"users", "apis", "executions", "generations", "deployments", "trees", "meta"} <= names
        assert {"idx_users_email", "idx_apis_user_id", "idx_apis_visibility", "idx_executions_api_id"} <= names
        assert {name for name in loose if not name.startswith("sqlite_")} == {"_sqlite_migrations"}

    async def test_install_ids_differ(self, tmp_path: Path) -> None:
        stores = [await SqliteStorage.open(tmp_path / name, ignore) for name in ("a.db", "b.db")]
        assert stores[0].install_id != stores[1].install_id
        for storage in stores:
            await storage.close()


class TestQueryPlans:
    """A page of the log, a count and a prune go by the index, however long the log is."""

    @pytest.mark.parametrize(
        "sql",
        [
            "select * from executions where api_id = :a and (started_at, id) < (:t, :b) "
            "order by started_at desc, id desc limit 10",
            "select outcome, count(*) from executions where api_id = :a and started_at >= :t group by outcome",
            "delete from executions where api_id in (select id from apis) and started_at < :t",
        ],
    )
    async def test_use_the_index(self, tmp_path: Path, sql: str) -> None:
        storage = await SqliteStorage.open(tmp_path / "a.db", ignore)
        await storage.close()
        raw = sqlite3.connect(tmp_path / "a.db")
        plan = [row[3] for row in raw.execute("explain query plan " + sql, {"a": "", "t": "", "b": ""})]
        raw.close()
        assert any("executions USING" in step and "idx_executions_api_id (api_id=? AND" in step for step in plan), plan
        assert not any("SCAN executions" in step for step in plan)


class TestRefusals:
    async def test_a_newer_database_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "a.db"
        storage = await SqliteStorage.open(path, ignore)
        await storage.close()
        db = Database(path)
        db["_sqlite_migrations"].insert(
            {"migration_set": "apimarket", "name": "9999_from_the_future", "applied_at": "2030-01-01"}
        )
        db.close()
        before = path.read_bytes()
        with pytest.raises(StorageNewer, match="9999_from_the_future"):
            await SqliteStorage.open(path, ignore)
        assert path.read_bytes() == before

    async def test_a_file_that_is_no_database_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "a.db"
        path.write_bytes(b"My shopping list\n" * 1000)
        with pytest.raises(StorageUnreadable, match="not a database"):
            await SqliteStorage.open(path, ignore)
        assert path.read_bytes() == b"My shopping list\n" * 1000

    async def test_a_directory_is_no_database(self, tmp_path: Path) -> None:
        with pytest.raises(StorageUnreadable, match="directory"):
            await SqliteStorage.open(tmp_path, ignore)


class TestFullDisk:
    """`max_pages` makes SQLite answer as it does on a full disk."""

    @pytest.fixture
    async def room(self, tmp_path: Path) -> int:
        """Pages for the empty tables, and a few more."""
        path = tmp_path / "empty.db"
        await (await SqliteStorage.open(path, ignore)).close()
        with closing(sqlite3.connect(path)) as raw:
            (pages,) = raw.execute("pragma page_count").fetchone()
        return int(pages) + 24

    async def fill(self, storage: SqliteStorage, api: Api) -> int:
        """Returns how many batches of ten went in before StorageFull."""
        for batch in range(10_000):
            rows = [an_execution(api, batch * 10 + number) for number in range(10)]
            try:
                await storage.write(lambda tx, rows=rows: tx.usage.add(rows))
            except StorageFull:
                return batch
        raise AssertionError("the disk never filled up")

    async def test_loses_nothing_acknowledged_and_recovers(self, tmp_path: Path, room: int) -> None:
        published: list[Event] = []
        storage = await SqliteStorage.open(tmp_path / "a.db", published.append, max_pages=room)
        api = an_api(1)
        await storage.write(lambda tx: tx.accounts.add(ALICE))
        await add_apis(storage, api, an_api(2))
        batches = await self.fill(storage, api)

        def too_much(tx: Tx) -> None:
            tx.emit(ApiRegistered(api.id))
            tx.usage.add([an_execution(api, 100_000 + number) for number in range(1000)])

        with pytest.raises(StorageFull, match=str(tmp_path)):
            await storage.write(too_much)
        assert published == []
        assert len(await storage.read(lambda tx: tx.usage.history(api.id, 100_000))) == batches * 10 > 0
        await storage.write(lambda tx: tx.registry.remove(api.id))
        await add_apis(storage, an_api(3))
        await storage.close()

    async def test_an_act_that_swallows_the_error_keeps_nothing(self, tmp_path: Path, room: int) -> None:
        storage = await SqliteStorage.open(tmp_path / "a.db", ignore, max_pages=room)
        api = an_api(1)
        await storage.write(lambda tx: tx.accounts.add(ALICE))
        await add_apis(storage, api)
        before = await self.fill(storage, api)

        def careless(tx: Tx) -> None:
            tx.registry.add(an_api(2))
            try:
                tx.usage.add([an_execution(api, 100_000 + number) for number in range(1000)])
            except sqlite3.OperationalError:
                tx.registry.add(an_api(3))

        with pytest.raises((RuntimeError, StorageFull)):
            await storage.write(careless)
        assert await storage.read(lambda tx: tx.registry.all()) == [api]
        assert len(await storage.read(lambda tx: tx.usage.history(api.id, 100_000))) == before * 10
        await storage.close()

    async def test_is_named_when_opening_too(self, tmp_path: Path) -> None:
        with pytest.raises(StorageFull):
            await SqliteStorage.open(tmp_path / "a.db", ignore, max_pages=5)
        storage = await SqliteStorage.open(tmp_path / "a.db", ignore)
        assert await storage.read(lambda tx: tx.accounts.all()) == []
        await storage.close()


class TestKilled:
    async def test_everything_acknowledged_is_there_afterwards(self, tmp_path: Path) -> None:
        path = tmp_path / "a.db"
        for round_number in range(3):
            acknowledged = await asyncio.to_thread(kill_in_the_middle, path, round_number * 100_000, 30)
            storage = await SqliteStorage.open(path, ignore)
            kept = {api.directory for api in await storage.read(lambda tx: tx.registry.all())}
            counted = await storage.read(lambda tx: [len(tx.usage.history(api.id)) for api in tx.registry.all()])
            await storage.close()
            assert {f"/home/alice/{number}" for number in acknowledged} <= kept
            assert len(acknowledged) >= 30
            assert set(counted) == {5}  # each act adds an API and its five rows, or neither
        with sqlite3.connect(path) as raw:
            assert raw.execute("pragma integrity_check").fetchone() == ("ok",)
            assert raw.execute("pragma foreign_key_check").fetchall() == []
        raw.close()


def kill_in_the_middle(path: Path, first: int, after: int) -> list[int]:
    """Let a child write until it has acknowledged `after` acts, kill it; every number it acknowledged."""
    command = [sys.executable, str(WRITER), str(path), str(first)]
    with subprocess.Popen(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(after)]
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.readlines()
    assert child.returncode == -signal.SIGKILL
    return [int(line) for line in lines if line.endswith("\n")]
