"""How large a request's body may be, and for how long anybody is waited for."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import psutil
import pytest

from local_server.domain.executions import CallOutcome
from local_server.gateway import client_clocks, failures, protocol

from .conftest import Rig, answering, raw_server, serving, until
from .test_callers import STRICT

LIMIT = 1024 * 1024
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


def _is_served(client: tuple[str, int]) -> bool:
    """Whether this process still holds the other end of a connection."""
    return any(tuple(each.raddr) == client for each in psutil.Process().net_connections("tcp") if each.raddr)


async def parts(count: int, size: int = 64 * 1024) -> Any:
    for _ in range(count):
        yield bytes(size)


class TestTooLarge:
    async def test_what_announces_too_much_never_reaches_the_api(self, rig: Rig) -> None:
        asked = 0

        async def count(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
            nonlocal asked
            asked += 1

        async with raw_server(count) as port:
            rig.api("x", port, max_body_bytes=LIMIT)
            answer = await rig.client.post("/me/x/", content=bytes(LIMIT + 1))
        assert (answer.status_code, answer.json()["code"], asked) == (413, "body_too_large", 0)
        assert answer.json()["detail"] == "The body announces 1,048,577 bytes; me/x takes up to 1,048,576 bytes"
        assert (await rig.record()).outcome is CallOutcome.REFUSED

    async def test_exactly_as_much_passes(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", echo_port, max_body_bytes=LIMIT)
        assert len((await rig.client.post("/me/x/", content=bytes(LIMIT))).content) == LIMIT
        assert len((await rig.client.post("/me/x/", content=parts(16))).content) == LIMIT

    async def test_what_announces_nothing_is_cut_off(self, rig: Rig) -> None:
        taken = 0
        gone = asyncio.Event()

        async def swallow(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
            nonlocal taken
            while data := await reader.read(65536):
                taken += len(data)
            gone.set()

        async with raw_server(swallow) as port:
            rig.api("x", port, max_body_bytes=LIMIT)
            answer = await rig.client.post("/me/x/", content=parts(100))
            assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
            await asyncio.wait_for(gone.wait(), 5)
        assert taken < LIMIT + 100_000
        assert (await rig.record()).outcome is CallOutcome.REFUSED

    async def test_also_while_the_answer_has_begun(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", echo_port, max_body_bytes=LIMIT)
        with pytest.raises(httpx2.TransportError):
            await rig.client.post("/me/x/", content=parts(100))
        assert (await rig.record()).outcome is CallOutcome.REFUSED

    @pytest.mark.parametrize("length", [str(10**30), "9" * 200])
    async def test_absurd_lengths_are_just_too_large(self, rig: Rig, echo_port: int, length: str) -> None:
        rig.api("x", echo_port)
        head = f"POST /me/x/ HTTP/1.1\r\nhost: localhost:{rig.port}\r\nconnection: close\r\ncontent-length: {length}"
        said = await rig.raw(head.encode() + b"\r\n\r\n")
        assert said.startswith((b"HTTP/1.1 413", b"HTTP/1.1 400"))

    @STRICT
    async def test_a_stranger_learns_nothing_of_it(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", echo_port, max_body_bytes=LIMIT)
        assert (await rig.client.post("/me/x/", content=bytes(LIMIT + 1))).status_code == 401

    async def test_a_client_that_goes_on_sending_is_cut_off_in_the_end(
        self, rig: Rig, echo_port: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(protocol, "HEAD_DEADLINE_S", 0.2)
        rig.api("x", echo_port, max_body_bytes=LIMIT)
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        head = f"POST /me/x/ HTTP/1.1\r\nhost: localhost:{rig.port}\r\ncontent-length: {1 << 40}\r\n\r\n"
        writer.write(head.encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 413")

        async def go_on() -> None:
            while True:
                writer.write(bytes(65536))
                await writer.drain()

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(go_on(), 5)
        writer.close()


class TestPatience:
    @pytest.fixture(params=["short", "long"])
    def way(self, request: pytest.FixtureRequest) -> dict[str, str]:
        return {"sec-fetch-site": "none"} if request.param == "long" else {}

    async def begun(self, rig: Rig, way: dict[str, str], kind: bytes) -> Any:
        """Ask an API that answers once, and the second time not to the end."""
        said = [OK, b"HTTP/1.1 200 OK\r\n%bcontent-length: 9\r\n\r\nhalf" % kind]

        async def stuck(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(said.pop(0))

        async with raw_server(stuck) as port:
            rig.api("x", port)
            await rig.client.get("/me/x/", headers=way)
            rig.records.clear()
            async with asyncio.timeout(1):
                return await rig.client.get("/me/x/", headers=way)

    async def test_an_answer_that_stops_is_cut_off(
        self, rig: Rig, way: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(failures, "ANSWER_IDLE_S", 0.1)
        with pytest.raises(httpx2.RemoteProtocolError):
            await self.begun(rig, way, b"")
        record = await rig.record()
        assert (record.outcome, record.status, record.bytes_out) == (CallOutcome.TIMEOUT, 200, 4)

    async def test_a_stream_of_events_may_be_silent(
        self, rig: Rig, way: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(failures, "ANSWER_IDLE_S", 0.1)
        with pytest.raises(TimeoutError):
            await self.begun(rig, way, b"content-type: text/event-stream; charset=utf-8\r\n")

    @pytest.mark.parametrize("kept", [False, True], ids=["streamed", "kept"])
    async def test_a_client_that_does_not_read_is_cut_off(
        self, rig: Rig, way: dict[str, str], monkeypatch: pytest.MonkeyPatch, kept: bool
    ) -> None:
        monkeypatch.setattr(client_clocks, "UNREAD_S", 0.1)

        async def large(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(1 if kept else 400):
                await send({"type": "http.response.body", "body": bytes(900_000), "more_body": True})
            await send({"type": "http.response.body", "body": b""})

        async with serving(large) as port:
            rig.api("x", port, cache_ttl_s=60 if kept else 0)
            if kept:
                await rig.client.get("/me/x/")
            fetch = b"sec-fetch-site: none\r\n" if way else b""
            line = b"GET /me/x/ HTTP/1.1\r\nhost: localhost:%d\r\n%b\r\n" % (rig.port, fetch)
            reader, writer = await asyncio.open_connection("127.0.0.1", rig.port, limit=1024)
            writer.write(line * (40 if kept else 1))
            client = writer.get_extra_info("sockname")
            await until(lambda: _is_served(client))
            await until(lambda: not _is_served(client))
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly((40 if kept else 400) * 900_000)
            writer.close()
        if not kept:
            assert rig.records[-1].outcome is CallOutcome.ABORTED

    async def test_a_slow_client_reads_on(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(client_clocks, "UNREAD_S", 0.5)
        size = 12 << 20
        async with raw_server(answering(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + bytes(size))) as port:
            rig.api("x", port)
            reader, writer = await asyncio.open_connection("127.0.0.1", rig.port, limit=65536)
            writer.write(b"GET /me/x/ HTTP/1.1\r\nhost: localhost:%d\r\n\r\n" % rig.port)
            await reader.readuntil(b"\r\n\r\n")
            left = size
            while left:
                read = await reader.read(512 << 10)
                assert read, f"cut off with {left} bytes to go"
                left -= len(read)
                await asyncio.sleep(0.01)
            writer.close()
        await until(lambda: rig.records)
        assert rig.records[0].outcome is CallOutcome.OK
