"""Trees into directories and out of them: all of one, or nothing, and never over somebody's edits."""

from pathlib import Path

import pytest

from local_server.domain.publish_errors import DirectoryNotClean
from local_server.domain.registry_errors import UnusableDirectory
from local_server.domain.trees import Tree, TreeEntry
from local_server.registry.checkout import read_tree, write_new, write_over
from local_server.storage.blobs import BlobStore

FIRST = {"main.py": b"1", "lib/a.py": b"a", "lib/b.py": b"b", "run.sh": b"#!"}
SECOND = {"main.py": b"2", "lib/a.py": b"a", "other/c.py": b"c", "run.sh": b"#!"}


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def tree_of(blobs: BlobStore, files: dict[str, bytes]) -> Tree:
    for content in files.values():
        blobs.put(content)
    return Tree(
        {path: TreeEntry.of(content, 0o755 if path.endswith(".sh") else 0o644) for path, content in files.items()}
    )


def held(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


class TestWriteNew:
    def test_makes_the_directory_hold_the_tree(self, tmp_path: Path, blobs: BlobStore) -> None:
        target, tree = tmp_path / "deep" / "weather", tree_of(blobs, FIRST)
        write_new(target, tree, blobs)
        assert held(target) == FIRST
        assert read_tree(target, blobs) == tree

    def test_files_are_the_users_own(self, tmp_path: Path, blobs: BlobStore) -> None:
        """Not hard links to blobs: an edit must not reach other trees."""
        write_new(tmp_path / "weather", tree_of(blobs, FIRST), blobs)
        (tmp_path / "weather" / "main.py").write_bytes(b"edited")
        assert blobs.verify(TreeEntry.of(b"1").sha256)

    @pytest.mark.parametrize("there", ["file", "full"])
    def test_takes_no_place_that_is_taken(self, tmp_path: Path, blobs: BlobStore, there: str) -> None:
        target = tmp_path / "weather"
        if there == "file":
            target.write_bytes(b"mine")
        else:
            target.mkdir()
            (target / "mine").write_bytes(b"mine")
        with pytest.raises(UnusableDirectory, match="is a file" if there == "file" else "is not empty"):
            write_new(target, tree_of(blobs, FIRST), blobs)

    def test_a_missing_blob_leaves_nothing(self, tmp_path: Path, blobs: BlobStore) -> None:
        tree = Tree({"a": TreeEntry.of(b"never stored")})
        with pytest.raises(UnusableDirectory):
            write_new(tmp_path / "weather", tree, blobs)
        assert not (tmp_path / "weather").exists()


class TestWriteOver:
    @pytest.fixture
    def root(self, tmp_path: Path, blobs: BlobStore) -> Path:
        root = tmp_path / "weather"
        write_new(root, tree_of(blobs, FIRST), blobs)
        return root

    def test_makes_one_tree_of_the_other(self, root: Path, blobs: BlobStore) -> None:
        first, second = tree_of(blobs, FIRST), tree_of(blobs, SECOND)
        assert write_over(root, second, blobs, first)
        assert held(root) == SECOND
        assert read_tree(root, blobs) == second

    def test_twice_is_as_good_as_once(self, root: Path, blobs: BlobStore) -> None:
        first, second = tree_of(blobs, FIRST), tree_of(blobs, SECOND)
        write_over(root, second, blobs, first)
        assert not write_over(root, second, blobs, first)

    @pytest.mark.parametrize("edit", ["changed", "added", "removed", "mode"])
    def test_never_over_an_edit(self, root: Path, blobs: BlobStore, edit: str) -> None:
        match edit:
            case "changed":
                (root / "main.py").write_bytes(b"edited")
            case "added":
                (root / "new.py").write_bytes(b"new")
            case "removed":
                (root / "lib" / "b.py").unlink()
            case _:
                (root / "main.py").chmod(0o755)
        before = held(root)
        with pytest.raises(DirectoryNotClean):
            write_over(root, tree_of(blobs, SECOND), blobs, tree_of(blobs, FIRST))
        assert held(root) == before

    def test_says_which_files_are_edited(self, root: Path, blobs: BlobStore) -> None:
        (root / "main.py").write_bytes(b"edited")
        with pytest.raises(DirectoryNotClean, match=r"main\.py") as refused:
            write_over(root, tree_of(blobs, SECOND), blobs, tree_of(blobs, FIRST))
        assert refused.value.extra == {"changed": ["main.py"]}

    def test_never_where_nothing_is_known(self, root: Path, blobs: BlobStore) -> None:
        with pytest.raises(DirectoryNotClean):
            write_over(root, tree_of(blobs, SECOND), blobs, None)

    def test_what_is_ignored_stays(self, tmp_path: Path, blobs: BlobStore) -> None:
        root = tmp_path / "ignoring"
        first = tree_of(blobs, {**FIRST, ".gitignore": b"*.db\n"})
        write_new(root, first, blobs)
        (root / "data.db").write_bytes(b"rows")
        write_over(root, tree_of(blobs, {**SECOND, ".gitignore": b"*.db\n"}), blobs, first)
        assert (root / "data.db").read_bytes() == b"rows"

    def test_a_file_becomes_a_directory_and_back(self, tmp_path: Path, blobs: BlobStore) -> None:
        root, flat, deep = tmp_path / "turning", tree_of(blobs, {"a": b"1"}), tree_of(blobs, {"a/b": b"2"})
        write_new(root, flat, blobs)
        write_over(root, deep, blobs, flat)
        assert held(root) == {"a/b": b"2"}
        write_over(root, flat, blobs, deep)
        assert held(root) == {"a": b"1"}
