"""Fields that a connection sent before, and heads that an API did: known by their bytes, and taken for no others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest

from local_server.domain.ids import KeyId
from local_server.gateway import serving
from local_server.gateway.fields import fields_of
from local_server.gateway.hosts import Hosts
from local_server.gateway.protocol import HardenedProtocol
from local_server.gateway.response_head import KnownHeads
from local_server.gateway.upstream import Connection
from tests.gateway.test_callers import a_key

from .conftest import Rig, opened_rig, raw_server, until

DATE = b"date: Thu, 26 Nov 2026 04:00:00 GMT\r\n"


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """What came under fields that were known, and went the short way for it."""
    seen: list[bytes] = []
    take = HardenedProtocol._take_known

    def watched(self: HardenedProtocol, data: bytes) -> bool:
        if taken := take(self, data):
            seen.append(data)
        return taken

    monkeypatch.setattr(HardenedProtocol, "_take_known", watched)
    return seen


@pytest.fixture
def known_answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """The bodies of answers that came under heads that were known."""
    seen: list[bytes] = []
    take = Connection._take_known

    def watched(self: Connection, head: Any, body: bytes) -> None:
        seen.append(body)
        take(self, head, body)

    monkeypatch.setattr(Connection, "_take_known", watched)
    return seen


class Echo:
    """Answers each request with its own text; what it reads is bytes, whatever they are. `head` stands above."""

    def __init__(self) -> None:
        self.head = b"HTTP/1.1 200 OK\r\n" + DATE
        self.requests: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await reader.readuntil(b"\r\n\r\n")
            for line in request.lower().split(b"\r\n"):
                if line.startswith(b"content-length: "):
                    request += await reader.readexactly(int(line[16:]))
            self.requests.append(request)
            shown = b"\r\n".join(line for line in request.split(b"\r\n") if not line.startswith(b"x-request-id"))
            writer.write(self.head + b"content-length: %d\r\n\r\n" % len(shown) + shown)


@pytest.fixture
async def echo(rig: Rig) -> AsyncIterator[Echo]:
    """As `me/x`, known to keep idle connections."""
    echo = Echo()
    async with raw_server(echo) as port:
        lane = rig.api("x", port)
        assert lane is not None
        lane.pool.record.alive_after(10)
        yield echo


class Talk:
    """One connection to the gateway."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Talk:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    async def ask(self, data: bytes) -> tuple[bytes, bytes]:
        """Status line and headers, without what differs each time; and the body."""
        self.writer.write(data)
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)
        lines = head.split(b"\r\n")
        length = next(int(line[16:]) for line in lines if line.lower().startswith(b"content-length: "))
        body = await self.reader.readexactly(length)
        return b"\r\n".join(line for line in lines if not line.startswith((b"x-request-id", b"date"))), body


def request(
    rig: Rig, target: bytes = b"/me/x/", method: bytes = b"GET", fields: bytes = b"", body: bytes = b""
) -> bytes:
    if body:
        fields += b"content-length: %d\r\n" % len(body)
    return b"%b %b HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n%b\r\n%b" % (method, target, rig.port, fields, body)


BOTH_LENGTHS = b"\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"
EVERY_CHARACTER = bytes(char for char in range(0x21, 0x7F) if char != ord("#"))


