"""The short way and the long way give the same answers; what the short way cannot do goes the long way."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from local_server.domain.executions import CallOutcome
from local_server.domain.manifest import RateLimit
from local_server.gateway.hosts import SERVER

from .conftest import Handler, Rig, answering, echo, raw_server, serving, until

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
GET = b"GET /me/x/ HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n\r\n"


async def warm(rig: Rig, port: int, ways: list[bool], **route: Any) -> None:
    """Make an API of what listens on `port`, with one idle connection to it."""
    rig.api("x", port, **route)
    assert (await rig.client.get("/me/x/")).status_code == 200
    ways.clear()
    rig.records.clear()


def seen(answer: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in ("date", "x-request-id")}


class TestBothWays:
    @pytest.mark.parametrize("path", ["/me/x/", "/me/x/a/b?q=1&r=%2F", "/me/x/%61%2Fb;c"])
    async def test_the_api_is_asked_the_same_and_so_is_the_answer(
        self, rig: Rig, echo_port: int, ways: list[bool], path: str
    ) -> None:
        await warm(rig, echo_port, ways)
        headers = {"x-own": "1", "connection": "keep-alive, x-dropped", "x-dropped": "2", "x-forwarded-for": "evil"}
        short = await rig.client.get(path, headers=headers)
        long = await rig.client.get(path, headers=headers | {"sec-fetch-site": "none"})
        assert ways == [True, False]
        told = [
            {k: v for k, v in seen(each).items() if "request-id" not in k and "fetch" not in k}
            for each in (short, long)
        ]
        assert told[0] == told[1]
        assert short.content == long.content
        first, second = rig.records
        assert (first.path, first.status, first.outcome) == (second.path, second.status, second.outcome)

    async def test_a_body_that_is_here_whole_goes_along(self, rig: Rig, echo_port: int, ways: list[bool]) -> None:
        await warm(rig, echo_port, ways)
        for _ in range(80):  # until the API is known to keep idle connections
            await rig.client.get("/me/x/")
        assert (await rig.client.post("/me/x/", content=b"body")).content == b"body"
        assert ways[-1]
        assert rig.records[-1].bytes_in == 4

    async def test_a_body_that_comes_in_parts_goes_the_long_way(
        self, rig: Rig, echo_port: int, ways: list[bool]
    ) -> None:
        await warm(rig, echo_port, ways)

        async def parts() -> Any:
            for part in (b"one", b"two"):
                yield part
                await asyncio.sleep(0.01)

        assert (await rig.client.post("/me/x/", content=parts())).content == b"onetwo"
        assert True not in ways

    async def test_head_has_no_body(self, rig: Rig, ways: list[bool]) -> None:
        async with raw_server(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")) as port:
            rig.api("x", port)
            assert (await rig.client.head("/me/x/")).status_code == 200
            ways.clear()
            answer = await rig.client.head("/me/x/")
        assert ways == [True]
        assert (answer.headers["content-length"], answer.content) == ("2", b"")

    async def test_an_answer_without_a_length_is_chunked(self, rig: Rig, ways: list[bool]) -> None:
        async with serving(echo, proxy_headers=False) as port:
            await warm(rig, port, ways)
            answer = await rig.client.get("/me/x/")
        assert ways == [True]
        assert answer.headers["transfer-encoding"] == "chunked"

    async def test_a_refusal_is_the_same_problem(self, rig: Rig, echo_port: int, ways: list[bool]) -> None:
        await warm(rig, echo_port, ways, rate_limit=RateLimit(1, 60))
        short = await rig.client.get("/me/x/")
        long = await rig.client.get("/me/x/", headers={"sec-fetch-site": "none"})
        assert ways == [True, False]
        assert short.status_code == long.status_code == 429
        assert {k: v for k, v in short.json().items() if k != "instance"} == {
            k: v for k, v in long.json().items() if k != "instance"
        }
        assert set(short.headers) == set(long.headers)
        assert [record.outcome for record in rig.records] == [CallOutcome.REFUSED] * 2
        assert (await rig.client.get("/me/x/")).status_code == 429  # on the same connection


class TestConnections:
    async def test_pipelined_requests_are_answered_in_order(self, rig: Rig, echo_port: int, ways: list[bool]) -> None:
        await warm(rig, echo_port, ways)
        host = b"host: 127.0.0.1:%d\r\n" % rig.port
        lines = [b"GET /me/x/%d HTTP/1.1\r\n%b\r\n" % (number, host) for number in range(5)]
        answer = await rig.raw(b"".join(lines) + b"GET /me/x/5 HTTP/1.1\r\n%bconnection: close\r\n\r\n" % host)
        paths = [line for line in answer.split(b"\r\n") if line.startswith(b"x-saw-path")]
        assert paths == [b"x-saw-path: /%d" % number for number in range(6)]
        assert True in ways

    async def test_a_client_that_hangs_up_ends_the_api_s_work(self, rig: Rig, ways: list[bool]) -> None:
        asked, gone = asyncio.Event(), asyncio.Event()

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            assert await reader.read() == b""
            gone.set()

        async with raw_server(slow) as port:
            await warm(rig, port, ways)
            _, writer = await asyncio.open_connection("127.0.0.1", rig.port)
            writer.write(GET % rig.port)
            await asked.wait()
            writer.close()
            await asyncio.wait_for(gone.wait(), 5)
            record = await rig.record()
        assert ways == [True]
        assert (record.outcome, record.status) == (CallOutcome.ABORTED, 499)

    async def test_a_connection_that_was_closed_meanwhile_costs_a_get_nothing(self, rig: Rig, ways: list[bool]) -> None:
        connections = 0

        async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            if connections == 1:
                await reader.readuntil(b"\r\n\r\n")  # and close in its face
            else:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(OK)

        async with raw_server(once) as port:
            await warm(rig, port, ways)
            answer = await rig.client.get("/me/x/")
            record = await rig.record()
        assert ways == [True]
        assert (answer.status_code, connections) == (200, 2)
        assert (record.outcome, record.bytes_out) == (CallOutcome.OK, 2)


class TestTrouble:
    @pytest.fixture
    def half(self) -> Handler:
        async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
            await writer.drain()

        return half

    async def test_half_an_answer_never_looks_whole(self, rig: Rig, half: Handler, ways: list[bool]) -> None:
        async with raw_server(half) as port:
            await warm(rig, port, ways)
            with pytest.raises(httpx2.RemoteProtocolError):
                await rig.client.get("/me/x/")
            record = await rig.record()
        assert ways == [True]
        assert (record.outcome, record.bytes_out) == (CallOutcome.UPSTREAM_FAILED, 4)

    async def test_an_api_that_does_not_answer_is_told_as_late(self, rig: Rig, ways: list[bool]) -> None:
        async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            await reader.read()

        async with raw_server(mute) as port:
            await warm(rig, port, ways, timeout_s=0.1)
            answer = await rig.client.get("/me/x/")
            record = await rig.record()
        assert ways == [True]
        assert (answer.status_code, record.outcome) == (504, CallOutcome.TIMEOUT)

    async def test_a_lane_that_closes_ends_what_is_on_it(self, rig: Rig, ways: list[bool]) -> None:
        asked = asyncio.Event()

        async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            await reader.read()

        async with raw_server(mute) as port:
            await warm(rig, port, ways)
            (lane,) = rig.gateway.routing._lanes
            asking = asyncio.create_task(rig.client.get("/me/x/"))
            await asyncio.wait_for(asked.wait(), 5)
            await lane.close()
            answer = await asking
        assert answer.status_code == 502
        assert lane.in_flight == 0

    async def test_a_slow_reader_does_not_fill_the_memory(self, rig: Rig, ways: list[bool]) -> None:
        sent = 0

        async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (256 << 20))
            for _ in range(1024):
                writer.write(bytes(256 << 10))
                await writer.drain()
                sent += 256 << 10

        async with raw_server(flood) as port:
            await warm(rig, port, ways)
            reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
            writer.write(GET % rig.port)
            await reader.readuntil(b"\r\n\r\n")
            before = -1
            while before != sent:  # until it stands still
                before = sent
                await asyncio.sleep(0.2)
            assert sent < 64 << 20
            writer.close()
            await until(lambda: rig.records)
        assert ways == [True]


async def test_an_api_of_a_name_that_the_control_api_has_is_not_found_by_path(rig: Rig, echo_port: int) -> None:
    """No account can have such a name; where one did, its paths would be the control API's on one way alone."""
    rig.api("x", echo_port, owner="api")
    assert rig.gateway.routing.find(SERVER, b"/api/x/") == (None, b"/")
    assert (await rig.client.get("/api/x/")).text == "control"
