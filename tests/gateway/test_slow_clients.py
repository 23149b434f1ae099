"""Clients that are slow on purpose, and what the others notice of them."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

import pytest

from .conftest import Rig, answering, raw_server, serving

EACH = 100


async def latencies(rig: Rig, count: int = 150) -> tuple[float, float]:
    """Milliseconds, p50 and p99."""
    found = []
    for _ in range(count):
        began = perf_counter()
        assert (await rig.client.get("/me/x/")).status_code == 200
        found.append((perf_counter() - began) * 1000)
    found.sort()
    return found[count // 2], found[count * 99 // 100]


async def large(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(400):
        await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.slow
async def test_hundreds_of_them_slow_nobody_else_down(rig: Rig) -> None:
    """A head a byte at a time, a body that never ends, an answer that is never read: a hundred of each."""
    ok = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
    async with raw_server(ok) as port, serving(large) as large_port:
        rig.api("x", port)
        rig.api("large", large_port)
        before = await latencies(rig)
        host = f"host: 127.0.0.1:{rig.port}\r\n"
        begun = [
            f"GET /me/x/ HTTP/1.1\r\n{host}x-slow: ",
            f"POST /me/x/ HTTP/1.1\r\n{host}content-length: 1000\r\n\r\nhalf",
            f"GET /me/large/ HTTP/1.1\r\n{host}\r\n",
        ]
        writers: list[asyncio.StreamWriter] = []
        for text in begun * EACH:
            reader, writer = await asyncio.open_connection("127.0.0.1", rig.port, limit=1024)
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(text.encode())
            writers.append(writer)

        async def trickle() -> None:
            while True:
                for writer in writers[::3]:
                    writer.write(b"a")
                await asyncio.sleep(0.5)

        trickling = asyncio.create_task(trickle())
        during = await latencies(rig)
        trickling.cancel()
        for writer in writers:
            writer.transport.abort()
    told = [f"{p50:.2f}/{p99:.2f} ms" for p50, p99 in (before, during)]
    print(f"p50/p99 of the others: {told[0]} before, {told[1]} with {3 * EACH} slow clients")
    assert during[0] < 5 * before[0] + 10
    assert during[1] < 5 * before[1] + 100
