"""What is in the outbox outlives a power cut: every file of it is on the disk before the entry is."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from local_server.domain.ids import OpId
from local_server.domain.outbox import OutboxState
from local_server.storage.blobs import BlobStore
from local_server.storage.lasting import flush_blobs
from local_server.sync.service import Sync
from tests.sync.conftest import Machine

Open = Callable[..., Awaitable[Machine]]


class Disk:
    """The inodes that were flushed, and `commit` where a flushed commit was."""

    def __init__(self, machine: Machine, patch: pytest.MonkeyPatch) -> None:
        self.done: list[Any] = []
        fsync, write = os.fsync, machine.storage.write

        def noted_fsync(descriptor: int) -> None:
            fsync(descriptor)
            self.done.append(os.fstat(descriptor).st_ino)

        async def noted_write(act: Any, *, lasting: bool = False) -> Any:
            result = await write(act, lasting=lasting)
            self.done.append("commit" if lasting else "write")
            return result

        patch.setattr(os, "fsync", noted_fsync)
        patch.setattr(machine.storage, "write", noted_write)


async def test_every_blob_is_on_the_disk_before_the_entry(open_machine: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = await open_machine()
    machine.write({f"{number}.py": f"print({number})" for number in range(12)})
    plan = await machine.publishing.plan(machine.api)
    disk = Disk(machine, monkeypatch)
    await machine.publishing.queue(plan)
    assert disk.done.count("commit") == 1
    before = set(disk.done[: disk.done.index("commit")])
    for sha256 in plan.push.sizes:
        path = machine.blobs.path(sha256)
        assert {path.stat().st_ino, path.parent.stat().st_ino} <= before
    assert machine.blobs.root.stat().st_ino in before


async def test_of_a_changed_version_only_what_changed_is_waited_for(
    open_machine: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = await open_machine()
    await machine.publish()
    machine.write({"main.py": "print(2)\n"})
    plan = await machine.publishing.plan(machine.api)
    disk = Disk(machine, monkeypatch)
    await machine.publishing.queue(plan)
    flushed = [one for one in disk.done if isinstance(one, int)]
    assert len(flushed) == 3  # the blob, the directory of its name, and that one's


async def test_what_was_given_up_stays_given_up(open_machine: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = await open_machine()
    entry = await machine.queue()
    sync = Sync(machine.storage, machine.blobs, machine.system, machine.markets, machine.ports, machine.events.append)
    disk = Disk(machine, monkeypatch)
    await sync.cancel(OpId(entry.op))
    assert (await sync.entry(entry.op))[0].state is OutboxState.CANCELED
    assert disk.done == ["commit"]


def test_a_version_without_new_files_has_nothing_to_flush(tmp_path: Path) -> None:
    flush_blobs(BlobStore(tmp_path / "blobs"), [])
