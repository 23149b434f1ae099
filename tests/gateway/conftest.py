"""A gateway on a real port, and APIs for it to find: all in one event loop, on loopback only."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
import uvicorn

from local_server.domain.executions import Execution
from local_server.domain.ids import ApiId
from local_server.domain.routing import Route
from local_server.gateway import Edge, Gateway, Hosts
from local_server.gateway.lane import Lane
from local_server.gateway.protocol import HardenedProtocol
from local_server.gateway.serving import uvicorn_options
from local_server.system import RealSystem

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncIterator[int]:
    """`app` under uvicorn, without its signal handlers and the naps of its shutdown; yields the port."""
    config = uvicorn.Config(app, port=0, log_level="critical", lifespan="off", **options)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.servers[0].close()
        state = server.server_state
        for connection in tuple(state.connections):
            connection.shutdown()
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=2)
        for connection in tuple(state.connections):
            connection.transport.abort()
        await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def raw_server(handler: Handler) -> AsyncIterator[int]:
    """A server that does whatever `handler` does with a connection; yields the port."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


def answering(answer: bytes, *, close: bool = False) -> Handler:
    """Answers every request (without a body) with these bytes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            if close:
                return

    return handler


async def control(scope: Any, receive: Any, send: Any) -> None:
    """Stands for the control API."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"7")]})
    await send({"type": "http.response.body", "body": b"control"})


async def until(true: Callable[[], object], limit_s: float = 30) -> None:
    """Wait for something that tells nobody when it happens."""
    async with asyncio.timeout(limit_s):
        while not true():
            await asyncio.sleep(0.001)


@dataclass
class Rig:
    gateway: Gateway
    port: int
    client: httpx2.AsyncClient
    records: list[Execution] = field(default_factory=list)

    def api(self, slug: str, port: int | None, generation: int = 1, **route: Any) -> Lane | None:
        """Register `me/slug`, answered by the server on `port`."""
        fields: dict[str, Any] = {"owner": "me", "availability": "serving", **route}
        where = Route(ApiId(f"{fields['owner']}/{slug}"), slug=slug, **fields)
        lane = None
        if port is not None:
            lane = self.gateway.routing.open(where.api_id, generation, f"{generation:064x}", ("127.0.0.1", port))
        self.gateway.routing.route(where, lane)
        return lane

    async def raw(self, data: bytes) -> bytes:
        """Send `data` and return all that comes until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            return await asyncio.wait_for(reader.read(), 5)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def record(self) -> Execution:
        """The only record, once it is there."""
        await until(lambda: self.records)
        (record,) = self.records
        return record


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each request that might take the short way: whether it did."""
    seen: list[bool] = []
    parsed, known = HardenedProtocol._took_short_way, HardenedProtocol._take_known

    def watched(self: HardenedProtocol, *given: Any) -> bool:
        seen.append(parsed(self, *given))
        return seen[-1]

    def watched_known(self: HardenedProtocol, data: bytes) -> bool:
        taken = known(self, data)
        if taken:
            seen.append(True)
        return taken

    monkeypatch.setattr(HardenedProtocol, "_took_short_way", watched)
    monkeypatch.setattr(HardenedProtocol, "_take_known", watched_known)
    return seen


@pytest.fixture
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """Parametrise indirectly with further arguments for the gateway."""
    async with opened_rig(**getattr(request, "param", {})) as opened:
        yield opened


@contextlib.asynccontextmanager
async def opened_rig(**options: Any) -> AsyncIterator[Rig]:
    records: list[Execution] = []
    gateway = Gateway(records.extend, RealSystem(), hosts=Hosts(["api.example.test"]), **options)
    async with (
        serving(Edge(control, gateway), **uvicorn_options()) as port,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as client,
    ):
        yield Rig(gateway, port, client, records)
        await gateway.close()


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Streams the request's body back and tells what it saw in headers."""
    headers = [(b"x-saw-path", scope["raw_path"]), (b"x-saw-query", scope["query_string"])]
    headers += [(b"x-saw-" + name, value) for name, value in scope["headers"]]
    headers.append((b"x-saw-method", scope["method"].encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        await send({"type": "http.response.body", "body": message["body"], "more_body": True})
        if not message["more_body"]:
            break
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def echo_port() -> AsyncIterator[int]:
    async with serving(echo, proxy_headers=False) as port:
        yield port
