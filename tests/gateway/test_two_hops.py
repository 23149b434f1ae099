"""Request smuggling: what goes on to an API is read alike by parsers that differ, whatever the gateway was sent.

Each hostile text is sent on a connection of its own. All bytes that then reach the API are read by three parsers:
llhttp (strict), h11, and a naive one that believes Content-Length alone where there is one. They have to find the same
requests, and none that the sender tried to hide in another. After a request that was not clear nothing is read.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import h11
import httptools
import pytest

from .conftest import Rig, raw_server

Found = list[tuple[bytes, bytes, bytes]]
"""Method, target, body."""

HIDDEN = b"GET /me/x/hidden HTTP/1.1\r\nhost: HOST\r\n\r\n"
HIDDEN_SENT = HIDDEN.replace(b"HOST", b"127.0.0.1:%d")
HEAD = b"POST /me/x/open HTTP/1.1\r\nhost: HOST\r\n"
TE = b"transfer-encoding: chunked\r\n"
LAST = HIDDEN.replace(b"hidden", b"last").replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
CHUNKED = b"2\r\nhi\r\n0\r\n\r\n"
TEXTS = {
    "cl.te": HEAD + b"content-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "te.cl": HEAD + b"transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n" + CHUNKED + HIDDEN,
    "te.te": HEAD + b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n" + CHUNKED + HIDDEN,
    "te list": HEAD + b"transfer-encoding: identity, chunked\r\n\r\n" + CHUNKED + HIDDEN,
    "te twice in one": HEAD + b"transfer-encoding: chunked, chunked\r\n\r\n" + CHUNKED + HIDDEN,
    "te tab": HEAD + b"transfer-encoding:\tchunked\r\n\r\n" + CHUNKED + HIDDEN,
    "te vertical tab": HEAD + b"transfer-encoding: \x0bchunked\r\n\r\n" + CHUNKED + HIDDEN,
    "te space before colon": HEAD + b"transfer-encoding : chunked\r\n\r\n" + CHUNKED + HIDDEN,
    "te folded": HEAD + b"transfer-encoding:\r\n chunked\r\n\r\n" + CHUNKED + HIDDEN,
    "te upper": HEAD + b"Transfer-Encoding: CHUNKED\r\n\r\n" + CHUNKED + HIDDEN,
    "te hidden by connection": HEAD + b"connection: transfer-encoding\r\ntransfer-encoding: chunked\r\n\r\n" + CHUNKED,
    "cl hidden by connection": HEAD + b"connection: content-length\r\ncontent-length: 2\r\n\r\nhi" + HIDDEN,
    "cl twice": HEAD + b"content-length: 2\r\ncontent-length: 44\r\n\r\nhi" + HIDDEN,
    "cl same twice": HEAD + b"content-length: 2\r\ncontent-length: 2\r\n\r\nhi" + HIDDEN,
    "cl list": HEAD + b"content-length: 2, 2\r\n\r\nhi" + HIDDEN,
    "cl plus": HEAD + b"content-length: +2\r\n\r\nhi" + HIDDEN,
    "cl hex": HEAD + b"content-length: 0x2\r\n\r\nhi" + HIDDEN,
    "cl underscore": HEAD + b"content-length: 1_0\r\n\r\n0123456789" + HIDDEN,
    "cl with underscore in its name": HEAD + b"content_length: 44\r\ncontent-length: 2\r\n\r\nhi" + HIDDEN,
    "cl negative": HEAD + b"content-length: -1\r\n\r\n" + HIDDEN,
    "cl and a hidden body": HEAD + b"content-length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "bare lf": HEAD.replace(b"\r\n", b"\n") + b"content-length: 2\n\nhi" + HIDDEN,
    "bare lf in a value": HEAD + b"x-a: b\ncontent-length: 44\r\n\r\n" + HIDDEN,
    "bare cr in a value": HEAD + b"x-a: b\rcontent-length: 44\r\n\r\n" + HIDDEN,
    "nul in a value": HEAD + b"x-a: b\x00c\r\ncontent-length: 2\r\n\r\nhi" + HIDDEN,
    "nul in a name": HEAD + b"content-length\x00: 44\r\n\r\n" + HIDDEN,
    "chunk size plus": HEAD + b"transfer-encoding: chunked\r\n\r\n+2\r\nhi\r\n0\r\n\r\n" + HIDDEN,
    "chunk size hex": HEAD + b"transfer-encoding: chunked\r\n\r\n0x2\r\nhi\r\n0\r\n\r\n" + HIDDEN,
    "chunk size of 17 digits": HEAD + TE + b"\r\n10000000000000002\r\nhi\r\n0\r\n\r\n" + HIDDEN,
    "chunk extension": HEAD + b"transfer-encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\n\r\n" + HIDDEN,
    "chunk extension with a line feed": HEAD + b"transfer-encoding: chunked\r\n\r\n2;a\nb\r\nhi\r\n0\r\n\r\n" + HIDDEN,
    "chunk without its end": HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\nhiXX0\r\n\r\n" + HIDDEN,
    "chunks of bare lf": HEAD + b"transfer-encoding: chunked\r\n\r\n2\nhi\n0\n\n" + HIDDEN,
    "trailers": HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\ncontent-length: 44\r\n\r\n" + HIDDEN,
    "a get with a body": b"GET /me/x/open HTTP/1.1\r\nhost: HOST\r\ncontent-length: 2\r\n\r\nhi" + HIDDEN,
    "a space in the target": b"GET /me/x/open HTTP/1.1 HTTP/1.1\r\nhost: HOST\r\n\r\n" + HIDDEN,
    "an absolute target": b"GET http://other.test/me/x/hidden HTTP/1.1\r\nhost: HOST\r\n\r\n",
    "http/0.9": b"GET /me/x/open\r\n\r\n" + HIDDEN,
    "http/1.0 chunked": HEAD.replace(b"/1.1", b"/1.0") + TE + b"\r\n" + CHUNKED + HIDDEN,
    "http/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN,
    "upgrade to h2c": HEAD + b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 2\r\n\r\nhi" + HIDDEN,
    "expect with a body": HEAD + b"expect: 100-continue\r\ncontent-length: 2\r\n\r\nhi" + HIDDEN,
    "pipelined": HIDDEN.replace(b"hidden", b"open") * 3,
}  # fmt: skip


class _Callbacks:
    def __init__(self) -> None:
        self.found: Found = []
        self._target = self._body = b""
        self.parser: Any = None

    def on_message_begin(self) -> None:
        self._target = self._body = b""

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self.found.append((self.parser.get_method(), self._target, self._body))


def by_llhttp(data: bytes) -> Found:
    callbacks = _Callbacks()
    callbacks.parser = httptools.HttpRequestParser(callbacks)
    callbacks.parser.feed_data(data)
    return callbacks.found


def by_h11(data: bytes) -> Found:
    found: Found = []
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    body = b""
    request: Any = None
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            request, body = event, b""
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            found.append((bytes(request.method), bytes(request.target), body))
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            connection.start_next_cycle()
        else:
            return found


def by_hand(data: bytes) -> Found:
    """Lines end at line feeds; Content-Length is believed wherever it stands; else the body is chunked if anything
    says so."""
    found: Found = []
    while data:
        lines, _, data = data.partition(b"\r\n\r\n")
        first, *fields = lines.replace(b"\r", b"").split(b"\n")
        method, target, _ = first.split(b" ", 2)
        said = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in fields)}
        body = b""
        if b"content-length" in said:
            length = int(said[b"content-length"])
            body, data = data[:length], data[length:]
        elif b"chunked" in said.get(b"transfer-encoding", b"").lower():
            while True:
                size, _, data = data.partition(b"\r\n")
                length = int(size, 16)
                body, data = body + data[:length], data[length + 2 :]
                if not length:
                    break
        found.append((method, target, body))
    return found


class Recorder:
    """An API that answers whatever llhttp makes out, and keeps every byte of each connection."""

    def __init__(self) -> None:
        self.connections: list[bytearray] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept = bytearray()
        self.connections.append(kept)
        callbacks = _Callbacks()
        callbacks.parser = httptools.HttpRequestParser(callbacks)
        answered = 0
        while data := await reader.read(65536):
            kept += data
            callbacks.parser.feed_data(data)
            while answered < len(callbacks.found):
                answered += 1
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


@pytest.mark.parametrize("warm", [False, True], ids=["fresh", "reused"])
@pytest.mark.parametrize("name", TEXTS)
async def test_all_parsers_find_the_same_requests(rig: Rig, name: str, warm: bool) -> None:
    api = Recorder()
    async with raw_server(api) as port:
        rig.api("x", port)
        if warm:  # what is idle is what the short way takes
            assert (await rig.client.get("/me/x/warm")).status_code == 200
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        writer.write((TEXTS[name] + LAST).replace(b"HOST", b"127.0.0.1:%d" % rig.port))
        answers: list[bytes] = []
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(1):  # a body may be announced that does not come
                while line := await reader.readline():
                    if line.startswith(b"HTTP/1.1 ") and b" 100 " not in line:
                        answers.append(line.split()[1])
        writer.close()
    requests: Found = []
    for kept in map(bytes, api.connections):
        found = by_llhttp(kept)
        assert found == by_h11(kept) == by_hand(kept)
        requests += [each for each in found if each[1] != b"/warm"]
    assert answers.count(b"200") == len(requests)
    assert b"400" not in answers[:-1]
    targets = [target for _, target, _ in requests]
    if targets and b"hidden" not in TEXTS[name].split(b"\r\n")[0]:  # a request of its own, behind one that was clear
        assert targets[0] == b"/open"
        assert all(body in (b"hi", b"", HIDDEN_SENT % rig.port) or len(body) == 10 for _, _, body in requests)
