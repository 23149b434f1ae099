import os
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_server.domain import trees
from local_server.domain.registry_errors import UnusableDirectory
from local_server.registry import source
from local_server.registry.ignore import Ignore
from local_server.registry.source import check_directory, walk


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "api"
    root.mkdir()
    (root / "main.py").write_text("app = 1\n")
    return root


def names(root: Path) -> list[str]:
    return [file.relative for file in walk(root, Ignore.load(root))]


def refusal(root: Path) -> UnusableDirectory:
    with pytest.raises(UnusableDirectory) as refused:
        names(root)
    return refused.value


class TestWalk:
    def test_lists_files_at_every_depth_in_a_stable_order(self, root: Path):
        for path in ("b/c/z.py", "b/a.py", "a.py"):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text("")
        assert names(root) == ["a.py", "main.py", "b/a.py", "b/c/z.py"]

    def test_tells_path_and_status(self, root: Path):
        (file,) = walk(root, Ignore.load(root))
        assert (file.path, file.stat.st_size) == (str(root / "main.py"), 8)

    def test_does_not_enter_what_is_ignored(self, root: Path):
        (root / "node_modules").mkdir()
        (root / "node_modules" / "x.js").symlink_to("/etc/passwd")
        (root / ".env").write_text("TOKEN=secret")
        assert names(root) == ["main.py"]

    def test_a_socket_and_a_pipe_are_no_content(self, root: Path, monkeypatch: pytest.MonkeyPatch):
        os.mkfifo(root / "pipe")
        monkeypatch.chdir(root)  # a socket's path has a short limit
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("sock")
            assert names(root) == ["main.py"]

    def test_a_directory_that_is_gone_is_said(self, tmp_path: Path):
        assert "does not exist" in refusal(tmp_path / "gone").detail


class TestLinks:
    def test_to_a_file_inside_counts_as_that_file(self, root: Path):
        (root / "copy.py").symlink_to("main.py")
        copy, _ = walk(root, Ignore.load(root))
        assert (copy.relative, copy.path) == ("copy.py", str(root / "main.py"))

    @pytest.mark.parametrize("target", ["/etc/passwd", "../outside.txt", "deep/../../outside.txt"])
    def test_out_of_the_directory_are_refused_by_name(self, root: Path, target: str):
        (root.parent / "outside.txt").write_text("x")
        (root / "link").symlink_to(target)
        error = refusal(root)
        assert f"link that leads out of it: link -> {target}" in error.detail
        assert ".apimarketignore" in error.hint

    def test_through_a_link_out_are_refused(self, root: Path):
        (root.parent / "outside").mkdir()
        (root.parent / "outside" / "x").write_text("x")
        (root / ".tmp.tmp").symlink_to(root.parent / "outside")  # ignored itself
        (root / "link").symlink_to(".tmp.tmp/x")
        assert "leads out of it: link" in refusal(root).detail

    def test_to_a_directory_nothing_or_themselves_are_refused(self, root: Path):
        (root / "sub").mkdir()
        for target, reason in (("sub", "to a directory"), ("missing", "to nothing"), ("link", "to nothing")):
            (root / "link").symlink_to(target)
            assert f"link {reason}: link -> {target}" in refusal(root).detail
            (root / "link").unlink()

    def test_to_a_secret_are_refused(self, root: Path):
        (root / ".env").write_text("TOKEN=secret")
        (root / "settings.txt").symlink_to(".env")
        assert "settings.txt -> .env" in refusal(root).detail

    def test_that_are_ignored_are_not_looked_at(self, root: Path):
        (root / "link").symlink_to("/etc")
        (root / ".apimarketignore").write_text("link\n")
        assert names(root) == [".apimarketignore", "main.py"]


