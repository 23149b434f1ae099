"""What is shipped into a sandbox beside the user's files."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from local_server.domain.manifest import Runtime
from local_server.executor.agents.support import PACKAGES, agent_directory, support_directory


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
