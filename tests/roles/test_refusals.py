"""What parts of a marketplace cannot be, and how that is said."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import RunningServer
from tests.postgres.clusters import Cluster, open_directory


def serve(home: Path, role: str, **env: str) -> "subprocess.CompletedProcess[str]":
    server = RunningServer(home, "process", env=env)
    command = [sys.executable, "-m", "local_server", "serve", "--role", role, "--engine", "process", "--port", "0"]
    return subprocess.run(command, env=server.environment(), capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("database", ["", "embedded"])
def test_a_part_needs_a_database_that_others_reach(tmp_path: Path, database: str) -> None:
    done = serve(tmp_path / "home", "gateway", APIMARKET_DATABASE=database)
    assert done.returncode == 1
    assert "--role gateway" in done.stderr
    assert "APIMARKET_DATABASE=postgresql://" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.postgres
@pytest.mark.slow
def test_a_second_executor_is_refused(tmp_path: Path, postgres18: Cluster) -> None:
    url = postgres18.database()
    with open_directory("executor-") as directory:
        first = RunningServer(
            directory / "home", "process", env={"APIMARKET_DATABASE": url, "APIMARKET_ROLE": "executor"}
        )
        first.start()
        try:
            done = serve(tmp_path / "other", "executor", APIMARKET_DATABASE=url)
        finally:
            first.stop()
    assert done.returncode == 1
    assert "An executor runs already" in done.stderr
    assert "Traceback" not in done.stderr


def test_another_role_is_none(tmp_path: Path) -> None:
    done = serve(tmp_path / "home", "cache")
    assert done.returncode == 2
    assert "analytics" in done.stderr
