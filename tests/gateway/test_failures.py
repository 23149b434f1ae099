"""APIs that hang, die or refuse, and clients that hang up."""

from __future__ import annotations

import asyncio
import socket

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from local_server.domain.executions import CallOutcome
from local_server.gateway import proxy

from .conftest import Rig, answering, raw_server, until


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    await reader.read()


class TestTimeout:
    async def test_no_first_byte_in_time(self, rig: Rig) -> None:
        async with raw_server(hang) as port:
            rig.api("x", port, timeout_s=0.2)
            began = asyncio.get_running_loop().time()
            answer = await rig.client.get("/me/x/")
            assert (answer.status_code, answer.json()["code"]) == (504, "upstream_timeout")
            assert 0.15 < asyncio.get_running_loop().time() - began < 1
            record = await rig.record()
            assert (record.outcome, record.upstream_us) == (CallOutcome.TIMEOUT, 0)

    async def test_interim_answers_do_not_count_as_one(self, rig: Rig) -> None:
        async with raw_server(answering(b"HTTP/1.1 100 Continue\r\n\r\n")) as port:
            rig.api("x", port, timeout_s=0.2)
            assert (await rig.client.get("/me/x/")).status_code == 504

    async def test_after_the_first_byte_there_is_none(self, rig: Rig) -> None:
        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na")
            await asyncio.sleep(0.4)
            writer.write(b"b")
            await reader.read()

        async with raw_server(slow) as port:
            rig.api("x", port, timeout_s=0.1)
            assert (await rig.client.get("/me/x/")).content == b"ab"

    async def test_a_slow_upload_is_not_the_apis_fault(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", echo_port, timeout_s=0.2)

        async def body() -> object:
            for _ in range(4):
                yield b"abc"
                await asyncio.sleep(0.15)

        answer = await rig.client.post("/me/x/", content=body())  # type: ignore[arg-type]
        assert answer.content == b"abc" * 4

    @pytest.mark.parametrize("sent", [b"", b"1234"])
    async def test_a_body_that_stalls_is_a_408(self, rig: Rig, sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(proxy, "STALL_TIMEOUT_S", 0.2)
        async with raw_server(hang) as port:
            rig.api("x", port)
            head = (
                f"POST /me/x/ HTTP/1.1\r\nhost: localhost:{rig.port}\r\nconnection: close\r\ncontent-length: 10\r\n\r\n"
            )
            assert (await rig.raw(head.encode() + sent)).startswith(b"HTTP/1.1 408")


class TestBroken:
    async def test_nobody_listens(self, rig: Rig) -> None:
        rig.api("x", closed_port())
        answer = await rig.client.get("/me/x/")
        assert (answer.status_code, answer.json()["code"]) == (502, "upstream_failed")
        assert "me/x" in answer.json()["detail"]
        assert (await rig.record()).outcome == CallOutcome.UPSTREAM_FAILED

    @pytest.mark.parametrize("method", ["GET", "POST"])
    @pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nx: "])
    async def test_before_the_answer_it_is_a_502(self, rig: Rig, said: bytes, method: str) -> None:
        calls = 0

        async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal calls
            await reader.readuntil(b"\r\n\r\n")
            calls += 1
            writer.write(said)

        async with raw_server(die) as port:
            rig.api("x", port)
            assert (await rig.client.request(method, "/me/x/")).status_code == 502
        assert calls == 1  # a request that kills the API is not sent again

    @pytest.mark.parametrize(("headers", "short"), [({}, True), ({"sec-fetch-site": "none"}, False)])
    @pytest.mark.parametrize("status", [b"600", b"999", b"099", b"000"])
    async def test_a_status_that_http_does_not_have_is_a_502(
        self, rig: Rig, ways: list[bool], status: bytes, headers: dict[str, str], short: bool
    ) -> None:
        async def once_good(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for said in (b"200", status):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 %b Odd\r\ncontent-length: 2\r\n\r\nhi" % said)
            await reader.read()

        async with raw_server(once_good) as port:
            rig.api("x", port)
            assert (await rig.client.get("/me/x/")).status_code == 200
            ways.clear()
            answer = await rig.client.get("/me/x/", headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (502, "upstream_failed")
            assert f"gave the status {int(status)}, and HTTP has 100 to 599" in answer.json()["detail"]
            assert ways == [short]
            assert (await rig.client.get("/me/x/")).status_code == 200  # the odd one's connection is not used again
            last = [(record.status, record.outcome) for record in rig.records][1]
            assert last == (502, CallOutcome.UPSTREAM_FAILED)

    async def test_a_websocket_answered_with_one_is_a_502_too(self, rig: Rig) -> None:
        async with raw_server(answering(b"HTTP/1.1 600 Odd\r\ncontent-length: 2\r\n\r\nhi")) as port:
            rig.api("x", port)
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://127.0.0.1:{rig.port}/me/x/")
            assert refused.value.response.status_code == 502

    @pytest.mark.parametrize(
        "start",
        [b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
         b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"],
    )  # fmt: skip
    async def test_in_the_middle_the_client_sees_it_cut(self, rig: Rig, start: bytes) -> None:
        async with raw_server(answering(start, close=True)) as port:
            rig.api("x", port)
            head = f"GET /me/x/ HTTP/1.1\r\nhost: localhost:{rig.port}\r\n\r\n"
            answer = await rig.raw(head.encode())
            assert b"half" in answer
            assert not answer.endswith(b"0\r\n\r\n")
            with pytest.raises(httpx2.RemoteProtocolError):
                await rig.client.get("/me/x/")
        assert {record.outcome for record in rig.records} == {CallOutcome.UPSTREAM_FAILED}

    async def test_a_body_until_the_end_that_is_reset_is_cut_too(self, rig: Rig) -> None:
        async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
            await writer.drain()
            await asyncio.sleep(0.05)
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()

        async with raw_server(reset) as port:
            rig.api("x", port)
            with pytest.raises(httpx2.RemoteProtocolError):
                await rig.client.get("/me/x/")

    async def test_crash_that_is_known_shortly_is_waited_for(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", closed_port())
        call = asyncio.create_task(rig.client.post("/me/x/", content=b"abc"))
        await asyncio.sleep(0.05)
        rig.api("x", None, availability="starting")
        await asyncio.sleep(0.05)
        rig.api("x", echo_port)
        assert (await call).content == b"abc"

    async def test_in_the_middle_of_an_upload_it_is_a_502(self, rig: Rig) -> None:
        async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(1000)

        async def body() -> object:
            for _ in range(1000):
                yield bytes(65536)
                await asyncio.sleep(0)

        async with raw_server(leave) as port:
            lane = rig.api("x", port)
            assert lane is not None
            answer = await rig.client.post("/me/x/", content=body())  # type: ignore[arg-type]
            assert (answer.status_code, answer.json()["code"]) == (502, "upstream_failed")
            record = await rig.record()
        assert (record.outcome, lane.in_flight, len(lane.pool)) == (CallOutcome.UPSTREAM_FAILED, 0, 0)


class TestClientHangsUp:
    @pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"])
    async def test_the_api_is_told(self, rig: Rig, answer: bytes) -> None:
        gone = asyncio.Event()

        async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            try:
                await reader.read()
            finally:
                gone.set()

        async with raw_server(wait) as port:
            lane = rig.api("x", port)
            assert lane is not None
            reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
            writer.write(f"GET /me/x/ HTTP/1.1\r\nhost: localhost:{rig.port}\r\n\r\n".encode())
            await until(lambda: lane.in_flight)
            if answer:
                await reader.readuntil(b"half")
            writer.close()
            await asyncio.wait_for(gone.wait(), 2)
            record = await rig.record()
            assert (record.outcome, record.status) == (CallOutcome.ABORTED, 200 if answer else 499)
            assert (lane.in_flight, len(lane.pool)) == (0, 0)

    async def test_in_the_middle_of_a_body(self, rig: Rig) -> None:
        received = asyncio.get_running_loop().create_future()

        async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                received.set_result(len(await reader.read()))
            except ConnectionError:
                received.set_result(-1)

        async with raw_server(count) as port:
            rig.api("x", port)
            _, writer = await asyncio.open_connection("127.0.0.1", rig.port)
            head = f"POST /me/x/ HTTP/1.1\r\nhost: localhost:{rig.port}\r\ncontent-length: 1000\r\n\r\n"
            writer.write(head.encode() + b"x" * 500)
            await asyncio.sleep(0.1)
            writer.close()
            await asyncio.wait_for(received, 2)
            assert (await rig.record()).outcome == CallOutcome.ABORTED
