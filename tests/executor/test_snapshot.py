"""Reading a directory into trees, and laying trees out."""

import os
from pathlib import Path

import pytest

from local_server.domain.registry_errors import UnusableDirectory
from local_server.executor.snapshot import Source, lay_out, remove_older
from local_server.storage.blobs import BlobStore


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "weather"
    (root / "lib").mkdir(parents=True)
    (root / "main.py").write_text("print('one')\n")
    (root / "lib" / "units.py").write_text("METRIC = 1\n")
    return root


class TestRead:
    def test_the_same_files_are_the_same_tree(self, root: Path, blobs: BlobStore) -> None:
        first = Source(root, blobs).read().tree
        os.utime(root / "main.py")
        assert Source(root, blobs).read().tree.digest == first.digest

    def test_a_write_within_one_tick_of_the_clock_is_seen(self, root: Path, blobs: BlobStore) -> None:
        source, main = Source(root, blobs), root / "main.py"
        main.write_text("print('aaa')\n")
        stat = main.stat()
        first = source.read().tree.digest
        main.write_text("print('bbb')\n")
        os.utime(main, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert source.read().tree.digest != first

    def test_only_what_changed_is_read_again(
        self, root: Path, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        long_ago = 1_700_000_000
        for path in root.rglob("*.py"):
            os.utime(path, (long_ago, long_ago))
        source = Source(root, blobs)
        source.read()
        read: list[str] = []
        put = blobs.put_file

        def counted(_: BlobStore, path: Path) -> tuple[str, int]:
            read.append(path.name)
            return put(path)

        monkeypatch.setattr(BlobStore, "put_file", counted)
        (root / "main.py").write_text("print('two')\n")
        snapshot = source.read()
        assert read == ["main.py"]
        assert snapshot.newest_ns == (root / "main.py").stat().st_mtime_ns

    def test_the_mode_tells_programs_from_files(self, root: Path, blobs: BlobStore) -> None:
        (root / "main.py").chmod(0o700)
        entries = Source(root, blobs).read().tree.entries
        assert entries["main.py"].mode == 0o755
        assert entries["lib/units.py"].mode == 0o644

    def test_ignored_directories_are_neither_read_nor_watched(self, root: Path, blobs: BlobStore) -> None:
        (root / "node_modules" / "left-pad").mkdir(parents=True)
        (root / "node_modules" / "left-pad" / "index.js").write_text("1")
        snapshot = Source(root, blobs).read()
        assert set(snapshot.tree.entries) == {"main.py", "lib/units.py"}
        assert snapshot.directories == {str(root), str(root / "lib")}

    def test_a_new_rule_counts_from_the_very_save_that_made_it(self, root: Path, blobs: BlobStore) -> None:
        source = Source(root, blobs)
        source.read()
        (root / "data.csv").write_text("1,2\n")
        (root / ".apimarketignore").write_text("*.csv\n")
        assert "data.csv" not in source.read().tree.entries

    def test_a_vanished_directory_is_said_clearly(self, root: Path, blobs: BlobStore) -> None:
        source = Source(root, blobs)
        os.rename(root, root.with_name("moved"))
        with pytest.raises(UnusableDirectory, match="weather"):
            source.read()


class TestLayOut:
    def test_it_holds_exactly_the_tree_and_nothing_can_be_written(
        self, root: Path, blobs: BlobStore, tmp_path: Path
    ) -> None:
        (root / "run.sh").write_text("#!/bin/sh\n")
        (root / "run.sh").chmod(0o755)
        tree = Source(root, blobs).read().tree
        target = tmp_path / "trees" / "1-abc"
        lay_out(tree, blobs, target)
        laid = {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}
        assert laid == {path: (root / path).read_bytes() for path in tree.entries}
        assert (target / "run.sh").stat().st_mode & 0o777 == 0o555
        assert (target / "main.py").stat().st_mode & 0o222 == 0

    def test_laying_it_out_does_not_copy_what_is_unchanged(self, root: Path, blobs: BlobStore, tmp_path: Path) -> None:
        tree = Source(root, blobs).read().tree
        lay_out(tree, blobs, tmp_path / "trees" / "1-a")
        lay_out(tree, blobs, tmp_path / "trees" / "2-a")
        first, second = (tmp_path / "trees" / name / "main.py" for name in ("1-a", "2-a"))
        assert first.stat().st_ino == second.stat().st_ino

    def test_a_tree_whose_file_is_lost_is_never_half_there(self, root: Path, blobs: BlobStore, tmp_path: Path) -> None:
        tree = Source(root, blobs).read().tree
        blobs.path(tree.entries["main.py"].sha256).unlink()
        with pytest.raises(FileNotFoundError):
            lay_out(tree, blobs, tmp_path / "trees" / "1-a")
        assert not (tmp_path / "trees" / "1-a").exists()


class TestRemoveOlder:
    def test_older_trees_and_builds_go_and_nothing_else(self, tmp_path: Path) -> None:
        for name in ("1-aa", "1-aa.build", "9-bb", "10-cc", "notes"):
            (tmp_path / name).mkdir()
        remove_older(tmp_path, 10)
        assert {path.name for path in tmp_path.iterdir()} == {"10-cc", "notes"}
