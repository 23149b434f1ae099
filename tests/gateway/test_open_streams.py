"""What is open when its key ends: WebSockets and streams end with it, an ordinary answer is given to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed

from local_server.domain.executions import CallOutcome
from local_server.gateway import callers

from .conftest import Handler, Rig, raw_server, until
from .test_callers import a_key, bearer
from .test_websocket import dial, echo, ws_api

ENDLESS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
Ending = Callable[[Rig], None]


def revoked(rig: Rig) -> None:
    _, key = a_key(1, "me/x", revoked_at=datetime.now(UTC))
    rig.gateway.callers.use_keys([key])


def expired(rig: Rig) -> None:
    _, key = a_key(1, "me/x", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    rig.gateway.callers.use_keys([key])


def replaced_and_out_of_grace(rig: Rig) -> None:
    _, key = a_key(1, "me/x", grace_until=datetime.now(UTC) - timedelta(seconds=1))
    rig.gateway.callers.use_keys([key])


def gone(rig: Rig) -> None:
    rig.gateway.callers.use_keys([])


every_ending = pytest.mark.parametrize("end", [revoked, expired, replaced_and_out_of_grace, gone])


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "STREAM_S", 0.0)


@pytest.fixture
def keys(rig: Rig) -> dict[str, str]:
    """The headers of a call with k1, which is in force."""
    text, key = a_key(1, "me/x")
    rig.gateway.callers.use_keys([key])
    return bearer(text)


def streaming(head: bytes, part: bytes, rest: asyncio.Event | None = None, last: bytes = b"") -> Handler:
    """First answers nothing, so that a connection is idle; then with `head` and `part`; at `rest` with `last`."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + part)
        if rest is not None:
            await rest.wait()
            writer.write(last)
        await reader.read()

    return handler


@asynccontextmanager
async def asked(rig: Rig, port: int, headers: dict[str, str], *, short: bool) -> AsyncIterator[httpx2.Response]:
    """The answer once it has begun, on the short way or on the long one."""
    rig.api("x", port, cors=() if short else ("https://app.example",))
    assert (await rig.client.get("/me/x/", headers=headers)).status_code == 200
    rig.records.clear()
    async with rig.client.stream("GET", "/me/x/", headers=headers) as answer:
        yield answer


both_ways = pytest.mark.parametrize("short", [True, False], ids=["short", "long"])


class TestStreams:
    @both_ways
    @every_ending
    async def test_end_with_their_key_and_never_look_whole(
        self, rig: Rig, keys: dict[str, str], ways: list[bool], short: bool, end: Ending
    ) -> None:
        async with (
            raw_server(streaming(ENDLESS, b"3\r\n:a\n\r\n")) as port,
            asked(rig, port, keys, short=short) as answer,
        ):
            parts = answer.aiter_bytes()
            assert await anext(parts) == b":a\n"
            end(rig)
            with pytest.raises(httpx2.RemoteProtocolError):
                await anext(parts)
            record = await rig.record()
        assert ways[-1] is short
        assert (record.outcome, record.key_id) == (CallOutcome.ABORTED, "k1")

    @both_ways
    async def test_an_answer_of_known_length_is_given_to_its_end(
        self, rig: Rig, keys: dict[str, str], short: bool
    ) -> None:
        rest = asyncio.Event()
        head = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"
        async with (
            raw_server(streaming(head, b"ab", rest, b"cd")) as port,
            asked(rig, port, keys, short=short) as answer,
        ):
            parts = answer.aiter_bytes()
            assert await anext(parts) == b"ab"
            revoked(rig)
            await ticked(rig)
            rest.set()
            assert b"".join([part async for part in parts]) == b"cd"
        assert (await rig.record()).outcome == CallOutcome.OK

    @both_ways
    async def test_of_another_key_and_of_none_go_on(self, rig: Rig, short: bool) -> None:
        rest = asyncio.Event()
        async with (
            raw_server(streaming(ENDLESS, b"3\r\n:a\n\r\n", rest, b"0\r\n\r\n")) as port,
            asked(rig, port, {}, short=short) as answer,
        ):
            parts = answer.aiter_bytes()
            assert await anext(parts) == b":a\n"
            revoked(rig)
            await ticked(rig)
            rest.set()
            assert [part async for part in parts] == []


class TestWebSockets:
    @every_ending
    async def test_are_closed_with_the_reason(self, rig: Rig, keys: dict[str, str], end: Ending) -> None:
        async with ws_api(echo) as port:
            rig.api("x", port)
            async with dial(rig, additional_headers=keys) as ws:
                await ws.send("a")
                assert await ws.recv() == "a"
                end(rig)
                with pytest.raises(ConnectionClosed):
                    await ws.recv()
                assert (ws.close_code, ws.close_reason) == (1008, "the API key was revoked or has expired")
        assert (await rig.record()).key_id == "k1"

    async def test_without_a_key_go_on(self, rig: Rig) -> None:
        async with ws_api(echo) as port:
            rig.api("x", port)
            async with dial(rig) as ws:
                revoked(rig)
                await ticked(rig)
                await ws.send("a")
                assert await ws.recv() == "a"


async def ticked(rig: Rig) -> None:
    """Return when the gateway has looked after all that is under way, once at least."""

    class Watch:
        looks = 0

        def tick(self, _now: float) -> None:
            self.looks += 1

    watch = Watch()
    rig.gateway.ticker.add(watch)
    await until(lambda: watch.looks > 1)
    rig.gateway.ticker.discard(watch)
