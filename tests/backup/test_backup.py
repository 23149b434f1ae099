"""Backups of both databases: whole, checked, and only into an empty place."""

import asyncio
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from local_server.backup.archive import Manifest, verified, writing
from local_server.backup.service import backup, restore
from local_server.data_directory import DataDirectory
from local_server.domain.events import Event
from local_server.domain.server_errors import AlreadyRunning
from local_server.domain.storage_errors import (
    BackupUnreadable,
    DatabaseNotEmpty,
    FileExists,
    NothingToBackUp,
    StorageNewer,
)
from local_server.domain.trees import Tree, TreeEntry
from local_server.settings import Settings
from local_server.storage.base import ReadTx, Storage, Tx
from local_server.storage.blobs import BlobStore
from local_server.storage.postgres import PostgresStorage
from local_server.storage.sqlite import SqliteStorage
from tests.contracts.test_storage_market import TEXTS, a_listing
from tests.postgres.clusters import Cluster
from tests.storage.factories import ALICE, NOON, an_api, an_execution, an_outgoing

Place = tuple[Settings, Callable[[], Settings]]
"""(what is backed up, something empty to restore into)"""


def ignore(_event: Event) -> None:
    """These tests are not about events."""


async def opened(settings: Settings) -> Storage:
    if url := settings.database.get_secret_value():
        return await PostgresStorage.open(url, ignore)
    return await SqliteStorage.open(settings.home / "registry.db", ignore)


@pytest.fixture(params=["sqlite", *(pytest.param(f"postgres{v}", marks=pytest.mark.postgres) for v in (18, 15))])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    (tmp_path / "home").mkdir()
    (tmp_path / "other").mkdir()
    if request.param == "sqlite":
        return Settings(home=tmp_path / "home"), lambda: Settings(home=tmp_path / "other")
    cluster: Cluster = request.getfixturevalue(request.param)
    return (
        Settings(home=tmp_path / "home", database=cluster.database()),  # type: ignore[arg-type]
        lambda: Settings(home=tmp_path / "other", database=cluster.empty_database()),  # type: ignore[arg-type]
    )


async def fill(settings: Settings, *, close: bool = True) -> Storage:
    """A user, an API, a hostile file name, requests of three days, an outgoing version, a listing; a blob and a key."""
    storage = await opened(settings)
    sha256, size = BlobStore(settings.home / "blobs").put(b"print('hello')\n")
    DataDirectory(settings.home).device_key()
    api = an_api(1, "weather")
    tree = Tree({"main.py": TreeEntry(sha256, size, 0o644), "\u00fc\n\\N\t": TreeEntry(sha256, size, 0o755)})

    def act(tx: Tx) -> None:
        tx.accounts.add(ALICE)
        tx.registry.add(api)
        tx.deployments.add_tree(tree)
        tx.usage.add([an_execution(api, n, after_s=86_400.0 * n, path="/a\\b\n\t'\u2028") for n in range(3)])
        tx.catalogue.put(a_listing(1, "weather"), TEXTS, NOON)
        tx.outbox.add(replace(an_outgoing(1), tree=tree.digest, document=bytes(range(256))))

    await storage.write(act)
    if close:
        await storage.close()
    return storage


def everything(tx: ReadTx) -> list[object]:
    api = an_api(1).id
    return [
        tx.accounts.all(),
        tx.registry.all(),
        tx.registry.search("weath"),
        tx.usage.history(api),
        [tx.deployments.tree(digest) for digest in sorted(tx.deployments.live_trees())],
        tx.outbox.latest(),
        tx.catalogue.all("", 10),
        tx.catalogue.tags(),
    ]


