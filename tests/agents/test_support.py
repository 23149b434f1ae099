"""What is shipped into a sandbox beside the user's files."""

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local_server.domain.manifest import Runtime
from local_server.executor.agents.support import PACKAGES, agent_directory, copied_agent, support_directory


class TestSupportDirectory:
    def test_serving_packages_are_imported_from_it_alone(self, tmp_path: Path, bare_python: str) -> None:
        directory = support_directory(tmp_path / "not-there-yet")
        code = f"import sys; sys.path[:0] = [{str(directory)!r}]; import {', '.join(PACKAGES)}; print(uvicorn.__file__)"
        done = subprocess.run([bare_python, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str(directory / "uvicorn" / "__init__.py")

    def test_second_call_answers_with_the_same_directory(self, tmp_path: Path) -> None:
        first = support_directory(tmp_path)
        made_at = first.stat().st_mtime_ns
        assert support_directory(tmp_path) == first
        assert first.stat().st_mtime_ns == made_at

    def test_calls_at_once_leave_one_copy(self, tmp_path: Path) -> None:
        with ThreadPoolExecutor(3) as pool:
            made = set(pool.map(support_directory, [tmp_path] * 3))
        assert list(tmp_path.iterdir()) == list(made)

    def test_another_user_can_read_it_and_nothing_is_platform_bound(self, tmp_path: Path) -> None:
        directory = support_directory(tmp_path)
        for path in (directory, *directory.rglob("*")):
            assert path.stat().st_mode & 0o004, path
            assert path.suffix not in (".so", ".pyd"), path

    def test_it_is_compiled_for_this_version(self, tmp_path: Path) -> None:
        compiled = support_directory(tmp_path).glob(f"uvicorn/__pycache__/config.{sys.implementation.cache_tag}.pyc")
        assert len(list(compiled)) == 1


class TestAgentDirectory:
    def test_python_agent_is_there(self) -> None:
        assert (agent_directory(Runtime.PYTHON) / "agent.py").is_file()


class TestCopiedAgent:
    @pytest.mark.parametrize("runtime", Runtime)
    def test_is_what_is_installed(self, tmp_path: Path, runtime: Runtime) -> None:
        copied, installed = copied_agent(runtime, tmp_path / "cache"), agent_directory(runtime)
        for source in installed.iterdir():
            if source.is_file():
                assert (copied / source.name).read_bytes() == source.read_bytes()
        assert stat.S_IMODE(copied.stat().st_mode) == 0o755

    def test_is_made_once(self, tmp_path: Path) -> None:
        first = copied_agent(Runtime.NODE, tmp_path)
        made = first.stat().st_ino
        assert copied_agent(Runtime.NODE, tmp_path) == first
        assert first.stat().st_ino == made
