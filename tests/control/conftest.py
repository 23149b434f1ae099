"""The real server on a real port, in a thread, with an engine in memory."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from local_server.app import Server, create_control, make_server
from local_server.data_directory import DataDirectory
from local_server.executor.engine import Engine, EngineSettings
from local_server.listening import listen
from local_server.runtime import ChooseEngine
from local_server.settings import Settings
from tests.executor.fake_engine import FakeEngine

PATIENCE_S = 20.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Running:
    server: Server
    port: int
    token: str
    home: Path
    thread: threading.Thread

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, token: str | None = ""
    ) -> Answer:
        """With the server's own token unless another, or None, is given."""
        given = {} if token is None else {"Authorization": f"Bearer {token or self.token}"}
        if body is not None:
            given["Content-Type"] = "application/json"
        connection = self.connect()
        try:
            payload = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, payload, given | (headers or {}))
            found = connection.getresponse()
            return Answer(found.status, {name.lower(): value for name, value in found.getheaders()}, found.read())
        finally:
            connection.close()


class _EndingEngine(FakeEngine):
    """What it runs lives on the server's event loop, and ends with it."""

    async def close(self) -> None:
        for agent in self.machine.agents.values():
            await agent.end_all()
        await super().close()


async def in_memory(settings: Settings, keeper: str) -> Engine:
    return _EndingEngine(EngineSettings(settings.home, keeper, {}))


@contextmanager
def serving(
    home: Path, prepare: Callable[[FastAPI], None] = lambda app: None, choose: ChooseEngine = in_memory
) -> Iterator[Running]:
    settings = Settings(home=home, port=0, owner="ana", projects=home / "projects", drain_s=0, warm_s=0)
    with DataDirectory(home) as data, listen(settings.host, 0) as listener:
        server = make_server(settings, data, listener, choose)
        prepare(server.control)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="server", daemon=True)
        thread.start()
        try:
            running = Running(server, listener.getsockname()[1], data.token(), home, thread)
            # The listener holds the connection until the server is up.
            assert running.ask("GET", "/health").status == 200
            yield running
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("control") / "home") as started:
        yield started


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory that can be registered, and that the fake engine can run."""
    directory = tmp_path / "hello"
    directory.mkdir()
    (directory / "main.py").write_text("def handler(request):\n    return {}\n")
    (directory / "answer.txt").write_text("hello")
    return directory


def wait_for(question: Callable[[], Any]) -> Any:
    """Ask until the answer is true; returns it."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := question()):
        assert time.monotonic() < deadline, f"waited {PATIENCE_S:.0f} s"
        time.sleep(0.01)
    return answer


@cache
def document() -> dict[str, Any]:
    """The description of the control API; it takes most of a second to derive."""
    return create_control().openapi()


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    """(METHOD, path, what the document says of it) of every operation."""
    return [
        (method.upper(), path, operation)
        for path, item in document()["paths"].items()
        for method, operation in item.items()
    ]