class TestBothDatabases:
    async def test_what_is_restored_is_what_was_backed_up(self, place: Place, tmp_path: Path) -> None:
        settings, empty = place
        storage = await fill(settings, close=False)
        done = await asyncio.to_thread(backup, settings, tmp_path / "all.backup")  # while the server runs
        expected = await storage.read(everything)
        await storage.close()
        assert (tmp_path / "all.backup").stat().st_mode & 0o077 == 0
        other = empty()
        assert (await asyncio.to_thread(restore, other, tmp_path / "all.backup")).files == done.files
        again = await opened(other)
        assert await again.read(everything) == expected
        assert again.install_id == storage.install_id
        await again.write(lambda tx: tx.registry.remove(an_api(1).id))  # it is a database like any other
        assert await again.read(lambda tx: tx.catalogue.tags()) == {}
        await again.close()
        assert (other.home / "device.key").read_text() == (settings.home / "device.key").read_text()
        (blob,) = {entry.sha256 for tree in expected[4] if tree for entry in tree.entries.values()}  # type: ignore[attr-defined]
        assert BlobStore(other.home / "blobs").verify(blob)

    async def test_nothing_is_ever_overwritten(self, place: Place, tmp_path: Path) -> None:
        settings, empty = place
        await fill(settings)
        await asyncio.to_thread(backup, settings, tmp_path / "a")
        with pytest.raises(FileExists):
            await asyncio.to_thread(backup, settings, tmp_path / "a")
        with pytest.raises(DatabaseNotEmpty):
            await asyncio.to_thread(restore, settings, tmp_path / "a")
        other = empty()
        (other.home / "device.key").write_text("mine")
        with pytest.raises(DatabaseNotEmpty):
            await asyncio.to_thread(restore, other, tmp_path / "a")
        assert (other.home / "device.key").read_text() == "mine"

    async def test_a_file_that_was_cut_or_changed_anywhere_changes_nothing(self, place: Place, tmp_path: Path) -> None:
        settings, empty = place
        await fill(settings)
        whole = tmp_path / "whole"
        await asyncio.to_thread(backup, settings, whole)
        content = whole.read_bytes()
        with tarfile.open(whole) as tar:
            members = tar.getmembers()
        places = [member.offset_data + member.size // 2 for member in members if member.size]
        end = members[-1].offset_data + members[-1].size  # behind it are zeros alone
        other = empty()
        before = sorted(path.name for path in other.home.iterdir())
        damaged = [content[: end * part // 8] for part in range(8)] + [content[: end - 1]]
        damaged += [content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :] for at in places]
        for number, wrong in enumerate(damaged):
            (tmp_path / f"wrong-{number}").write_bytes(wrong)
            with pytest.raises(BackupUnreadable):
                restore(other, tmp_path / f"wrong-{number}")
        assert sorted(path.name for path in other.home.iterdir()) == before
        await asyncio.to_thread(restore, other, whole)


class TestRefusals:
    def test_nothing_to_back_up(self, tmp_path: Path) -> None:
        with pytest.raises(NothingToBackUp):
            backup(Settings(home=tmp_path), tmp_path / "a")
        assert list(tmp_path.iterdir()) == []

    async def test_a_running_server_is_not_restored_into(self, tmp_path: Path) -> None:
        (tmp_path / "home").mkdir()
        await fill(Settings(home=tmp_path / "home"))
        backup(Settings(home=tmp_path / "home"), tmp_path / "a")
        with DataDirectory(tmp_path / "other"), pytest.raises(AlreadyRunning):
            restore(Settings(home=tmp_path / "other"), tmp_path / "a")

    async def test_one_database_is_not_restored_into_the_other(self, tmp_path: Path) -> None:
        (tmp_path / "home").mkdir()
        await fill(Settings(home=tmp_path / "home"))
        backup(Settings(home=tmp_path / "home"), tmp_path / "a")
        chosen = Settings(home=tmp_path / "other", database="postgresql://127.0.0.1:1/none")  # type: ignore[arg-type]
        with pytest.raises(BackupUnreadable, match="sqlite"):
            restore(chosen, tmp_path / "a")

    def test_one_of_a_newer_program(self, tmp_path: Path) -> None:
        with writing(tmp_path / "a") as writer:
            writer.finish(Manifest("9.0", "sqlite", ("9999_from_the_future",), NOON.isoformat(), {}))
        with pytest.raises(StorageNewer, match="9999"):
            restore(Settings(home=tmp_path / "home"), tmp_path / "a")

    @pytest.mark.parametrize(
        "name",
        ["../evil", "/etc/passwd", "blobs/../../x", "keys/token", "registry.db/x", "tables/a;b", "manifest.json/"],
    )
    def test_hostile_names(self, tmp_path: Path, name: str) -> None:
        hostile_archive(tmp_path / "a", tarfile.TarInfo(name))
        with pytest.raises(BackupUnreadable):
            restore(Settings(home=tmp_path / "home"), tmp_path / "a")

    @pytest.mark.parametrize(
        "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE]
    )
    def test_what_is_no_file(self, tmp_path: Path, kind: bytes) -> None:
        member = tarfile.TarInfo("registry.db")
        member.type, member.linkname = kind, "/etc/passwd"
        hostile_archive(tmp_path / "a", member)
        with pytest.raises(BackupUnreadable):
            restore(Settings(home=tmp_path / "home"), tmp_path / "a")

    @pytest.mark.parametrize("content", [b"", b"no tar", b"\0" * 20_000, b"PK\x03\x04" + b"x" * 9000])
    def test_what_is_no_backup(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a").write_bytes(content)
        with pytest.raises(BackupUnreadable):
            verified(tmp_path / "a")

    @pytest.mark.parametrize(
        "manifest", ["", "[]", "{}", '{"format": 1}', '{"format": 2, "files": {}}', '{"format": 1, "files": 7}']
    )
    def test_a_manifest_that_is_none(self, tmp_path: Path, manifest: str) -> None:
        hostile_archive(tmp_path / "a", tarfile.TarInfo("manifest.json"), manifest.encode())
        with pytest.raises(BackupUnreadable):
            verified(tmp_path / "a")


def hostile_archive(path: Path, member: tarfile.TarInfo, content: bytes = b"x") -> None:
    with tarfile.open(path, "w") as tar:
        member.size = len(content) if member.isreg() else 0
        tar.addfile(member, io.BytesIO(content))
        manifest = content if member.name == "manifest.json" else json.dumps({"format": 1}).encode()
        ends = {"manifest.json": manifest, "manifest.sha256": hashlib.sha256(manifest).hexdigest().encode()}
        for name, written in ends.items():
            if name != member.name:
                last = tarfile.TarInfo(name)
                last.size = len(written)
                tar.addfile(last, io.BytesIO(written))
