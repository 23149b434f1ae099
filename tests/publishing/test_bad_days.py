"""Bad days: a restored database, a clock that is a year off, disks that lose or fill, a gigabyte in one file."""

import errno
import hashlib
import os
import shutil
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import psutil
import pytest

from local_server.domain.publishing import LEASE, Limits, Missing, Outcome
from local_server.domain.storage_errors import StorageFull
from local_server.domain.sync_errors import BlobDamaged, BlobMismatch, CursorGone, UploadNotFound, WrongOffset
from local_server.domain.trees import Tree, TreeEntry
from local_server.publishing import parts
from local_server.system import RealSystem
from tests.publishing.conftest import OpenMarket, in_pieces
from tests.storage.factories import NOON

FILES = {"main.py": b"print(1)\n"}


@dataclass
class Clock(RealSystem):
    time: datetime = NOON

    def __post_init__(self) -> None:
        super().__init__()

    def now(self) -> datetime:
        return self.time


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
class TestRestored:
    async def test_a_cursor_of_the_lost_days_is_gone(self, open_market: OpenMarket) -> None:
        market = await open_market("old")
        ana = await market.account(1, "ana")
        await ana.publish("one", FILES)
        early = str(await market.open.reading.feed_end())
        await market.storage.close()
        shutil.copytree(market.home, market.home.with_name("restored"))

        again = await (await open_market("old")).account(1, "ana")
        await again.publish("one", {"main.py": b"2"}, "1.1.0")
        late = str(await again.market.open.reading.feed_end())

        restored = await (await open_market("restored")).account(1, "ana")
        reading = restored.market.open.reading
        assert (await reading.changes(restored.user, early)).told == []
        with pytest.raises(CursorGone, match="restored"):
            await reading.changes(restored.user, late)
        # Another history of the same length is not taken for the old one either.
        await restored.publish("one", {"main.py": b"3"}, "1.1.0")
        assert (await reading.feed_end()).number == int(late.partition("-")[0])
        with pytest.raises(CursorGone):
            await reading.changes(restored.user, late)
        page, following, _ = await reading.snapshot(restored.user)
        assert ([refs.head_rev for refs in page], following) == ([2], None)

    async def test_what_no_feed_ever_gave_out_is_gone_too(self, open_market: OpenMarket) -> None:
        ana = await (await open_market()).account(1, "ana")
        for cursor in ("x", "1", "-1", "1-zzzz", "99-0123456789abcdef", "1-0123456789abcdef", "\0"):
            with pytest.raises(CursorGone):
                await ana.market.open.reading.changes(ana.user, cursor)


class TestClock:
    async def test_a_year_back_and_forth_changes_no_order(self, open_market: OpenMarket) -> None:
        clock = Clock()
        ana = await (await open_market(system=clock)).account(1, "ana")
        for number, days in enumerate((0, -365, 365, -730, 0)):
            clock.time += timedelta(days=days)
            await ana.publish("one", {"main.py": b"%d" % number}, f"1.{number}.0")
        reading = ana.market.open.reading
        _, versions = await reading.api(ana.user, "ana", "one")
        assert [version.semver for version in versions] == ["1.4.0", "1.3.0", "1.2.0", "1.1.0", "1.0.0"]
        told = (await reading.changes(ana.user, "")).told
        assert [one.change.number for one in told] == [1, 2, 3, 4, 5]

    async def test_an_upload_ends_after_a_day_and_is_forgotten_with_what_came_of_it(
        self, open_market: OpenMarket
    ) -> None:
        clock = Clock()
        ana = await (await open_market(system=clock)).account(1, "ana")
        market, intake = ana.market, ana.market.open.intake
        staged = await ana.send("one", ana.head("one", FILES, "1.0.0"))
        assert isinstance(staged, Missing)
        sha256 = staged.missing[0]
        await intake.append(ana.user, staged.upload_id, sha256, 0, in_pieces(FILES["main.py"]))
        assert market.blobs.has(sha256)
        assert sha256 in await market.storage.read(lambda tx: tx.uploads.leased())

        clock.time += LEASE + timedelta(seconds=1)
        with pytest.raises(UploadNotFound):
            await intake.commit(ana.user, staged.upload_id)
        assert (await intake.operation(ana.user, ana.head("one", FILES, "1.0.0")["op"])).upload is None
        clock.time += timedelta(hours=1)
        assert await market.open.collection.expire() == 2
        assert not await market.storage.read(lambda tx: tx.uploads.leased())


