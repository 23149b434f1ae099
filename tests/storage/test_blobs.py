"""Content-addressed files."""

import errno
import hashlib
import os
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local_server.domain.storage_errors import StorageFull
from local_server.storage.blobs import BlobStore

LARGE = os.urandom(1024 * 1024) * 2 + b"and a little more"


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def name_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def everything_in(blobs: BlobStore) -> list[Path]:
    return [path for path in blobs.root.rglob("*") if path.is_file()]


class TestPut:
    @pytest.mark.parametrize("content", [b"", b"hello", b"x" * 1024 * 1024, LARGE], ids=len)
    def test_names_content_and_file_alike(self, blobs: BlobStore, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "file").write_bytes(content)
        expected = (name_of(content), len(content))
        assert blobs.put_file(tmp_path / "file") == expected
        assert blobs.put(content) == expected
        assert everything_in(blobs) == [blobs.root / expected[0][:2] / expected[0][2:]]
        with blobs.open(expected[0]) as file:
            assert file.read() == content

    def test_is_read_only(self, blobs: BlobStore) -> None:
        sha256, _ = blobs.put(b"hello")
        assert stat.S_IMODE(blobs.path(sha256).stat().st_mode) == 0o444

    def test_twice_keeps_the_first(self, blobs: BlobStore) -> None:
        sha256, _ = blobs.put(b"hello")
        inode = blobs.path(sha256).stat().st_ino
        assert blobs.put(b"hello") == (sha256, 5)
        assert blobs.path(sha256).stat().st_ino == inode

    def test_replaces_what_a_power_cut_left_short(self, blobs: BlobStore) -> None:
        sha256, _ = blobs.put(b"hello")
        blobs.path(sha256).chmod(0o644)
        blobs.path(sha256).write_bytes(b"")
        assert not blobs.verify(sha256)
        blobs.put(b"hello")
        assert blobs.verify(sha256)

    def test_many_threads_agree(self, blobs: BlobStore) -> None:
        barrier = threading.Barrier(8)

        def put(_: int) -> set[tuple[str, int]]:
            barrier.wait(10)
            return {blobs.put(bytes([number]) * 1000) for number in range(50)}

        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(put, range(8)))
        assert all(result == results[0] for result in results)
        assert len(everything_in(blobs)) == 50
        assert all(blobs.verify(sha256) for sha256, _ in results[0])

    @pytest.mark.parametrize("content", [b"small", LARGE], ids=len)
    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
    def test_a_full_disk_is_named_and_leaves_nothing(
        self, blobs: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, code: int
    ) -> None:
        (tmp_path / "file").write_bytes(content)

        def full(*_: object) -> int:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(StorageFull, match="blobs"):
            blobs.put_file(tmp_path / "file")
        monkeypatch.undo()
        assert everything_in(blobs) == []
        blobs.put_file(tmp_path / "file")


class TestPutFile:
    def test_follows_no_symbolic_link(self, blobs: BlobStore, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("s3cret")
        (tmp_path / "link").symlink_to(tmp_path / "secret")
        with pytest.raises(OSError) as caught:
            blobs.put_file(tmp_path / "link")
        assert caught.value.errno == errno.ELOOP
        assert everything_in(blobs) == []

    def test_waits_for_no_fifo(self, blobs: BlobStore, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        with pytest.raises(OSError, match="regular"):
            blobs.put_file(tmp_path / "fifo")

    def test_takes_no_directory(self, blobs: BlobStore, tmp_path: Path) -> None:
        with pytest.raises(OSError, match="regular"):
            blobs.put_file(tmp_path)

    def test_tells_of_a_missing_file(self, blobs: BlobStore, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            blobs.put_file(tmp_path / "gone")

    def test_names_what_it_copied_though_somebody_writes(self, blobs: BlobStore, tmp_path: Path) -> None:
        path = tmp_path / "busy"
        path.write_bytes(LARGE)
        done = threading.Event()

        def scribble() -> None:
            with path.open("r+b") as file:
                while not done.is_set():
                    file.seek(0)
                    file.write(os.urandom(64 * 1024))

        scribbler = threading.Thread(target=scribble)
        scribbler.start()
        try:
            names = {blobs.put_file(path)[0] for _ in range(20)}
        finally:
            done.set()
            scribbler.join()
        assert all(blobs.verify(sha256) for sha256 in names)


class TestPath:
    @pytest.mark.parametrize("name", ["", "abc", "../" * 21 + "x", "A" * 64, "g" * 64, "0" * 65, "0" * 63 + "\n"])
    def test_is_for_digests_only(self, blobs: BlobStore, name: str) -> None:
        with pytest.raises(ValueError, match="SHA-256"):
            blobs.path(name)

    def test_has_tells_what_is_there(self, blobs: BlobStore) -> None:
        sha256, _ = blobs.put(b"hello")
        assert blobs.has(sha256)
        assert not blobs.has("0" * 64)
        assert not blobs.verify("0" * 64)
        with pytest.raises(FileNotFoundError):
            blobs.open("0" * 64)


class TestVerify:
    def test_notices_changed_content_of_the_same_size(self, blobs: BlobStore) -> None:
        sha256, _ = blobs.put(b"hello")
        assert blobs.verify(sha256)
        blobs.path(sha256).chmod(0o644)
        blobs.path(sha256).write_bytes(b"jello")
        assert not blobs.verify(sha256)


class TestCollect:
    def test_frees_what_nobody_keeps(self, blobs: BlobStore) -> None:
        kept, _ = blobs.put(b"kept")
        gone, size_bytes = blobs.put(b"to be gone")
        assert blobs.collect({kept}, grace_s=0) == size_bytes
        assert blobs.has(kept)
        assert not blobs.has(gone)
        assert blobs.collect({kept}, grace_s=0) == 0

    def test_spares_what_was_put_lately_even_if_it_was_there_before(self, blobs: BlobStore) -> None:
        sha256, _ = blobs.put(b"hello")
        long_ago = time.time() - 7200
        os.utime(blobs.path(sha256), (long_ago, long_ago))
        blobs.put(b"hello")
        assert blobs.collect(set()) == 0
        assert blobs.has(sha256)
        os.utime(blobs.path(sha256), (long_ago, long_ago))
        assert blobs.collect(set()) == 5

    def test_counts_only_what_no_other_name_holds_on_to(self, blobs: BlobStore, tmp_path: Path) -> None:
        sha256, _ = blobs.put(b"linked")
        os.link(blobs.path(sha256), tmp_path / "laid out")
        assert blobs.collect(set(), grace_s=0) == 0
        assert not blobs.has(sha256)
        assert (tmp_path / "laid out").read_bytes() == b"linked"

    def test_sweeps_up_after_killed_processes_and_not_after_live_ones(self, blobs: BlobStore) -> None:
        old, new = blobs.root / "tmp" / "1-old", blobs.root / "tmp" / "1-new"
        old.write_bytes(b"half")
        new.write_bytes(b"half")
        long_ago = time.time() - 7200
        os.utime(old, (long_ago, long_ago))
        assert blobs.collect(set(), grace_s=0) == 4
        assert not old.exists()
        assert new.exists()
