"""Bodies of any size, both ways, as they come."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import psutil
import pytest

from .conftest import Rig, raw_server, serving

MEGABYTE = 1024 * 1024


def rss() -> int:
    return int(psutil.Process().memory_info().rss)


def grown_since(before: int) -> float:
    """Megabytes, told in the test's output."""
    grown = (rss() - before) / MEGABYTE
    print(f"memory grew by {grown:.1f} MB")
    return grown


async def source(scope: Any, receive: Any, send: Any) -> None:
    """As many megabytes as the query says."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(int(scope["query_string"])):
        await send({"type": "http.response.body", "body": b"x" * MEGABYTE, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def sink(scope: Any, receive: Any, send: Any) -> None:
    """Counts the body."""
    count = 0
    while True:
        message = await receive()
        count += len(message["body"])
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(count).encode()})


SIZES = pytest.mark.parametrize(
    "megabytes", [pytest.param(200, id="200 MB"), pytest.param(1024, id="1 GB", marks=pytest.mark.slow)]
)


class TestMemory:
    @SIZES
    async def test_down(self, rig: Rig, megabytes: int) -> None:
        async with serving(source) as port:
            rig.api("x", port)
            before, count = rss(), 0
            async with rig.client.stream("GET", f"/me/x/?{megabytes}") as answer:
                async for chunk in answer.aiter_raw():
                    count += len(chunk)
            assert count == megabytes * MEGABYTE
            assert grown_since(before) < 30

    @SIZES
    async def test_up(self, rig: Rig, megabytes: int) -> None:
        async def body() -> Any:
            for _ in range(megabytes):
                yield b"x" * MEGABYTE

        async with serving(sink) as port:
            rig.api("x", port, max_body_bytes=megabytes * MEGABYTE)
            before = rss()
            answer = await rig.client.post("/me/x/", content=body())
            assert int(answer.content) == megabytes * MEGABYTE
            assert grown_since(before) < 30

    async def test_a_client_that_does_not_read_stops_the_api(self, rig: Rig) -> None:
        sent = 0

        async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536

        async with raw_server(endless) as port:
            rig.api("x", port)
            _, writer = await asyncio.open_connection("127.0.0.1", rig.port, limit=1024)
            writer.write(f"GET /me/x/ HTTP/1.1\r\nhost: localhost:{rig.port}\r\n\r\n".encode())
            previous = -1
            while sent != previous or sent == 0:
                previous = sent
                await asyncio.sleep(0.15)
            assert sent < 30 * MEGABYTE  # what the kernel's buffers of two connections take
            writer.transport.abort()

    async def test_an_api_that_does_not_read_stops_the_client(self, rig: Rig) -> None:
        async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.Event().wait()

        async with raw_server(deaf) as port:
            rig.api("x", port, timeout_s=1.0, max_body_bytes=1024 * MEGABYTE)
            before = rss()
            reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
            length = 1024 * MEGABYTE
            writer.write(
                f"POST /me/x/ HTTP/1.1\r\nhost: localhost:{rig.port}\r\ncontent-length: {length}\r\n\r\n".encode()
            )
            sent = 0
            with contextlib.suppress(TimeoutError):
                while sent < length:
                    writer.write(b"x" * 65536)
                    await asyncio.wait_for(writer.drain(), 0.3)
                    sent += 65536
            assert sent < 40 * MEGABYTE
            assert rss() - before < 30 * MEGABYTE
            assert (await asyncio.wait_for(reader.readline(), 3)).startswith(b"HTTP/1.1 504")
            writer.transport.abort()


class TestAsItComes:
    async def test_server_sent_events_are_not_buffered(self, rig: Rig) -> None:
        step = asyncio.Event()

        async def events(scope: Any, receive: Any, send: Any) -> None:
            headers = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for number in range(5):
                await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
                await step.wait()
                step.clear()
            await send({"type": "http.response.body", "body": b""})

        async with serving(events) as port:
            rig.api("x", port)
            async with rig.client.stream("GET", "/me/x/") as answer:
                chunks = []
                async for chunk in answer.aiter_raw():
                    chunks.append(chunk)  # the next is only sent once this one has arrived
                    step.set()
        assert chunks == [b"data: %d\n\n" % number for number in range(5)]

    async def test_both_directions_at_once(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", echo_port)
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        head = f"POST /me/x/ HTTP/1.1\r\nhost: localhost:{rig.port}\r\ntransfer-encoding: chunked\r\n\r\n"
        writer.write(head.encode() + b"3\r\none\r\n")
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(8) == b"3\r\none\r\n"
        writer.write(b"3\r\ntwo\r\n")
        assert await reader.readexactly(8) == b"3\r\ntwo\r\n"
        writer.write(b"0\r\nx-trailer: 1\r\n\r\n")
        assert await asyncio.wait_for(reader.readexactly(5), 2) == b"0\r\n\r\n"
        writer.close()

    async def test_chunked_body_arrives_whole(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", echo_port)

        async def body() -> Any:
            for size in (1, 70_000, 3, 200_000):
                yield bytes([size % 251]) * size

        answer = await rig.client.post("/me/x/", content=body())
        assert len(answer.content) == 270_004
        assert answer.headers["x-saw-transfer-encoding"] == "chunked"
        assert "x-saw-content-length" not in answer.headers

    async def test_early_answer_to_an_unfinished_body(self, rig: Rig) -> None:
        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig")
            await writer.drain()
            await reader.read()

        async with raw_server(refuse) as port:
            lane = rig.api("x", port)
            assert lane is not None
            reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
            head = f"POST /me/x/ HTTP/1.1\r\nhost: localhost:{rig.port}\r\ncontent-length: 1000000\r\n\r\n"
            writer.write(head.encode() + b"x" * 1000)
            assert (await asyncio.wait_for(reader.readuntil(b"big"), 2)).startswith(b"HTTP/1.1 413")
            assert len(lane.pool) == 0  # half a request stands on that connection
            writer.close()

    @pytest.mark.parametrize("encoding", ["gzip", "br"])
    async def test_compressed_bodies_are_untouched(self, rig: Rig, encoding: str) -> None:
        async def compressed(scope: Any, receive: Any, send: Any) -> None:
            headers = [(b"content-encoding", encoding.encode()), (b"content-length", b"4")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"\x00\x01\x02\x03"})

        async with serving(compressed) as port:
            rig.api("x", port)
            async with rig.client.stream("GET", "/me/x/") as answer:
                assert b"".join([chunk async for chunk in answer.aiter_raw()]) == b"\x00\x01\x02\x03"
                assert answer.headers["content-encoding"] == encoding
