"""A whole server, as a user has it: its own process, its own data directory, a real engine."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local_server.client import ApimarketClientError, Client
from tests.go_caches import share_go_cache

PATIENCE_S = 90.0

ENGINES = [pytest.param("process", id="process"), pytest.param("docker", id="docker", marks=pytest.mark.docker)]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class RunningServer:
    """One server process after another on one data directory."""

    home: Path
    engine: str
    port: int = field(default_factory=free_port)
    env: dict[str, str] = field(default_factory=dict)
    python: str = sys.executable
    """The interpreter it runs in."""
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def client(self) -> Client:
        return Client(self.url, (self.home / "token").read_text().strip())

    def environment(self) -> dict[str, str]:
        return os.environ | {"APIMARKET_HOME": str(self.home), "NO_COLOR": "1"} | self.env

    def start(self) -> float:
        """Start it and wait until it answers; returns the seconds that took."""
        began = time.perf_counter()
        arguments = [self.python, "-m", "local_server", "serve", "--engine", self.engine, "--port", str(self.port)]
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                arguments, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.environment(),
                start_new_session=True, cwd=self.home,
            )  # fmt: skip
        wait_for(self._answers, "the server to answer", 30)
        return time.perf_counter() - began

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.words()
        with contextlib.suppress(ApimarketClientError):
            return bool(Client(self.url).health())
        return False

    def stop(self, *, apis: bool = False) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            with contextlib.suppress(ApimarketClientError):
                self.client.stop_server(apis=apis)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
                raise AssertionError(f"the server did not stop:\n{self.words()}") from None
        self.process = None

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        self.process = None

    def words(self) -> str:
        return (self.home / "server.log").read_text(errors="replace")[-6000:]

    def run(self, *arguments: str, check: bool = True, **options: Any) -> "subprocess.CompletedProcess[str]":
        """One command of the command line."""
        done = subprocess.run(
            [sys.executable, "-m", "local_server", *arguments], capture_output=True, text=True, timeout=PATIENCE_S,
            env=self.environment() | {"APIMARKET_URL": self.url}, check=False, **options,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}\n{self.words()}"
        return done

    def until(self, name: str, state: str, patience_s: float = PATIENCE_S) -> dict[str, Any]:
        """Wait for a state; returns the API's row."""

        def reached() -> Any:
            row = self.client.api(name)
            return row if row["state"] == state else None

        def told() -> str:
            row = self.client.api(name)
            lines = "\n".join(line["text"] for line in self.client.logs(name, limit=30))
            return f"{name} to be {state}; it is {row['state']}: {row['error']}\n{lines}\n{self.words()}"

        return dict(wait_for(reached, told, patience_s))


def wait_for(question: Callable[[], Any], what: str | Callable[[], str], patience_s: float = PATIENCE_S) -> Any:
    """Ask until the answer is true; returns it."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if answer := question():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"waited {patience_s:.0f} s for {what() if callable(what) else what}")


@contextlib.contextmanager
def running(home: Path, engine: str, **options: Any) -> Iterator[RunningServer]:
    server = RunningServer(home, engine, **options)
    share_go_cache(home, engine)
    try:
        server.start()
        yield server
    finally:
        if server.process is not None:
            server.stop(apis=True)


@pytest.fixture(scope="module", params=ENGINES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with each engine in turn, shared by the tests of one module."""
    with running(tmp_path_factory.mktemp("home") / "data", request.param) as started:
        yield started


@pytest.fixture
def process_server(tmp_path: Path) -> Iterator[RunningServer]:
    """A server of this test alone, on local processes."""
    with running(tmp_path / "home", "process") as started:
        yield started
