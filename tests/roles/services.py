"""A marketplace in parts: gateways, an executor and analytics, each a process, on one PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from local_server.client import Client
from tests.e2e.conftest import RunningServer, free_port


@dataclass
class Services:
    """On one machine they share a data directory: the token, the key of sessions, the files of versions."""

    home: Path
    engine: str
    database: str
    gateway_port: int = field(default_factory=free_port)
    executor_port: int = field(default_factory=free_port)
    analytics_port: int = field(default_factory=free_port)
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.executor = self._server("executor", self.executor_port)
        self.gateway = self._server("gateway", self.gateway_port)
        self.analytics = self._server("analytics", self.analytics_port)

    def another_gateway(self) -> RunningServer:
        return self._server("gateway", free_port())

    @property
    def client(self) -> Client:
        """By the gateway, as everybody comes in."""
        return self.gateway.client

    def _server(self, role: str, port: int) -> RunningServer:
        env = {
            "APIMARKET_ROLE": role,
            "APIMARKET_DATABASE": self.database,
            "APIMARKET_GATEWAY_URL": f"http://127.0.0.1:{self.gateway_port}",
            "APIMARKET_EXECUTOR_URL": f"http://127.0.0.1:{self.executor_port}",
            "APIMARKET_ANALYTICS_URL": f"http://127.0.0.1:{self.analytics_port}",
            "APIMARKET_RUN_PUBLISHED": "1",
            "APIMARKET_DRAIN_S": "1",
            "APIMARKET_WARM_S": "1",
        }
        return RunningServer(self.home, self.engine, port, env | self.env)


@contextmanager
def started(home: Path, engine: str, database: str) -> Iterator[Services]:
    services = Services(home, engine, database)
    servers = (services.executor, services.gateway, services.analytics)
    try:
        for server in servers:
            server.start()
        yield services
    finally:
        for server in servers[1:]:
            end(server)
        services.executor.stop(apis=True)  # under Docker they would run on


def end(server: RunningServer) -> None:
    """As a process manager does."""
    if server.process is not None and server.process.poll() is None:
        server.process.terminate()
        server.process.wait(60)
    server.process = None
