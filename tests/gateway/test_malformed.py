"""A request that cannot be read, or is not obeyed for its first line, is told what is wrong with it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest

from local_server.gateway import proxy

from .conftest import Rig, raw_server

HEAD = "POST /me/x/ HTTP/1.1\r\nhost: localhost:{p}\r\n"
CHUNKED = HEAD + "transfer-encoding: chunked\r\n\r\n"

UNREADABLE = {
    "a bare line feed ends a header": (HEAD + "a: b\nc: d\r\n\r\n", "a header line that ends with a bare line feed"),
    "a bare line feed ends the first line": (HEAD.replace("\r\n", "\n") + "\n", "does not end with CR LF"),
    "a carriage return in a value": (HEAD + "a: b\rc: d\r\n\r\n", "a carriage return within a header"),
    "a folded header": (HEAD + "a: b\r\n c\r\n\r\n", "begins with a blank"),
    "a blank before the colon": (HEAD + "a : b\r\n\r\n", "whose name holds a character, or a blank"),
    "a header without a name": (HEAD + ": b\r\n\r\n", "whose name holds a character"),
    "a header without a colon": (HEAD + "a b\r\n\r\n", "whose name holds a character"),
    "a name beyond ASCII": (HEAD + "ä: b\r\n\r\n", "whose name holds a character"),
    "a NUL in a value": (HEAD + "a: b\0c\r\n\r\n", "a control character in the value of a header"),
    "both lengths": (HEAD + "content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", "has both"),
    "both lengths, the other way": (HEAD + "transfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n", "has both"),
    "two lengths": (HEAD + "content-length: 5\r\ncontent-length: 5\r\n\r\nhello", "more than one Content-Length"),
    "a length with a sign": (HEAD + "content-length: +5\r\n\r\nhello", "not a number written in digits alone"),
    "a negative length": (HEAD + "content-length: -5\r\n\r\nhello", "not a number written in digits alone"),
    "a list of lengths": (HEAD + "content-length: 5, 5\r\n\r\nhello", "not a number written in digits alone"),
    "a length in words": (HEAD + "content-length: 0x5\r\n\r\nhello", "not a number written in digits alone"),
    "no length": (HEAD + "content-length:\r\n\r\nhello", "not a number written in digits alone"),
    "a length beyond 64 bits": (HEAD + f"content-length: {10**22}\r\n\r\nhello", "beyond any number"),
    "a length with 5,000 zeros": (HEAD + f"content-length: {5:05000}\r\n\r\nhello", "of up to 20 digits"),
    "identity after chunked": (HEAD + "transfer-encoding: chunked, identity\r\n\r\n", "goes on after 'chunked'"),
    "chunked twice": (HEAD + "transfer-encoding: chunked, chunked\r\n\r\n", "goes on after 'chunked'"),
    "identity": (HEAD + "transfer-encoding: identity\r\n\r\n", "other than 'chunked'"),
    "gzip before chunked": (HEAD + "transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "other than 'chunked'"),
    "a chunk size in words": (CHUNKED + "z\r\n", "whose size is not a hexadecimal number"),
    "a chunk size with a sign": (CHUNKED + "+1\r\na\r\n0\r\n\r\n", "whose size is not a hexadecimal number"),
    "a chunk size with 0x": (CHUNKED + "0x1\r\na\r\n0\r\n\r\n", "whose size is not a hexadecimal number"),
    "a chunk size beyond 64 bits": (CHUNKED + f"{'1' * 17}\r\na\r\n", "a chunk whose size is beyond any number"),
    "a chunk size with a bare line feed": (CHUNKED + "1\na\r\n0\r\n\r\n", "size ends with a bare line feed"),
    "a chunk that is longer": (CHUNKED + "1\r\nabc\r\n0\r\n\r\n", "does not end where its size says"),
    "a chunk extension of control characters": (CHUNKED + "1;a\0\r\na\r\n0\r\n\r\n", "an extension that is not"),
    "no method": (" / HTTP/1.1\r\n\r\n", "does not begin with a method"),
    "HTTPS": ("\x16\x03\x01\x02\x00\x01", "begins as HTTPS does"),
    "a tab behind the method": ("GET\t/ HTTP/1.1\r\n\r\n", "does not begin with a method, as GET, and a blank"),
    "a blank in the target": ("GET /a b HTTP/1.1\r\n\r\n", "not METHOD, TARGET and HTTP/1.1"),
    "a small version": ("GET / http/1.1\r\n\r\n", "not METHOD, TARGET and HTTP/1.1"),
    "a version without its point": ("GET / HTTP/1\r\n\r\n", "otherwise than HTTP/1.1 is written"),
    "a version of two digits": ("GET / HTTP/11.1\r\n\r\n", "otherwise than HTTP/1.1 is written"),
    "a target beyond ASCII": ("GET /ä HTTP/1.1\r\n\r\n", "must be percent-encoded"),
    "a NUL in the target": ("GET /a\0b HTTP/1.1\r\n\r\n", "must be percent-encoded"),
    "a target without a slash": ("GET me HTTP/1.1\r\n\r\n", "no path and no address"),
    "a target of another scheme": ("GET ftp://localhost/ HTTP/1.1\r\nhost: localhost:{p}\r\n\r\n", "http:// address"),
    "an asterisk for another method": ("GET * HTTP/1.1\r\nhost: localhost:{p}\r\n\r\n", "which OPTIONS alone may have"),
}  # fmt: skip


def read(answer: bytes) -> tuple[int, dict[str, Any], str]:
    """Status, problem and head."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), json.loads(body), head.decode()


