import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_server.registry.ignore import Ignore


def ignore_with(root: Path, **files: str) -> Ignore:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("git", ".gitignore").replace("own", ".apimarketignore")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Ignore.load(root)


class TestOurRules:
    @pytest.mark.parametrize(
        "path",
        [
            ".git/HEAD", "web/node_modules/x/index.js", "a/__pycache__/m.cpython-311.pyc", ".venv/bin/python",
            "venv/pyvenv.cfg", ".tox/x", ".mypy_cache/x", ".pytest_cache/x", ".ruff_cache/x", ".idea/x", ".vscode/x",
            ".hg/x", ".svn/x", ".DS_Store", "a/.DS_Store", ".env", "a/.env", ".env.local", ".env.production", ".envrc",
            "4913", "a/4913", "main.py~", ".#main.py", "#main.py#", ".main.py.swp", ".main.py.swo", ".main.py.swx",
            "main.py.tmp", ".main.py.un~", "main.pyc",
        ],
    )  # fmt: skip
    def test_leave_out(self, tmp_path: Path, path: str):
        assert Ignore.load(tmp_path).matches(path, is_dir=False)

    @pytest.mark.parametrize(
        "path",
        ["main.py", "dist/index.js", "build/x", ".env.example", "env.py", "49130", "a/git/x", "node_modules.txt",
         ".gitignore", "tmp/x", "venv.py", "#1.md", "env/x"],
    )  # fmt: skip
    def test_keep(self, tmp_path: Path, path: str):
        assert not Ignore.load(tmp_path).matches(path, is_dir=False)

    def test_a_virtual_environment_of_any_name_is_left_out(self, tmp_path: Path):
        (tmp_path / "myenv").mkdir()
        (tmp_path / "myenv" / "pyvenv.cfg").write_text("home = /usr/bin\n")
        assert Ignore.load(tmp_path).matches("myenv/bin/python", is_dir=False)

    def test_cannot_be_lifted(self, tmp_path: Path):
        ignore = ignore_with(tmp_path, git="!.env\n!node_modules/\n", own="!.env\n!node_modules/\n")
        assert ignore.matches(".env", is_dir=False)
        assert ignore.matches("node_modules", is_dir=True)

    def test_the_root_itself_is_never_left_out(self, tmp_path: Path):
        assert not ignore_with(tmp_path, git="*\n").matches("", is_dir=True)

    def test_manifest_and_ignore_files_are_always_seen(self, tmp_path: Path):
        ignore = ignore_with(tmp_path, git="*\n")
        assert not ignore.matches("apimarket.toml", is_dir=False)
        assert not ignore.matches(".gitignore", is_dir=False)
        assert ignore.matches("main.py", is_dir=False)


class TestUserRules:
    def test_patterns_with_a_slash_hold_for_directories(self, tmp_path: Path):
        ignore = ignore_with(tmp_path, git="data/\n*.log\n/only-here\n")
        assert ignore.matches("data", is_dir=True)
        assert not ignore.matches("data", is_dir=False)
        assert ignore.matches("data/deep/x.csv", is_dir=False)
        assert ignore.matches("deep/x.log", is_dir=False)
        assert not ignore.matches("deep/only-here", is_dir=False)

    def test_deeper_files_say_more_than_those_above(self, tmp_path: Path):
        ignore = ignore_with(tmp_path, git="*.csv\n", a__git="!keep.csv\nsecret\n")
        assert ignore.matches("x.csv", is_dir=False)
        assert ignore.matches("a/x.csv", is_dir=False)
        assert not ignore.matches("a/keep.csv", is_dir=False)
        assert ignore.matches("a/b/secret", is_dir=False)
        assert not ignore.matches("secret", is_dir=False)

    def test_within_what_is_left_out_nothing_comes_back(self, tmp_path: Path):
        ignore = ignore_with(tmp_path, git="data/\n", data__git="!x.csv\n")
        assert ignore.matches("data/x.csv", is_dir=False)

    def test_apimarketignore_has_the_last_word(self, tmp_path: Path):
        ignore = ignore_with(tmp_path, git="dist/\n", own="!dist/\nsrc/\n")
        assert not ignore.matches("dist/index.js", is_dir=False)
        assert ignore.matches("src/index.ts", is_dir=False)

    @pytest.mark.parametrize("broken", ["!", "/", "[", "a[", "\\", "***", "!!!", "[z-a]", "[[a]", "\ufeff*.log"])
    def test_a_line_that_is_no_pattern_spoils_no_other(self, tmp_path: Path, broken: str):
        ignore = ignore_with(tmp_path, git=f"{broken}\n*.log\n")
        assert ignore.matches("x.log", is_dir=False)
        assert not ignore.matches("main.py", is_dir=False) or broken == "***"

    def test_a_file_in_another_encoding_is_read_as_far_as_it_goes(self, tmp_path: Path):
        (tmp_path / ".gitignore").write_bytes(b"caf\xe9\n*.log\n")
        assert Ignore.load(tmp_path).matches("x.log", is_dir=False)

    def test_a_linked_ignore_file_is_not_read(self, tmp_path: Path):
        (tmp_path / "rules").write_text("*\n")
        (tmp_path / ".gitignore").symlink_to(tmp_path / "rules")
        assert not Ignore.load(tmp_path).matches("main.py", is_dir=False)


class TestAnyInput:
    @given(rules=st.text(max_size=60), path=st.text(min_size=1, max_size=30), is_dir=st.booleans())
    def test_is_judged(self, tmp_path_factory: pytest.TempPathFactory, rules: str, path: str, is_dir: bool):
        root = tmp_path_factory.getbasetemp() / "any"
        root.mkdir(exist_ok=True)
        (root / ".gitignore").write_text(rules, encoding="utf-8", errors="replace", newline="")
        assert Ignore.load(root).matches(path.replace("\0", "0"), is_dir) in (True, False)


def test_asking_again_is_cheap(tmp_path: Path):
    ignore = ignore_with(tmp_path, git="".join(f"pattern-{n}/\n*.ext{n}\n" for n in range(50)))
    paths = [f"package{n % 40}/module{n}.py" for n in range(2000)]
    for path in paths:
        ignore.matches(path, is_dir=False)
    started = time.perf_counter()
    for path in paths:
        ignore.matches(path, is_dir=False)
    assert time.perf_counter() - started < 0.05  # 2,000 answers; measured 0.4 ms