class TestLimits:
    def test_a_file_of_500_mb_is_refused_by_name_and_size(self, root: Path):
        (root / "data").mkdir()
        with open(root / "data" / "big.bin", "wb") as file:
            file.truncate(500 * 1024 * 1024)
        error = refusal(root)
        assert "data/big.bin has 500 MB, and 100 MB are allowed" in error.detail
        assert error.hint == "Leave it out with a line in .apimarketignore: data/big.bin"

    def test_too_much_in_all_is_refused(self, root: Path):
        for number in range(3):
            with open(root / f"part{number}", "wb") as file:
                file.truncate(90 * 1024 * 1024)
        assert "more than 250 MB in all; part2 (90 MB)" in refusal(root).detail

    def test_too_many_files_are_refused(self, root: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(source, "MAX_FILES", 3)
        (root / "img").mkdir()
        for number in range(4):
            (root / "img" / str(number)).touch()
        error = refusal(root)
        assert "more than 3 files; img/2 is one too many" in error.detail
        assert error.hint.endswith(": img/")


class TestNames:
    @pytest.mark.parametrize("name", ["a\\b", "a\nb", "e\u0301.txt", "a\x7f"])
    def test_that_are_not_portable_are_refused(self, root: Path, name: str):
        (root / name).write_text("")
        assert "holds a file whose name" in refusal(root).detail

    def test_that_are_not_utf8_are_refused(self, root: Path):
        with open(os.fsencode(root) + b"/caf\xe9", "wb"):
            pass
        assert "is not in UTF-8" in refusal(root).detail

    def test_that_differ_in_case_alone_are_refused(self, root: Path):
        (root / "Main.py").write_text("")
        assert "Main.py and main.py, which are one file" in refusal(root).detail

    @settings(max_examples=150, deadline=None)
    @given(
        parts=st.lists(
            st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=8), max_size=3
        )
    )
    def test_any_name_is_listed_or_refused_and_never_leaves(
        self, tmp_path_factory: pytest.TempPathFactory, parts: list[str]
    ):
        root = tmp_path_factory.mktemp("any") / "api"
        path = root.joinpath(*(part for part in parts if part not in (".", "..")), "x")
        path.parent.mkdir(parents=True)
        path.write_text("x")
        try:
            found = list(walk(root, Ignore.load(root)))
        except UnusableDirectory as refused:
            found = []
            refused.detail.encode()
        for file in found:
            assert trees.path_problem(file.relative) is None
            assert Path(file.path).is_relative_to(root)


class TestPermissions:
    @pytest.fixture(autouse=True)
    def ordinary_user(self, monkeypatch: pytest.MonkeyPatch):
        """Root may read everything; ask as anybody else would be answered."""
        if os.geteuid() == 0:
            monkeypatch.setattr(os, "access", lambda path, mode: os.stat(path).st_mode & 0o444 != 0)

    def test_a_file_that_cannot_be_read_is_named(self, root: Path):
        (root / "locked.py").touch(mode=0o000)
        assert "cannot be read: locked.py" in refusal(root).detail


class TestCheckDirectory:
    def test_the_real_path_comes_back(self, root: Path):
        (root.parent / "link").symlink_to(root)
        assert check_directory(root.parent / "link") == root

    @pytest.mark.parametrize(
        ("directory", "part"),
        [
            ("/", "far more than an API"),
            (str(Path.home()), "far more than an API"),
            ("/nonexistent/x", "does not exist"),
            ("relative", "absolute"),
            (__file__, "is a file"),
            ("/tmp/\0", "cannot be opened"),
            ("/" + "x" * 5000, "cannot be opened"),
        ],
    )
    def test_refuses(self, directory: str, part: str):
        with pytest.raises(UnusableDirectory) as refused:
            check_directory(Path(directory))
        assert part in refused.value.detail
        assert refused.value.hint

    def test_an_empty_one_is_told_of_templates(self, tmp_path: Path):
        with pytest.raises(UnusableDirectory, match="is empty") as refused:
            check_directory(tmp_path)
        assert "apimarket new NAME --dir" in refused.value.hint

    def test_one_that_links_to_itself_is_refused(self, tmp_path: Path):
        (tmp_path / "loop").symlink_to("loop")
        with pytest.raises(UnusableDirectory):
            check_directory(tmp_path / "loop")
