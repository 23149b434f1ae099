"""The set-up scripts, on a small checkout with a stand-in for uv that writes down what it was asked to do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

UV = """#!/usr/bin/env bash
echo "$*" >> "$UV_NOTES"
if [ "$1" = venv ]; then
    mkdir -p "${@: -1}/bin"
    printf '#!/bin/sh\\nexec {python} "$@"\\n' > "${@: -1}/bin/python"
    chmod +x "${@: -1}/bin/python"
    printf '#!/bin/sh\\necho "ran: $*"\\npwd\\nexit 3\\n' > "${@: -1}/bin/apimarket"
    chmod +x "${@: -1}/bin/apimarket"
fi
"""


class Checkout:
    def __init__(self, path: Path) -> None:
        self.path = path / "a checkout"
        self.elsewhere = path / "elsewhere"
        self.tools = path / "tools"
        for directory in (self.path, self.elsewhere, self.tools):
            directory.mkdir()
        shutil.copytree(ROOT / "scripts", self.path / "scripts")
        for name in ("pyproject.toml", "requirements.lock", "requirements-test.lock"):
            (self.path / name).write_text("")
        for name in ("bash", "cat", "cksum", "tr", "dirname", "mkdir", "mktemp", "rm", "grep", "tail", "ln", "chmod"):
            self.provide(name, shutil.which(name))
        self.provide("basename", shutil.which("basename"))
        self.provide("env", shutil.which("env"))
        uv = self.tools / "uv"
        uv.write_text(UV.replace("{python}", sys.executable))
        uv.chmod(0o700)

    def provide(self, name: str, program: str | None) -> None:
        assert program, f"{name} is not on PATH"
        (self.tools / name).symlink_to(program)

    def run(self, script: str, *args: str, **env: str) -> "subprocess.CompletedProcess[str]":
        environment = {"PATH": str(self.tools), "UV_NOTES": str(self.path / "notes"), "HOME": str(self.elsewhere)} | env
        command = [str(self.path / "scripts" / script), *args]
        return subprocess.run(
            command, cwd=self.elsewhere, env=environment, capture_output=True, text=True, timeout=30, check=False
        )

    def notes(self) -> list[str]:
        """What uv was asked for since the last look."""
        path = self.path / "notes"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


class TestRun:
    def test_the_first_time_it_installs_the_lock_with_its_hashes(self, checkout: Checkout) -> None:
        done = checkout.run("run", "ls", "--json")

        venv, packages, itself = checkout.notes()
        assert done.stdout == f"ran: ls --json\n{os.path.realpath(checkout.elsewhere)}\n"
        assert done.returncode == 3
        assert venv.endswith(f"{checkout.path}/.venv")
        assert packages.endswith(f"--require-hashes -r {checkout.path}/requirements.lock")
        assert itself.endswith(f"--no-deps --no-build-isolation --no-index -e {checkout.path}")

    def test_after_that_it_installs_nothing_and_says_nothing(self, checkout: Checkout) -> None:
        checkout.run("run")
        checkout.notes()

        done = checkout.run("run")

        assert checkout.notes() == []
        assert done.stderr == ""

    @pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
    def test_a_changed_file_installs_again_into_the_same_place(self, checkout: Checkout, name: str) -> None:
        checkout.run("run")
        checkout.notes()
        (checkout.path / name).write_text("# changed\n")

        checkout.run("run")

        assert [note.split()[0] for note in checkout.notes()] == ["pip", "pip"]

    def test_after_testing_it_installs_nothing(self, checkout: Checkout) -> None:
        checkout.run("test")
        assert any("requirements-test.lock" in note for note in checkout.notes())

        checkout.run("run")
        checkout.run("test")

        assert checkout.notes() == []

    def test_a_checkout_that_was_moved_makes_its_environment_anew(self, checkout: Checkout) -> None:
        checkout.run("run")
        checkout.notes()
        checkout.path = checkout.path.rename(checkout.path.with_name("moved"))

        checkout.run("run")

        assert [note.split()[0] for note in checkout.notes()] == ["venv", "pip", "pip"]

    def test_without_any_python_it_says_what_to_do(self, checkout: Checkout) -> None:
        (checkout.tools / "uv").unlink()

        done = checkout.run("run")

        assert done.returncode == 1
        assert "Python 3.11 or newer is needed, and none is on PATH" in done.stderr
        assert "APIMARKET_PYTHON=" in done.stderr

    def test_an_older_python_is_not_taken(self, checkout: Checkout) -> None:
        (checkout.tools / "uv").unlink()
        old = checkout.tools / "python3"
        old.write_text('#!/usr/bin/env bash\n[ "$1" = --version ] && echo Python 3.9.2 || exit 1\n')
        old.chmod(0o700)

        assert "found: Python 3.9.2" in checkout.run("run").stderr

    def test_one_that_is_named_is_taken_and_no_other(self, checkout: Checkout) -> None:
        checkout.run("run", APIMARKET_PYTHON="/opt/python")
        assert "--python /opt/python" in checkout.notes()[0]

        (checkout.tools / "uv").unlink()
        shutil.rmtree(checkout.path / ".venv")
        checkout.provide("python3", sys.executable)
        done = checkout.run("run", APIMARKET_PYTHON="/opt/python")

        assert done.returncode == 1
        assert "APIMARKET_PYTHON is /opt/python, which is not a Python of 3.11 or newer" in done.stderr


class TestTest:
    def test_it_runs_pytest_in_the_checkout_and_passes_its_verdict_on(self, checkout: Checkout) -> None:
        (checkout.path / "test_it.py").write_text("def test_it():\n    assert False\n")

        done = checkout.run("test", "-q", "-p", "no:cacheprovider", "test_it.py")

        assert done.returncode == 1
        assert "1 failed" in done.stdout.splitlines()[-1]


class TestBench:
    def test_an_unknown_name_lists_the_known(self, checkout: Checkout) -> None:
        checkout.provide("true", shutil.which("true"))
        (checkout.path / "tests/bench").mkdir(parents=True)
        (checkout.path / "tests/bench/reload.py").write_text("print('measured')")

        unknown = checkout.run("bench", "nope")
        assert checkout.notes() == []  # nothing is installed for it
        known = checkout.run("bench", "reload")

        assert unknown.returncode == 2
        assert "There are: reload" in unknown.stderr
        assert known.stdout == "measured\n"


class TestFiles:
    @pytest.mark.parametrize("script", ["scripts/run", "scripts/test", "scripts/check", "scripts/bench", ".ci/run"])
    def test_scripts_are_executable_bash(self, script: str) -> None:
        assert os.access(ROOT / script, os.X_OK)
        assert subprocess.run(["bash", "-n", ROOT / script], check=False).returncode == 0

    def test_the_locks_name_no_address(self) -> None:
        for name in ("requirements.lock", "requirements-test.lock"):
            text = (ROOT / name).read_text("utf-8")
            assert "://" not in text
            assert "--index" not in text
            assert "--hash=sha256:" in text