class TestFields:
    @pytest.mark.parametrize(
        "target",
        [b"/me/x/", b"/me/x/a?b=c", b"/me/x/?", b"/me/x/a?b?c=/d", b"/me/x/%2e%2e/%00", b"/me/x/" + EVERY_CHARACTER],
        ids=["same", "query", "empty query", "two marks", "encoded", "every character"],
    )
    async def test_known_or_not_the_api_is_asked_the_same(
        self, rig: Rig, echo: Echo, known: list[bytes], target: bytes
    ) -> None:
        async with Talk(rig.port) as first, Talk(rig.port) as second:
            plain = await first.ask(request(rig, target))
            await second.ask(request(rig))
            await second.ask(request(rig))
            known.clear()
            again = await second.ask(request(rig, target))
        assert known == [request(rig, target)]
        assert again == plain
        assert plain[1].startswith(b"GET " + target[5:].removesuffix(b"?") + b" HTTP")

    @pytest.mark.parametrize("method", [b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"])
    async def test_method_and_body_are_each_request_s_own(
        self, rig: Rig, echo: Echo, known: list[bytes], method: bytes
    ) -> None:
        async with Talk(rig.port) as talk:
            for body in (b"one", b"two", b"six"):
                _, shown = await talk.ask(request(rig, method=b"GET", body=body))
            _, shown = await talk.ask(request(rig, b"/me/x/own", method, body=b"own"))
        assert len(known) == 2  # the first opens the API's connection, the second is read
        assert shown.startswith(method + b" /own HTTP/1.1\r\n")
        assert shown.endswith(b"\r\n\r\nown")

    async def test_each_has_an_id_and_a_row_of_its_own(self, rig: Rig, echo: Echo, known: list[bytes]) -> None:
        async with Talk(rig.port) as talk:
            for number in range(5):
                await talk.ask(request(rig, b"/me/x/%d" % number))
        assert len(known) == 3
        await until(lambda: len(rig.records) == 5)
        assert [record.path for record in rig.records] == [f"/{number}" for number in range(5)]
        assert len({record.id for record in rig.records}) == 5

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            (lambda data: data.replace(b"HTTP/1.1", b"HTTP/1.0", 1), b"200"),
            (lambda data: data.replace(b"/me/x/", b"/me/x/#a"), b"400"),
            (lambda data: data.replace(b"/me/x/", b"/me/x/\x7f"), b"400"),
            (lambda data: data.replace(b" /me", b"  /me"), b"200"),
            (lambda data: data.replace(b"GET", b"BREW"), b"400"),
            (lambda data: data.replace(b"\r\nhost", b"\nhost", 1), b"400"),
            (lambda data: data.replace(b"\r\nhost", b"\r\n host", 1), b"400"),
            (lambda data: data.replace(b"\r\n\r\n", b"\r\nhost: evil\r\n\r\n"), b"421"),
            (lambda data: data.replace(b"\r\n\r\n", BOTH_LENGTHS), b"400"),
            (lambda data: data.replace(b"/me/x/", b"/health"), b"200"),
            (lambda data: data.replace(b"/me/x/", b"http://127.0.0.1/me/x/"), b"404"),
        ],
        ids=["1.0", "fragment", "control", "blanks", "method", "bare line feed", "folded", "two hosts", "smuggling",
             "control API", "absolute"],
    )  # fmt: skip
    async def test_what_only_resembles_them_is_parsed(
        self, rig: Rig, echo: Echo, known: list[bytes], change: Any, status: bytes
    ) -> None:
        """And answered as it is by a connection that knows nothing."""
        other = change(request(rig))
        async with Talk(rig.port) as talk:
            for _ in range(3):
                await talk.ask(request(rig))
            known.clear()
            talk.writer.write(other)
            line = await asyncio.wait_for(talk.reader.readline(), 5)
        async with Talk(rig.port) as fresh:
            fresh.writer.write(other)
            assert line == await asyncio.wait_for(fresh.reader.readline(), 5)
        assert known == []

    @pytest.mark.parametrize("cut", [1, 20, 60, -1], ids=lambda cut: f"at {cut}")
    async def test_in_two_pieces_it_is_parsed(self, rig: Rig, echo: Echo, known: list[bytes], cut: int) -> None:
        data = request(rig, body=b"abc")
        async with Talk(rig.port) as talk:
            for _ in range(3):
                await talk.ask(data)
            known.clear()
            talk.writer.write(data[:cut])
            await asyncio.sleep(0.05)
            _, shown = await talk.ask(data[cut:])
            assert known == []
            assert shown.endswith(b"abc")
            await talk.ask(data)
        assert known == [data]

    async def test_two_in_one_piece_are_both_answered(self, rig: Rig, echo: Echo, known: list[bytes]) -> None:
        async with Talk(rig.port) as talk:
            for _ in range(3):
                await talk.ask(request(rig))
            known.clear()
            shown = (await talk.ask(request(rig, b"/me/x/1") + request(rig, b"/me/x/2")))[1]
            assert shown.startswith(b"GET /1 ")
            assert (await talk.ask(b""))[1].startswith(b"GET /2 ")
        assert known == []

    async def test_a_body_that_looks_like_a_request_teaches_nothing(
        self, rig: Rig, echo: Echo, known: list[bytes]
    ) -> None:
        """Else its fields would pass for those of the request behind it."""
        inner = request(rig, b"/me/x/inner", fields=b"x-admin: 1\r\n")
        outer = request(rig, method=b"POST", body=inner)
        async with Talk(rig.port) as talk:
            await talk.ask(request(rig))
            talk.writer.write(outer[: -len(inner)])
            await asyncio.sleep(0.05)
            await talk.ask(inner + request(rig, b"/me/x/behind"))
            assert (await talk.ask(b""))[1].startswith(b"GET /behind ")
            _, shown = await talk.ask(inner)
        assert known == []
        assert b"x-admin: 1" in shown

    async def test_a_key_that_was_revoked_is_refused_at_once(self, rig: Rig, echo: Echo, known: list[bytes]) -> None:
        key, kept = a_key(api="me/x")
        rig.gateway.callers.use_keys([kept])
        data = request(rig, fields=b"authorization: Bearer %b\r\n" % key.encode())
        async with Talk(rig.port) as talk:
            for _ in range(3):
                assert b" 200 " in (await talk.ask(data))[0]
            rig.gateway.callers.use_keys([])
            assert b" 401 " in (await talk.ask(data))[0]
            rig.gateway.callers.use_keys([replace(kept, id=KeyId("other"))])
            assert b" 200 " in (await talk.ask(data))[0]
        assert len(known) == 3
        assert rig.records[-1].key_id == "other"

    async def test_a_key_of_the_api_s_own_is_passed_on_once_each_time(self, rig: Rig, echo: Echo) -> None:
        rig.gateway.routing.route(
            replace(rig.gateway.routing._table.by_path[b"me/x"].route, auth="none"), *rig.gateway.routing._lanes
        )
        async with Talk(rig.port) as talk:
            for _ in range(4):
                _, shown = await talk.ask(request(rig, fields=b"x-api-key: own\r\n"))
                assert shown.count(b"x-api-key: own") == 1

    async def test_each_request_of_a_trace_has_a_span_of_its_own(
        self, rig: Rig, echo: Echo, known: list[bytes]
    ) -> None:
        trace = b"traceparent: 00-%b-%b-01\r\n" % (b"1" * 32, b"2" * 16)
        async with Talk(rig.port) as talk:
            shown = [(await talk.ask(request(rig, fields=trace)))[1] for _ in range(4)]
        spans = {line for text in shown for line in text.split(b"\r\n") if line.startswith(b"traceparent")}
        assert len(spans) == 4
        assert all(b"-" + b"1" * 32 + b"-" in span and b"2" * 16 not in span for span in spans)
        assert len(known) == 3 - 1  # the first took the long way, since no connection was idle

    async def test_of_another_trace_the_rest_is_known(self, rig: Rig, echo: Echo, known: list[bytes]) -> None:
        def traced(trace: bytes, state: bytes = b"a=1") -> bytes:
            fields = b"x-before: 1\r\nTraceParent: 00-%b-%b-00\r\ntracestate: %b\r\n" % (trace * 32, b"9" * 16, state)
            return request(rig, b"/me/x/%b" % trace, fields=fields)

        async with Talk(rig.port) as talk:
            for trace in (b"1", b"2", b"3", b"4", b"5"):
                lines = (await talk.ask(traced(trace)))[1].split(b"\r\n")
                (told,) = [line for line in lines if line.lower().startswith(b"traceparent")]
                assert told.startswith(b"traceparent: 00-%b-" % (trace * 32))
                assert told.endswith(b"-00")
                assert lines[0] == b"GET /%b HTTP/1.1" % trace
                assert {b"x-before: 1", b"tracestate: a=1"} <= set(lines)
            assert len(known) == 3
            assert b"tracestate: b=2" in (await talk.ask(traced(b"6", b"b=2")))[1]
        assert len(known) == 3

    @pytest.mark.parametrize(
        "value",
        [b"00-%b-%b-01" % (b"0" * 32, b"2" * 16), b"01-%b-%b-01" % (b"1" * 32, b"2" * 16), b"00-%b" % (b"1" * 52)],
        ids=["all zeros", "another version", "nonsense"],
    )
    async def test_a_trace_that_is_not_plain_is_read_by_the_parser(
        self, rig: Rig, echo: Echo, known: list[bytes], value: bytes
    ) -> None:
        valid = b"00-%b-%b-01" % (b"1" * 32, b"2" * 16)
        data = request(rig, fields=b"traceparent: %b\r\ntracestate: a=1\r\n" % valid)
        async with Talk(rig.port) as first, Talk(rig.port) as second:
            for _ in range(3):
                await first.ask(data)
            count = len(known)
            other = data.replace(valid, value)
            shown = [await first.ask(other), await second.ask(other)]
        assert len(known) == count > 0
        states = [b"tracestate: a=1" in text for _, text in shown]
        assert states == [value.startswith(b"01")] * 2

    def test_nothing_is_known_where_lines_and_fields_differ(self) -> None:
        data = b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n a: b\r\n\r\n"
        fields = fields_of([(b"host", b"127.0.0.1")], Hosts(port=80), None, "http", None)
        assert fields is not None
        assert not fields.learn(data, 1)
        assert fields.learn(data.replace(b"\r\n a", b"\r\na"), 2)

    async def test_long_ones_are_parsed_each_time(self, rig: Rig, echo: Echo, known: list[bytes]) -> None:
        async with Talk(rig.port) as talk:
            for _ in range(4):
                await talk.ask(request(rig, fields=b"cookie: %b\r\n" % (b"c" * 5000)))
        assert known == []


