"""What a publisher was told outlives a power cut: before the commit every blob, and its name, is on the disk."""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local_server.domain.publishing import Missing, Outcome
from local_server.domain.trees import TreeEntry
from local_server.storage.blobs import BlobStore
from tests.publishing.conftest import Account, a_pack, frames_of, in_pieces

FILES = {f"{number}.py": b"%d" % number * 50 for number in range(12)}
LARGE = {"model.bin": os.urandom(300_000)}


@dataclass
class Disk:
    """What was asked of it, in order: `fsync` of an inode, `rename` of one to a path, the marketplace's `commit`."""

    done: list[tuple[str, Any]] = field(default_factory=list)

    def place(self, what: str, which: Any, after: int = -1) -> int:
        """Where it was done first after that place."""
        return self.done.index((what, which), after + 1)

    def assert_lasts(self, blobs: BlobStore, sha256: str) -> None:
        path = blobs.path(sha256)
        inode, directory = path.stat().st_ino, path.parent.stat().st_ino
        named = self.place("rename", (inode, path))
        assert self.place("fsync", inode) < named
        flushed = self.place("fsync", directory, named)
        assert self.place("fsync", blobs.root.stat().st_ino, named) < self.place("commit", None, flushed)


@pytest.fixture
def disk(ana: Account, monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    fsync, rename, write = os.fsync, Path.replace, ana.market.storage.write

    def noted_fsync(descriptor: int) -> None:
        fsync(descriptor)
        disk.done.append(("fsync", os.fstat(descriptor).st_ino))

    def noted_rename(path: Path, target: Path) -> Path:
        disk.done.append(("rename", (path.stat().st_ino, target)))
        return rename(path, target)

    async def noted_write(act: Callable[[Any], Any], *, lasting: bool = False) -> Any:
        if lasting:
            disk.done.append(("commit", None))
        return await write(act, lasting=lasting)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_rename)
    monkeypatch.setattr(ana.market.storage, "write", noted_write)
    return disk


async def all_in_one(ana: Account, files: dict[str, bytes]) -> None:
    await ana.publish("one", files)


async def in_an_upload(ana: Account, files: dict[str, bytes]) -> None:
    staged = await ana.send("one", ana.head("one", files, "1.0.0"))
    assert isinstance(staged, Missing)
    pack = a_pack({}, frames_of(files.values()))
    await ana.market.open.intake.receive(ana.user, staged.upload_id, in_pieces(pack))
    assert isinstance(await ana.market.open.intake.commit(ana.user, staged.upload_id), Outcome)


async def each_alone(ana: Account, files: dict[str, bytes]) -> None:
    staged = await ana.send("one", ana.head("one", files, "1.0.0"))
    assert isinstance(staged, Missing)
    for content in files.values():
        sha256 = TreeEntry.of(content).sha256
        await ana.market.open.intake.append(ana.user, staged.upload_id, sha256, 0, in_pieces(content))
    assert isinstance(await ana.market.open.intake.commit(ana.user, staged.upload_id), Outcome)


class TestPowerCut:
    @pytest.mark.parametrize("way", [all_in_one, in_an_upload, each_alone])
    async def test_every_blob_is_on_the_disk_before_the_commit(
        self, ana: Account, disk: Disk, way: Callable[[Account, dict[str, bytes]], Awaitable[None]]
    ) -> None:
        files = FILES | LARGE
        await way(ana, files)
        for content in files.values():
            disk.assert_lasts(ana.market.blobs, TreeEntry.of(content).sha256)

    async def test_one_that_came_with_a_save_is_flushed_too(self, ana: Account, disk: Disk) -> None:
        sha256, _ = ana.market.blobs.put(FILES["1.py"])
        await ana.publish("one", FILES)
        path = ana.market.blobs.path(sha256)
        commit = disk.place("commit", None)
        assert disk.place("fsync", path.stat().st_ino) < commit
        assert disk.place("fsync", path.parent.stat().st_ino) < commit

    async def test_one_that_lost_its_content_in_a_power_cut_is_made_again(self, ana: Account) -> None:
        sha256, size_bytes = ana.market.blobs.put(FILES["1.py"])
        path = ana.market.blobs.path(sha256)
        path.chmod(0o600)
        path.write_bytes(bytes(size_bytes))
        await ana.publish("one", FILES)
        assert ana.market.blobs.verify(sha256)

    async def test_nothing_half_written_is_left(self, ana: Account) -> None:
        await ana.publish("one", FILES)
        assert not list((ana.market.blobs.root / "tmp").iterdir())
