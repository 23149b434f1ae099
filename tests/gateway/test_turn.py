"""What is held back until the loop's turn ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from local_server.gateway.turn import Turn

from .conftest import Rig, raw_server, until

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


class TestTurn:
    async def test_calls_come_in_order_after_what_is_ready_now(self) -> None:
        turn, seen = Turn(), list[str]()
        loop = asyncio.get_running_loop()
        turn.at_end(lambda: seen.append("first"))
        loop.call_soon(seen.append, "later")
        turn.at_end(lambda: seen.append("second"))
        assert seen == []
        await until(lambda: len(seen) == 3)
        assert seen == ["first", "second", "later"]
        turn.at_end(lambda: seen.append("the next turn's"))
        await until(lambda: len(seen) == 4)

    async def test_ones_fault_keeps_nothing_from_the_others(self, caplog: pytest.LogCaptureFixture) -> None:
        turn, seen = Turn(), list[str]()
        turn.at_end(lambda: [][0])
        turn.at_end(lambda: seen.append("written"))
        await until(lambda: seen)
        assert "IndexError" in caplog.text


class TestWhatIsHeldBack:
    async def test_requests_that_come_together_are_all_carried(self, rig: Rig, ways: list[bool]) -> None:
        everybody = asyncio.Barrier(8)

        async def together(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await everybody.wait()
                writer.write(OK)

        async with raw_server(together) as port:
            rig.api("x", port)
            await asyncio.gather(*(rig.client.get("/me/x/") for _ in range(8)))
            ways.clear()
            for _ in range(10):
                answers = await asyncio.gather(*(rig.client.get("/me/x/") for _ in range(8)))
                assert [answer.content for answer in answers] == [b"hi"] * 8
        assert ways == [True] * 80
        assert len(rig.records) == 88

    async def test_what_the_long_way_answers_behind_it_comes_behind_it(
        self, rig: Rig, echo_port: int, ways: list[bool]
    ) -> None:
        rig.api("x", echo_port)
        await rig.client.get("/me/x/")
        ways.clear()
        host = b"host: 127.0.0.1:%d\r\n" % rig.port
        short = b"GET /me/x/first HTTP/1.1\r\n" + host + b"\r\n"
        long = b"GET /api HTTP/1.1\r\n" + host + b"connection: close\r\n\r\n"
        said = await rig.raw(short + long)
        assert ways[0]
        assert 0 < said.index(b"x-saw-path: /first") < said.index(b"control")

    async def test_a_client_that_is_gone_by_then_costs_the_others_nothing(self, rig: Rig, ways: list[bool]) -> None:
        gate = asyncio.Event()

        async def gated(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await gate.wait()
                writer.write(OK)

        async with raw_server(gated) as port:
            rig.api("x", port)
            gate.set()
            await asyncio.gather(*(rig.client.get("/me/x/") for _ in range(2)))
            gate.clear()
            ways.clear()
            _, writer = await asyncio.open_connection("127.0.0.1", rig.port)
            writer.write(b"GET /me/x/ HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n\r\n" % rig.port)
            other = asyncio.create_task(rig.client.get("/me/x/"))
            await until(lambda: len(ways) == 2)
            gate.set()
            writer.transport.abort()
            assert (await other).content == b"hi"
            await until(lambda: len(rig.records) == 4)
            assert (await rig.client.get("/me/x/")).content == b"hi"

    async def test_what_was_not_written_yet_when_its_connection_ended_is_sent_on_another(
        self, rig: Rig, ways: list[bool], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[bytes] = []

        async def api(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                asked.append(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(4))
                writer.write(OK)

        async with raw_server(api) as port:
            lane = rig.api("x", port)
            assert lane is not None
            assert (await rig.client.post("/me/x/", content=b"one.")).content == b"hi"
            lane.pool.record.alive_after(10)
            at_end = Turn.at_end

            def after_the_connection_ended(turn: Turn, call: Callable[[], None]) -> None:
                monkeypatch.setattr(Turn, "at_end", at_end)
                (exchange,) = lane._travellers
                exchange.break_off()
                asyncio.get_running_loop().call_later(0.01, at_end, turn, call)

            monkeypatch.setattr(Turn, "at_end", after_the_connection_ended)
            ways.clear()
            assert (await rig.client.post("/me/x/", content=b"two.")).content == b"hi"
        assert ways == [True]
        assert [request[-4:] for request in asked] == [b"one.", b"two."]
