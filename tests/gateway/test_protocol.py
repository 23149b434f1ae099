"""Heads that are too large, too slow or unclear never reach an application."""

from __future__ import annotations

import asyncio

import pytest

from local_server.gateway import protocol

from .conftest import Rig, until


def head(rig: Rig, *lines: str, path: str = "/me/x/", method: str = "GET") -> bytes:
    text = "".join(f"{line}\r\n" for line in lines)
    return f"{method} {path} HTTP/1.1\r\nhost: localhost:{rig.port}\r\n{text}".encode()


class TestSize:
    @pytest.mark.parametrize(
        "lines",
        [("x: " + "a" * 33_000,), ("x: " + "a" * 2_000_000,), tuple(f"x-{n}: 1" for n in range(100)),
         tuple(f"x-{n}: {'a' * 1000}" for n in range(40))],
    )  # fmt: skip
    async def test_too_large_a_head_is_a_431(self, rig: Rig, echo_port: int, lines: tuple[str, ...]) -> None:
        rig.api("x", echo_port)
        answer = await self._answer(rig, head(rig, *lines) + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 431")
        assert b"head_too_large" in answer
        assert rig.records == []

    async def test_too_long_a_path_is_a_431(self, rig: Rig) -> None:
        assert (await self._answer(rig, head(rig, path="/" + "a" * 40_000) + b"\r\n")).startswith(b"HTTP/1.1 431")

    async def test_a_field_that_never_ends_is_cut_off(self, rig: Rig) -> None:
        assert (await self._answer(rig, head(rig) + b"x: " + b"a" * 100_000)).startswith(b"HTTP/1.1 431")

    async def test_99_headers_and_31_kib_pass(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", echo_port)
        lines = [f"x-{n}: {'a' * 300}" for n in range(97)]
        answer = await self._answer(rig, head(rig, *lines, "connection: close") + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 200")

    async def test_a_large_body_in_the_same_packet_is_no_head(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", echo_port)
        request = head(rig, "content-length: 60000", "connection: close", method="POST") + b"\r\n" + b"x" * 60_000
        assert (await self._answer(rig, request)).startswith(b"HTTP/1.1 200")

    async def _answer(self, rig: Rig, data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        writer.write(data)
        answer = b""
        try:
            while chunk := await asyncio.wait_for(reader.read(65536), 5):
                answer += chunk
        except ConnectionResetError:  # it was closed with bytes of ours unread
            pass
        writer.transport.abort()
        return answer


class TestTime:
    @pytest.fixture(autouse=True)
    def _soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(protocol, "HEAD_DEADLINE_S", 0.2)

    @pytest.mark.parametrize("first", [b"", b"\r\n", b"GET /", b"GET /me/x/ HTTP/1.1\r\nhost: "])
    async def test_a_trickled_head_is_cut_off(self, rig: Rig, first: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        began = asyncio.get_running_loop().time()
        writer.write(first)

        async def trickle() -> None:
            while True:
                await asyncio.sleep(0.05)
                writer.write(b"\r\n" if first in (b"", b"\r\n") else b"a")

        trickling = asyncio.create_task(trickle())
        answer = await asyncio.wait_for(reader.read(), 2)
        trickling.cancel()
        writer.transport.abort()
        assert asyncio.get_running_loop().time() - began < 1
        assert answer == b"" or answer.startswith(b"HTTP/1.1 408")

    async def test_empty_lines_between_requests_do_not_keep_it_open(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", echo_port)
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        writer.write(head(rig) + b"\r\n")
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(b"\r\n")
        assert await asyncio.wait_for(reader.read(), 2) == b""
        writer.close()

    async def test_a_slow_answer_is_not_a_slow_head(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", None, availability="starting")
        call = asyncio.create_task(rig.client.get("/me/x/"))
        await asyncio.sleep(0.5)
        rig.api("x", echo_port)
        assert (await call).status_code == 200

    async def test_a_head_in_two_parts_passes(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", echo_port)
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        for _ in range(3):  # the deadline starts anew with each head
            data = head(rig) + b"\r\n"
            writer.write(data[:20])
            await asyncio.sleep(0.1)
            writer.write(data[20:])
            await reader.readuntil(b"0\r\n\r\n")
        writer.close()


class TestClarity:
    @pytest.mark.parametrize(
        "request_text",
        [
            "GET /me/x/ HTTP/1.1\nhost: localhost:{p}\n\n",
            "GET /me/x/ HTTP/1.1\r\nhost: localhost:{p}\nx: y\r\n\r\n",
            "GET /me/x/ HTTP/1.1\r\nhost: localhost:{p}\r\nx: y\r\n folded\r\n\r\n",
            "GET /me/x/ HTTP/1.1\r\nhost: localhost:{p}\r\nx : y\r\n\r\n",
            "GET /me/x/ HTTP/1.1\r\nhost: localhost:{p}\r\nx: a\0b\r\n\r\n",
            "GET /me/x/ HTTP/1.1\r\nhost : localhost:{p}\r\n\r\n",
            "POST /me/x/ HTTP/1.1\r\nhost: localhost:{p}\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            "POST /me/x/ HTTP/1.1\r\nhost: localhost:{p}\r\ntransfer-encoding: chunked\r\n\r\nz\r\n",
        ],
    )
    async def test_unclear_requests_are_a_400(self, rig: Rig, echo_port: int, request_text: str) -> None:
        rig.api("x", echo_port)
        answer = await rig.raw(request_text.format(p=rig.port).encode())
        assert answer.startswith(b"HTTP/1.1 400") or answer == b""

    async def test_trailers_do_not_become_headers(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", echo_port)
        body = b"\r\n1\r\na\r\n0\r\nhost: evil.example\r\nx-evil: 1\r\n\r\n"
        answer = await rig.raw(head(rig, "transfer-encoding: chunked", "connection: close", method="POST") + body)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"evil" not in answer

    async def test_garbage_does_not_leave_a_connection(self, rig: Rig, echo_port: int) -> None:
        lane = rig.api("x", echo_port)
        assert lane is not None
        for garbage in (b"\x16\x03\x01\x02\x00\x01", b"SSH-2.0-client\r\n", b"\0" * 100):
            assert (await rig.raw(garbage)).startswith(b"HTTP/1.1 400")
        await until(lambda: not lane.in_flight)

    async def test_an_offer_of_another_protocol_is_declined_and_the_request_answered(
        self, rig: Rig, echo_port: int
    ) -> None:
        """What `curl --http2` sends."""
        rig.api("x", echo_port)
        offer = ("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAMAAABk")
        answer = await rig.raw(head(rig, *offer) + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close\r\n" in answer

    async def test_with_a_body_it_is_refused_rather_than_never_answered(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", echo_port)
        offer = ("connection: upgrade", "upgrade: h2c", "content-length: 2")
        answer = await rig.raw(head(rig, *offer, method="POST") + b"\r\nhi")
        assert answer.startswith(b"HTTP/1.1 400")
        assert b"send it without Upgrade" in answer
