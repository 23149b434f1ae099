"""Connections kept, lanes swapped under load, drained and closed: nothing fails."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import httpx2
import pytest

from local_server.gateway.lane import Lane
from local_server.gateway.pool import KeepAliveRecord

from .conftest import Rig, answering, raw_server, serving, until

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


async def read_request(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    if b"content-length: 5" in head:
        await reader.readexactly(5)


class TestKeepAliveRace:
    @pytest.mark.parametrize(("patience_s", "count"), [(0.0, 400), (0.0005, 400), (0.005, 2000)])
    async def test_an_api_that_closes_at_random_fails_nothing(self, rig: Rig, patience_s: float, count: int) -> None:
        rng = random.Random(1)
        connections = 0

        async def fickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            idle_s = None  # a new connection may bring its first request in peace
            while True:
                try:
                    async with asyncio.timeout(idle_s):
                        await read_request(reader)
                except (TimeoutError, asyncio.IncompleteReadError):
                    return
                writer.write(OK)
                idle_s = rng.uniform(0, patience_s)

        async with raw_server(fickle) as port:
            rig.api("x", port)

            async def calls(worker: int) -> list[int]:
                statuses = []
                for number in range(count // 8):
                    method = ("GET", "POST")[(worker + number) % 2]
                    body = b"12345" if method == "POST" else None
                    statuses.append((await rig.client.request(method, "/me/x/", content=body)).status_code)
                return statuses

            results = await asyncio.gather(*(calls(worker) for worker in range(8)))
        assert [status for result in results for status in result if status != 200] == []
        assert len(rig.records) == count
        assert connections > 5

    async def test_a_dead_connection_is_never_used_for_a_post(self, rig: Rig) -> None:
        async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(OK)

        async with raw_server(once) as port:
            rig.api("x", port)
            for _ in range(50):
                assert (await rig.client.post("/me/x/", content=b"12345")).status_code == 200


class TestKeepAliveRecord:
    def test_nobody_is_trusted_at_first(self) -> None:
        assert not KeepAliveRecord().trusted

    def test_reuse_or_survival_earns_trust_and_haste_loses_it(self) -> None:
        record = KeepAliveRecord()
        for _ in range(64):
            record.reused()
        assert record.trusted
        record.closed_after(5.0)
        assert record.trusted
        record.closed_after(0.1)
        record.alive_after(10)
        assert not record.trusted
        other = KeepAliveRecord()
        other.alive_after(1.5)
        assert other.trusted


class TestPool:
    async def test_connections_are_kept_and_used_again(self, rig: Rig) -> None:
        connections = 0

        async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            await answering(OK)(reader, writer)

        async with raw_server(count) as port:
            lane = rig.api("x", port)
            assert lane is not None
            for _ in range(100):
                await rig.client.get("/me/x/")
            assert (connections, len(lane.pool)) == (1, 1)
            for _ in range(10):  # proven by now: POST may use it too
                await rig.client.post("/me/x/")
            assert connections == 1

    async def test_connection_close_is_obeyed(self, rig: Rig) -> None:
        async with raw_server(answering(OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))) as port:
            lane = rig.api("x", port)
            assert lane is not None
            assert (await rig.client.get("/me/x/")).status_code == 200
            assert len(lane.pool) == 0

    async def test_idle_connections_expire(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("local_server.gateway.pool.IDLE_EXPIRY_S", 0.05)
        async with raw_server(answering(OK)) as port:
            lane = rig.api("x", port)
            assert lane is not None
            await rig.client.get("/me/x/")
            await until(lambda: not len(lane.pool))


class TestDrain:
    async def test_waits_for_those_under_way_and_closes_idle_connections(self, rig: Rig) -> None:
        go = asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
            if scope["raw_path"] == b"/slow":
                await go.wait()
            await send({"type": "http.response.body", "body": b"b"})

        async with serving(slow) as port:
            lane = rig.api("x", port)
            assert lane is not None
            await rig.client.get("/me/x/")
            call = asyncio.create_task(rig.client.get("/me/x/slow"))
            await until(lambda: lane.in_flight)
            rig.api("x", port, generation=2)
            assert await lane.drain(0.05) is False
            drained = asyncio.create_task(lane.drain(5))
            await asyncio.sleep(0.02)
            assert not drained.done()
            go.set()
            assert (await call).content == b"ab"
            assert await drained is True
            assert len(lane.pool) == 0
            await lane.close()
            await lane.close()

    async def test_a_drained_lane_can_be_routed_to_again(self, rig: Rig, echo_port: int) -> None:
        lane = rig.api("x", echo_port)
        assert lane is not None
        await rig.client.get("/me/x/")
        assert await lane.drain(1) is True
        assert len(lane.pool) == 0
        assert (await rig.client.get("/me/x/")).status_code == 200
        assert len(lane.pool) == 1

    async def test_close_breaks_off_what_hangs_even_on_a_client_that_does_not_read(self, rig: Rig) -> None:
        async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()

        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        async with raw_server(endless) as port, raw_server(hang) as hanging:
            lanes = [rig.api("x", port), rig.api("y", hanging)]
            writers = []
            for path in ("x", "y"):
                _, writer = await asyncio.open_connection("127.0.0.1", rig.port, limit=1024)
                writer.write(f"GET /me/{path}/ HTTP/1.1\r\nhost: localhost:{rig.port}\r\n\r\n".encode())
                writers.append(writer)
            await asyncio.sleep(0.2)
            for lane in lanes:
                assert lane is not None
                assert lane.in_flight == 1
                await lane.close()
            await until(lambda: not any(lane.in_flight for lane in lanes if lane))
            for writer in writers:
                writer.transport.abort()
            assert sorted(record.status for record in rig.records) == [200, 502]

    async def test_get_on_a_lane_that_closes_moves_to_the_new_one(self, rig: Rig, echo_port: int) -> None:
        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        async with raw_server(hang) as port:
            lane = rig.api("x", port)
            assert lane is not None
            call = asyncio.create_task(rig.client.get("/me/x/"))
            await until(lambda: lane.in_flight)
            await asyncio.sleep(0.02)
            rig.api("x", echo_port, generation=2)
            await lane.close()
            answer = await call
            assert answer.headers["x-apimarket-generation"] == f"{2:064x}"


async def generation_app(scope: Any, receive: Any, send: Any) -> None:
    """Echoes bodies; `/events` streams three events a few milliseconds apart."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    headers = [(b"content-type", b"text/event-stream")] if scope["raw_path"] == b"/events" else []
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if scope["raw_path"] == b"/events":
        for number in range(3):
            await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
            await asyncio.sleep(0.004)
    await send({"type": "http.response.body", "body": body})