class TestAnswers:
    async def test_known_or_not_the_client_is_told_the_same(
        self, rig: Rig, echo: Echo, known_answers: list[bytes]
    ) -> None:
        echo.head += b"Server: Old\r\nX-Own: 1\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nX-Request-Id: evil\r\n"
        async with Talk(rig.port) as talk:
            answers = [await talk.ask(request(rig, b"/me/x/%d" % number)) for number in range(4)]
        assert len(known_answers) == 2  # the first is seen, the second learnt
        assert len({head for head, _ in answers}) == 1
        assert [body[:6] for _, body in answers] == [b"GET /%d" % number for number in range(4)]
        assert b"evil" not in answers[0][0]
        assert b"x-hop" not in answers[0][0]

    async def test_an_answer_of_another_length_is_read(self, rig: Rig, echo: Echo, known_answers: list[bytes]) -> None:
        async with Talk(rig.port) as talk:
            for target in (b"/me/x/a", b"/me/x/b", b"/me/x/long", b"/me/x/longer", b"/me/x/b", b"/me/x/long"):
                _, shown = await talk.ask(request(rig, target))
                assert shown.startswith(b"GET " + target[5:])
        assert [body[:7] for body in known_answers] == [b"GET /b "]

    async def test_head_has_no_body(self, rig: Rig, known_answers: list[bytes]) -> None:
        async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                line = (await reader.readuntil(b"\r\n\r\n"))[:4]
                writer.write(
                    b"HTTP/1.1 200 OK\r\n" + DATE + b"content-length: 2\r\n\r\n" + (b"" if line == b"HEAD" else b"hi")
                )

        async with raw_server(answering) as port, Talk(rig.port) as talk:
            rig.api("x", port)
            for _ in range(3):
                await talk.ask(request(rig))
                talk.writer.write(request(rig, method=b"HEAD"))
                assert b"content-length: 2" in await talk.reader.readuntil(b"\r\n\r\n")
        assert known_answers == [b"hi"]

    async def test_an_answer_with_more_behind_it_is_not_known(self, rig: Rig, known_answers: list[bytes]) -> None:
        answer = b"HTTP/1.1 200 OK\r\n" + DATE + b"content-length: 2\r\n\r\nhi"
        asked = 0

        async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal asked
            while True:
                await reader.readuntil(b"\r\n\r\n")
                asked += 1
                writer.write(answer if asked < 4 else answer + answer.replace(b"hi", b"ho"))

        async with raw_server(answering) as port, Talk(rig.port) as talk:
            rig.api("x", port)
            for _ in range(5):
                assert (await talk.ask(request(rig)))[1] == b"hi"
        assert known_answers == [b"hi"]

    @pytest.mark.parametrize(
        "head",
        [
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + DATE + b"\r\n",
            b"HTTP/1.1 200 OK\r\n" + DATE + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + DATE + b"x: a\r\n b\r\ncontent-length: 2\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + DATE + b"x: " + b"a" * 3000 + b"\r\ncontent-length: 2\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n" + DATE + b"content-length: 2\r\n\r\n",
        ],
        ids=["no date", "no length", "chunked", "folded", "long", "interim"],
    )
    def test_nothing_is_known_that_is_not_plain(self, head: bytes) -> None:
        headers = [tuple(line.split(b": ", 1)) for line in head.split(b"\r\n") if b": " in line and line[:1] != b" "]
        heads = KnownHeads()
        for _ in range(3):
            heads.learn(head + b"hi", 200, headers)  # type: ignore[arg-type]
        assert heads.find(head + b"hi") is None

    def test_few_are_known(self) -> None:
        heads = KnownHeads()
        for number in range(1000):
            raw = b"HTTP/1.1 200 OK\r\n" + DATE + b"x: %d\r\ncontent-length: 0\r\n\r\n" % number
            for _ in range(2):
                heads.learn(raw, 200, [(b"date", b""), (b"x", b"%d" % number), (b"content-length", b"0")])
        assert len(heads._known) <= 64
        assert len(heads._seen) <= 64
        assert heads.find(raw) is not None


class TestRest:
    """The clock of idle connections, which is not wound up for each request."""

    @pytest.fixture
    async def hasty(self, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
        monkeypatch.setattr(serving, "KEEP_ALIVE_S", 0.3)
        async with opened_rig() as rig:
            yield rig

    async def test_it_runs_from_the_last_answer(self, hasty: Rig) -> None:
        loop = asyncio.get_running_loop()
        async with raw_server(Echo()) as port, Talk(hasty.port) as talk:
            hasty.api("x", port)
            began = loop.time()
            for _ in range(5):
                await talk.ask(request(hasty))
                await asyncio.sleep(0.15)
            last = loop.time() - 0.15
            assert await asyncio.wait_for(talk.reader.read(), 5) == b""
        assert last - began > 0.5
        assert 0.25 < loop.time() - last < 1

    async def test_it_stands_still_while_an_answer_is_awaited(self, hasty: Rig) -> None:
        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for pause_s in (0, 0, 0.8):
                await reader.readuntil(b"\r\n\r\n")
                await asyncio.sleep(pause_s)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")

        async with raw_server(slow) as port, Talk(hasty.port) as talk:
            hasty.api("x", port)
            assert [(await talk.ask(request(hasty)))[1] for _ in range(3)] == [b"hi"] * 3