class TestLargeBlobs:
    async def test_one_goes_on_where_it_broke_off_and_a_false_one_is_forgotten(self, open_market: OpenMarket) -> None:
        ana = await (await open_market()).account(1, "ana")
        intake, content = ana.market.open.intake, os.urandom(1_000_000)
        staged = await ana.send("one", ana.head("one", {"x": content}, "1.0.0"))
        assert isinstance(staged, Missing)
        upload, sha256 = staged.upload_id, staged.missing[0]
        offsets = [0]
        for end in (1, 400_000, 400_001):
            with pytest.raises(ConnectionError):
                await intake.append(ana.user, upload, sha256, offsets[-1], broken(content[offsets[-1] : end]))
            offsets.append(await intake.offset(ana.user, upload, sha256))
        assert offsets == [0, 1, 400_000, 400_001]
        with pytest.raises(WrongOffset) as refused:
            await intake.append(ana.user, upload, sha256, 7, in_pieces(content))
        assert refused.value.offset == 400_001
        rest = content[400_001:]
        with pytest.raises(BlobMismatch):
            await intake.append(ana.user, upload, sha256, 400_001, in_pieces(rest[:-1] + bytes([rest[-1] ^ 1])))
        assert await intake.offset(ana.user, upload, sha256) == 0
        with pytest.raises(BlobMismatch):
            await intake.append(ana.user, upload, sha256, 0, in_pieces(content + b"x"))
        assert await intake.append(ana.user, upload, sha256, 0, in_pieces(content)) == (len(content), True)
        assert isinstance(await intake.commit(ana.user, upload), Outcome)

    async def test_an_empty_one_is_one_too(self, open_market: OpenMarket) -> None:
        ana = await (await open_market()).account(1, "ana")
        intake = ana.market.open.intake
        staged = await ana.send("one", ana.head("one", {"x": b""}, "1.0.0"))
        assert isinstance(staged, Missing)
        assert await intake.offset(ana.user, staged.upload_id, staged.missing[0]) == 0
        assert await intake.append(ana.user, staged.upload_id, staged.missing[0], 0, in_pieces(b"")) == (0, True)
        assert isinstance(await intake.commit(ana.user, staged.upload_id), Outcome)

    @pytest.mark.slow
    @pytest.mark.timeout(600)
    @pytest.mark.parametrize("database", ["sqlite"], indirect=True)
    async def test_one_of_a_gigabyte_takes_little_memory(
        self, open_market: OpenMarket, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """In two pieces, and read back by ranges."""
        size = 1024 * 1024 * 1024
        limits = Limits(file_bytes=2 * size, tree_bytes=2 * size, staged_bytes=2 * size)
        ana = await (await open_market(limits=limits)).account(1, "ana")
        intake, reading = ana.market.open.intake, ana.market.open.reading
        sha256 = hashlib.sha256(b"\0" * size).hexdigest()
        tree = Tree({"model.bin": TreeEntry(sha256, size, 0o644)})
        staged = await ana.send("one", ana.head("one", {}, "1.0.0", tree=tree))
        assert isinstance(staged, Missing)
        before = psutil.Process().memory_info().rss
        tracemalloc.start()
        with pytest.raises(ConnectionError):
            await intake.append(ana.user, staged.upload_id, sha256, 0, zeros(size // 2, breaks=True))
        assert await intake.offset(ana.user, staged.upload_id, sha256) == size // 2
        done = await intake.append(ana.user, staged.upload_id, sha256, size // 2, zeros(size // 2))
        assert done == (size, True)
        assert isinstance(await intake.commit(ana.user, staged.upload_id), Outcome)
        assert await reading.blob_size(ana.user, tree.digest, sha256, None) == size
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        grown = psutil.Process().memory_info().rss - before
        with capsys.disabled():
            print(f"\n1 GiB taken in: {peak / 2**20:.1f} MiB at most, {grown / 2**20:.1f} MiB more held", flush=True)
        assert peak < 16 * 1024 * 1024


class TestDisks:
    async def test_a_damaged_blob_is_never_handed_out(self, open_market: OpenMarket) -> None:
        ana = await (await open_market()).account(1, "ana")
        done = await ana.publish("one", FILES)
        sha256 = TreeEntry.of(FILES["main.py"]).sha256
        place = ana.market.blobs.path(sha256)
        reading, tree = ana.market.open.reading, done.published.tree
        place.chmod(0o600)
        place.write_bytes(b"print(2)\n")
        for damage in ("changed", "lost"):
            if damage == "lost":
                place.unlink()
            with pytest.raises(BlobDamaged):
                await reading.blob_size(ana.user, tree, sha256, None)
            with pytest.raises(BlobDamaged):
                await reading.pack(ana.user, tree, None, [sha256], None)

    async def test_a_full_disk_is_said_and_heals(
        self, open_market: OpenMarket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ana = await (await open_market()).account(1, "ana")
        intake, content = ana.market.open.intake, os.urandom(700_000)
        staged = await ana.send("one", ana.head("one", {"x": content}, "1.0.0"))
        assert isinstance(staged, Missing)
        write = parts._write

        def full(descriptor: int, data: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(parts, "_write", full)
            with pytest.raises(StorageFull):
                await intake.append(ana.user, staged.upload_id, staged.missing[0], 0, in_pieces(content))
        assert parts._write is write
        await intake.append(ana.user, staged.upload_id, staged.missing[0], 0, in_pieces(content))
        assert isinstance(await intake.commit(ana.user, staged.upload_id), Outcome)


async def broken(content: bytes) -> AsyncIterator[bytes]:
    async for piece in in_pieces(content, 65536):
        yield piece
    raise ConnectionError


async def zeros(count: int, *, breaks: bool = False) -> AsyncIterator[bytes]:
    piece = bytes(65536)
    for _ in range(count // len(piece)):
        yield piece
    if breaks:
        raise ConnectionError