class TestSwap:
    async def test_50_swaps_under_load_fail_nothing(self, rig: Rig) -> None:
        """Each generation is a server of its own, stopped as soon as its lane has drained."""
        stop = asyncio.Event()
        counts = {"get": 0, "post": 0, "events": 0}
        generations: set[str] = set()
        limits = httpx2.Limits(max_connections=20)
        async with httpx2.AsyncClient(
            base_url=str(rig.client.base_url), trust_env=False, timeout=10, limits=limits
        ) as client:

            async def load(kind: str) -> None:
                while not stop.is_set():
                    if kind == "get":
                        answer, expected = await client.get("/me/x/"), b""
                    elif kind == "post":
                        answer, expected = await client.post("/me/x/", content=b"q" * 3000), b"q" * 3000
                    else:
                        answer = await client.get("/me/x/events")
                        expected = b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
                    assert (answer.status_code, answer.content) == (200, expected)
                    generations.add(answer.headers["x-apimarket-generation"])
                    counts[kind] += 1

            ready = asyncio.Event()
            swapping = asyncio.create_task(self._swap(rig, ready))
            await ready.wait()
            workers = [asyncio.create_task(load(kind)) for kind in counts for _ in range(2)]
            await swapping
            stop.set()
            await asyncio.gather(*workers)
        await self._end(*self.last)
        assert len(generations) >= 45
        assert min(counts.values()) > 50
        assert {record.status for record in rig.records} == {200}

    async def _swap(self, rig: Rig, ready: asyncio.Event) -> None:
        previous: tuple[Lane, asyncio.Task[None], asyncio.Event] | None = None
        for generation in range(1, 52):
            up: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            down = asyncio.Event()
            task = asyncio.create_task(self._serve(up, down))
            lane = rig.api("x", await up, generation)
            assert lane is not None
            ready.set()
            await asyncio.sleep(0.02)
            if previous is not None:
                await self._end(*previous)
            previous = (lane, task, down)
        assert previous is not None
        self.last = previous

    async def _end(self, lane: Lane, task: asyncio.Task[None], down: asyncio.Event) -> None:
        assert await lane.drain(5) is True
        await lane.close()
        down.set()
        await task

    async def _serve(self, up: asyncio.Future[int], down: asyncio.Event) -> None:
        async with serving(generation_app) as port:
            up.set_result(port)
            await down.wait()
