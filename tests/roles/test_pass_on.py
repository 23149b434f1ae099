"""What a gateway passes on: everything that came, both ways, as it comes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from local_server.gateway import Edge, Gateway, Hosts
from local_server.gateway.serving import uvicorn_options
from local_server.roles.pass_on import PassOn
from local_server.system import RealSystem
from tests.gateway.conftest import Handler, control, raw_server, serving

PATIENCE_S = 30


@asynccontextmanager
async def gateway_before(executor_port: int, analytics_port: int = 1) -> AsyncIterator[httpx2.AsyncClient]:
    gateway = Gateway(lambda execution: None, RealSystem(), hosts=Hosts())
    passing = PassOn(control, f"http://127.0.0.1:{executor_port}", f"http://127.0.0.1:{analytics_port}")
    async with (
        serving(Edge(passing, gateway), **uvicorn_options()) as port,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=PATIENCE_S) as client,
    ):
        yield client
        await passing.close()
        await gateway.close()


class Service:
    """Answers with `pieces`, each when it is told to go on; keeps what it was asked."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.go_on = asyncio.Event()
        self.left = asyncio.Event()
        self.head = b""
        self.body = b""

    @property
    def handler(self) -> Handler:
        return self._answer

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.head = await reader.readuntil(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in self.head.lower():
            self.body = await reader.readuntil(b"0\r\n\r\n")
        elif b"content-length: 5" in self.head.lower():
            self.body = await reader.readexactly(5)
        for number, piece in enumerate(self.pieces):
            if number:
                await self.go_on.wait()
            writer.write(piece)
            await writer.drain()
        if not self.go_on.is_set():
            await reader.read()  # until whoever asked leaves
            self.left.set()


HEAD = b"HTTP/1.1 %b\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n%b\r\n"


async def test_a_request_arrives_as_it_was_sent() -> None:
    service = Service(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\nx-request-id: other\r\nx-more: 1\r\n\r\nok")
    async with raw_server(service.handler) as port, gateway_before(port) as client:
        answer = await client.put(
            "/api/v1/files/a%2Fb%20c?q=%41&q=", content=b"hello",
            headers={"Authorization": "Bearer t", "Connection": "close", "X-Thing": "1",
                     "Origin": f"http://{client.base_url.netloc.decode()}"},
        )  # fmt: skip
    assert (answer.status_code, answer.text, answer.headers["x-more"]) == (201, "ok", "1")
    assert answer.headers.get_list("x-request-id") != ["other"]
    assert len(answer.headers.get_list("x-request-id")) == len(answer.headers.get_list("date")) == 1
    line, *lines = service.head.decode().lower().rstrip().split("\r\n")
    assert line == "put /api/v1/files/a%2fb%20c?q=%41&q= http/1.1"
    assert service.body == b"hello"
    assert {f"host: 127.0.0.1:{port}", "authorization: bearer t", "x-thing: 1", "x-forwarded-for: 127.0.0.1"} <= {
        *lines
    }
    assert f"x-forwarded-host: {client.base_url.netloc.decode()}" in lines
    assert not [line for line in lines if line.startswith(("connection: close", "origin:"))]


async def test_a_body_of_no_known_length_is_passed_on() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    service = Service(b"HTTP/1.1 204 No Content\r\n\r\n")
    async with raw_server(service.handler) as port, gateway_before(port) as client:
        assert (await client.post("/api/v1/uploads", content=parts())).status_code == 204
    assert b"one" in service.body
    assert b"two" in service.body


async def test_an_answer_comes_as_it_is_written() -> None:
    service = Service(HEAD % (b"200 OK", b"") + b"3\r\none\r\n", b"3\r\ntwo\r\n0\r\n\r\n")
    async with (
        raw_server(service.handler) as port,
        gateway_before(port) as client,
        client.stream("GET", "/api/v1/events") as answer,
    ):
        chunks = answer.aiter_raw()
        assert await anext(chunks) == b"one"
        service.go_on.set()
        assert await anext(chunks) == b"two"


async def test_who_hangs_up_is_not_listened_for_any_more() -> None:
    service = Service(HEAD % (b"200 OK", b"") + b"3\r\none\r\n")
    async with raw_server(service.handler) as port, gateway_before(port) as client:
        async with client.stream("GET", "/api/v1/events") as answer:
            await anext(answer.aiter_raw())
        await asyncio.wait_for(service.left.wait(), PATIENCE_S)


async def test_an_answer_that_breaks_off_does_not_look_whole() -> None:
    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD % (b"200 OK", b"") + b"3\r\none\r\n")
        await writer.drain()

    async with raw_server(broken) as port, gateway_before(port) as client:
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.get("/api/v1/events")


async def test_a_service_that_is_away_is_named() -> None:
    async with raw_server(Service().handler) as port:
        pass  # nobody listens there any more
    async with gateway_before(port, port) as client:
        answers = [await client.get(path) for path in ("/api/v1/apis", "/analytics/stats/weather")]
    assert [answer.status_code for answer in answers] == [503, 503]
    assert [answer.json()["code"] for answer in answers] == ["service_away"] * 2
    assert "apimarket serve --role executor" in answers[0].json()["hint"]
    assert "apimarket serve --role analytics" in answers[1].json()["hint"]
    assert answers[0].headers["retry-after"] == "1"


async def test_of_itself_the_gateway_tells_itself() -> None:
    async with gateway_before(1) as client:
        for path in ("/health", "/ready", "/metrics"):
            assert (await client.get(path)).text == "control"