async def ask(rig: Rig, text: str) -> tuple[int, dict[str, Any], str]:
    return read(await rig.raw(text.replace("{p}", str(rig.port)).encode("utf-8")))


class TestUnreadable:
    @pytest.mark.parametrize("name", UNREADABLE)
    async def test_it_says_what_is_wrong(self, rig: Rig, echo_port: int, name: str) -> None:
        rig.api("x", echo_port)
        text, words = UNREADABLE[name]
        status, problem, head = await ask(rig, text)
        assert (status, problem["code"]) == (400, "malformed_request")
        assert words in problem["detail"]
        assert "not valid HTTP/1.1 (" not in problem["detail"]
        assert "connection: close" in head

    async def test_in_a_body_that_goes_on_it_is_said_too(self, rig: Rig) -> None:
        """The API has the request already, and has not answered."""
        ended = asyncio.Event()

        async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                await reader.read()
            ended.set()

        async with raw_server(waits) as port:
            lane = rig.api("x", port)
            reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
            writer.write((CHUNKED.format(p=rig.port) + "1\r\na\r\n").encode())
            async with asyncio.timeout(20):
                while lane is None or not lane.in_flight:
                    await asyncio.sleep(0.001)
            writer.write(b"nonsense\r\n")
            status, problem, _ = read(await asyncio.wait_for(reader.read(), 20))
            assert status == 400
            assert "whose size is not a hexadecimal number" in problem["detail"]
            await asyncio.wait_for(ended.wait(), 20)  # and is told that no more comes
            writer.close()

    async def test_behind_another_request_it_answers_nothing_in_its_place(self, rig: Rig) -> None:
        answered = asyncio.Event()

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            answered.set()
            await reader.read()

        async with raw_server(slow) as port:
            rig.api("x", port)
            reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
            writer.write(f"GET /me/x/ HTTP/1.1\r\nhost: localhost:{rig.port}\r\n\r\n".encode())
            await asyncio.wait_for(answered.wait(), 20)
            writer.write(b"nonsense\r\n\r\n")
            assert await asyncio.wait_for(reader.read(), 20) == b""
            writer.close()


class TestVersion:
    @pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/9.9", "HTTP/3.0"])
    async def test_others_than_1_1_and_1_0_are_a_505(self, rig: Rig, echo_port: int, version: str) -> None:
        rig.api("x", echo_port)
        status, problem, head = await ask(rig, f"GET /me/x/ {version}\r\nhost: localhost:{{p}}\r\n\r\n")
        assert (status, problem["code"]) == (505, "version_not_spoken")
        assert problem["detail"] == f"The request is in {version}, and HTTP/1.1 is spoken here"
        assert "connection: close" in head
        assert rig.records == []

    async def test_http_2_without_asking_is_told_so(self, rig: Rig) -> None:
        status, problem, _ = await ask(rig, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert (status, problem["code"]) == (505, "version_not_spoken")
        assert "HTTP/2.0" in problem["detail"]

    async def test_a_first_line_without_a_version_is_of_0_9(self, rig: Rig) -> None:
        assert (await ask(rig, "GET /me/x/\r\n\r\n"))[1]["detail"].startswith("The request is in HTTP/0.9")

    async def test_1_0_is_served(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", echo_port)
        answer = await rig.raw(f"GET /me/x/ HTTP/1.0\r\nhost: localhost:{rig.port}\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 200")


class TestMethod:
    @pytest.mark.parametrize(("method", "hint"), [("FOO", "RFC 9110"), ("get", "capitals: GET")])
    async def test_one_that_nobody_knows_is_a_501(self, rig: Rig, method: str, hint: str) -> None:
        status, problem, _ = await ask(rig, f"{method} /me/x/ HTTP/1.1\r\nhost: localhost:{{p}}\r\n\r\n")
        assert (status, problem["code"]) == (501, "method_unknown")
        assert repr(method) in problem["detail"]
        assert hint in problem["hint"]

    @pytest.mark.parametrize("target", ["localhost:80", "/me/x/", "localhost"])
    async def test_no_tunnel_begins_here(self, rig: Rig, echo_port: int, target: str) -> None:
        rig.api("x", echo_port)
        status, problem, _ = await ask(rig, f"CONNECT {target} HTTP/1.1\r\nhost: localhost:{{p}}\r\n\r\n")
        assert status == 501
        assert "no proxy" in problem["hint"]
        assert rig.records == []


class TestTarget:
    @pytest.mark.parametrize("host", ["localhost:{p}", "api.example.test", "xy.localhost:{p}"])
    async def test_options_of_the_server_as_a_whole(self, rig: Rig, host: str) -> None:
        text = f"OPTIONS * HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
        answer = (await rig.raw(text.replace("{p}", str(rig.port)).encode())).decode()
        assert answer.startswith("HTTP/1.1 204")
        assert "allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n" in answer

    async def test_under_a_foreign_name_not_even_those(self, rig: Rig) -> None:
        status, problem, _ = await ask(rig, "OPTIONS * HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n")
        assert (status, problem["code"]) == (421, "host_refused")

    @pytest.mark.parametrize("target", ["http://localhost:{p}", "HTTP://LOCALHOST:{p}"])
    async def test_an_address_that_agrees_with_the_host_is_served(self, rig: Rig, echo_port: int, target: str) -> None:
        rig.api("x", echo_port)
        text = f"GET {target}/me/x/a?b=c HTTP/1.1\r\nhost: localhost:{{p}}\r\nconnection: close\r\n\r\n"
        answer = await rig.raw(text.replace("{p}", str(rig.port)).encode())
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"x-saw-path: /a\r\nx-saw-query: b=c\r\n" in answer

    @pytest.mark.parametrize(
        "named", ["http://api.example.test", "http://api.example.test:80", "https://api.example.test:443"]
    )
    async def test_the_port_of_its_scheme_may_be_left_out(self, rig: Rig, echo_port: int, named: str) -> None:
        rig.api("x", echo_port)
        text = f"GET {named}/me/x/ HTTP/1.1\r\nhost: api.example.test\r\nconnection: close\r\n\r\n"
        assert (await rig.raw(text.encode())).startswith(b"HTTP/1.1 200")

    @pytest.mark.parametrize(
        "named", ["other.test", "localhost", "localhost:1", "user@localhost:{p}", "", "api.example.test"]
    )
    async def test_one_that_does_not_agree_is_refused(self, rig: Rig, echo_port: int, named: str) -> None:
        rig.api("x", echo_port)
        status, problem, _ = await ask(rig, f"GET http://{named}/me/x/ HTTP/1.1\r\nhost: localhost:{{p}}\r\n\r\n")
        assert (status, problem["code"]) == (400, "malformed_request")
        assert rig.records == []
        if named:
            shown = named.replace("{p}", str(rig.port))
            assert f"is for '{shown}' by its target, and for 'localhost:{rig.port}'" in problem["detail"]


class TestLengths:
    async def test_leading_zeros_are_a_number_still(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", echo_port)
        text = (HEAD + "content-length: 0005\r\nconnection: close\r\n\r\nhello").format(p=rig.port)
        answer = await rig.raw(text.encode())
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"hello" in answer

    async def test_extensions_and_trailers_end_here(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", echo_port)
        body = '5;name=value;other="quoted"\r\nhello\r\n0\r\nx-trailer: 1\r\n\r\n'
        text = (HEAD + "connection: close\r\ntransfer-encoding: chunked\r\n\r\n").format(p=rig.port) + body
        answer = await rig.raw(text.encode())
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"hello" in answer
        assert b"trailer" not in answer
        assert b"quoted" not in answer

    async def test_trailers_without_end_are_a_431(self, rig: Rig) -> None:
        async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        async with raw_server(waits) as port:
            rig.api("x", port)
            trailers = "".join(f"x-{n}: a\r\n" for n in range(120))
            status, problem, _ = await ask(rig, CHUNKED + "1\r\na\r\n0\r\n" + trailers)
            assert (status, problem["code"]) == (431, "head_too_large")

    async def test_an_extension_without_end_is_a_408(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(proxy, "STALL_TIMEOUT_S", 0.3)

        async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        async with raw_server(waits) as port:
            rig.api("x", port)
            _, writer = await asyncio.open_connection("127.0.0.1", rig.port)
            writer.write((CHUNKED + "1;a=").format(p=rig.port).encode())

            async def goes_on() -> None:
                while True:
                    writer.write(b"a" * 1000)
                    await asyncio.sleep(0.01)

            going = asyncio.create_task(goes_on())
            record = await rig.record()  # who goes on sending may see the connection reset in place of the answer
            going.cancel()
            writer.transport.abort()
            assert record.status == 408


class TestResetByTheApi:
    async def test_it_is_said_in_words(self, rig: Rig) -> None:
        async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            import socket
            import struct

            await reader.readuntil(b"\r\n\r\n")
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

        async with raw_server(reset) as port:
            rig.api("x", port)
            answer = await rig.client.post("/me/x/", content=b"a")
        assert answer.status_code == 502
        assert answer.json()["detail"] == "me/x broke the connection (reset by the API) before its answer"
