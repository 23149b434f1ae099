"""WebSockets through the gateway: real ones at both ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from local_server.domain.executions import CallOutcome
from local_server.domain.ids import ApiId
from local_server.domain.manifest import RateLimit
from local_server.gateway import protocol

from .conftest import Rig, answering, raw_server, until

Behaviour = Callable[[ServerConnection], Awaitable[None]]


@contextlib.asynccontextmanager
async def ws_api(behaviour: Behaviour, **options: Any) -> AsyncIterator[int]:
    async with serve(behaviour, "127.0.0.1", 0, **options) as server:
        yield next(iter(server.sockets)).getsockname()[1]


async def echo(ws: ServerConnection) -> None:
    async for message in ws:
        await ws.send(message)


def dial(rig: Rig, path: str = "/me/x/", **options: Any) -> connect:
    return connect(f"ws://localhost:{rig.port}{path}", proxy=None, **{"compression": None, **options})


class TestCarrying:
    async def test_text_and_bytes_of_all_sizes(self, rig: Rig) -> None:
        async with ws_api(echo, max_size=None) as port:
            rig.api("x", port)
            async with dial(rig, max_size=None) as ws:
                for message in ("hello", "grüße", "", b"", b"\x00\xff", "x" * 200_000, b"y" * 3_000_000):
                    await ws.send(message)
                    assert await ws.recv() == message
        record = await rig.record()
        assert (record.status, record.outcome, record.generation) == (101, CallOutcome.OK, 1)
        assert record.bytes_in == record.bytes_out > 3_000_000

    async def test_request_as_the_api_sees_it(self, rig: Rig) -> None:
        seen: list[Any] = []

        async def look(ws: ServerConnection) -> None:
            seen.append(ws.request)

        async with ws_api(look, subprotocols=["b"]) as port:
            rig.api("x", port)
            headers = {"x-kept": "1", "x-forwarded-for": "6.6.6.6"}
            path = "/me/x/a%2Fb;p=1?q=%20"
            async with dial(rig, path, subprotocols=["a", "b"], additional_headers=headers) as ws:
                assert ws.subprotocol == "b"
                assert ws.response is not None
                assert ws.response.headers["x-apimarket-generation"] == f"{1:064x}"
        (request,) = seen
        assert request.path == "/a%2Fb;p=1?q=%20"
        assert request.headers["x-kept"] == "1"
        assert request.headers.get_all("x-forwarded-for") == ["127.0.0.1"]
        assert request.headers["x-forwarded-prefix"] == "/me/x"
        assert request.headers.get_all("host") == [f"localhost:{rig.port}"]

    async def test_without_a_slash_after_the_name(self, rig: Rig) -> None:
        async with ws_api(echo) as port:
            rig.api("x", port)
            async with dial(rig, "/me/x") as ws:
                await ws.send("a")
                assert await ws.recv() == "a"

    async def test_held_until_the_api_is_ready(self, rig: Rig) -> None:
        async with ws_api(echo) as port:
            rig.api("x", None, availability="starting")
            opening = asyncio.create_task(dial(rig).__aenter__())
            await until(lambda: rig.gateway._holds.held(ApiId("me/x")))
            rig.api("x", port)
            ws = await opening
            await ws.send("a")
            assert await ws.recv() == "a"
            await ws.close()

    async def test_outlives_the_time_a_head_may_take(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(protocol, "HEAD_DEADLINE_S", 0.2)
        async with ws_api(echo) as port:
            rig.api("x", port)
            async with dial(rig) as ws:
                for _ in range(2):
                    await asyncio.sleep(0.3)
                    await ws.send("still there?")
                    assert await ws.recv() == "still there?"


class TestLimits:
    async def test_are_told_with_every_answer_to_the_handshake(self, rig: Rig) -> None:
        limit = RateLimit(2, 3600)
        async with (
            ws_api(echo) as port,
            raw_server(answering(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")) as odd,
        ):
            for slug, at in (("x", port), ("odd", odd), ("dead", 1)):
                rig.api(slug, at, rate_limit=limit)
            async with dial(rig) as ws:
                assert ws.response is not None
                assert ws.response.headers["RateLimit-Remaining"] == "1"
            for path, status in (("/me/odd/", 404), ("/me/dead/", 502)):
                with pytest.raises(InvalidStatus) as refused:
                    await dial(rig, path)
                answer = refused.value.response
                assert (answer.status_code, answer.headers["RateLimit-Remaining"]) == (status, "1")


class TestClosing:
    @pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1000, "done"), (4001, "grüße"), (1011, "oops")])
    async def test_code_and_reason_from_the_api(self, rig: Rig, code: int, reason: str) -> None:
        async with ws_api(lambda ws: ws.close(code, reason)) as port:
            rig.api("x", port)
            async with dial(rig) as ws:
                with pytest.raises(ConnectionClosed):
                    await ws.recv()
                assert (ws.close_code, ws.close_reason) == (code, reason)

    @pytest.mark.parametrize(("code", "reason"), [(1000, "bye"), (4002, "enough")])
    async def test_code_and_reason_from_the_client(self, rig: Rig, code: int, reason: str) -> None:
        ended: asyncio.Future[tuple[int | None, str | None]] = asyncio.get_running_loop().create_future()

        async def wait(ws: ServerConnection) -> None:
            await ws.wait_closed()
            ended.set_result((ws.close_code, ws.close_reason))

        async with ws_api(wait) as port:
            rig.api("x", port)
            async with dial(rig) as ws:
                await ws.close(code, reason)
            assert await asyncio.wait_for(ended, 2) == (code, reason)

    async def test_client_that_vanishes(self, rig: Rig) -> None:
        ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

        async def wait(ws: ServerConnection) -> None:
            await ws.wait_closed()
            ended.set_result(ws.close_code)

        async with ws_api(wait) as port:
            rig.api("x", port)
            ws = await dial(rig)
            ws.transport.abort()
            assert await asyncio.wait_for(ended, 2) == 1001

    async def test_api_that_vanishes(self, rig: Rig) -> None:
        async def vanish(ws: ServerConnection) -> None:
            ws.transport.abort()

        async with ws_api(vanish) as port:
            rig.api("x", port)
            async with dial(rig) as ws:
                with pytest.raises(ConnectionClosed):
                    await ws.recv()
                assert ws.close_code == 1014
        assert (await rig.record()).outcome == CallOutcome.UPSTREAM_FAILED

    async def test_lane_that_closes_says_service_restart(self, rig: Rig) -> None:
        async with ws_api(echo) as port:
            lane = rig.api("x", port)
            assert lane is not None
            async with dial(rig) as ws:
                assert lane.in_flight == 1
                assert await lane.drain(0.05) is False
                await lane.close()
                with pytest.raises(ConnectionClosed):
                    await ws.recv()
                assert ws.close_code == 1012
            await until(lambda: not lane.in_flight)


class TestRefusing:
    async def test_foreign_page_is_refused(self, rig: Rig) -> None:
        async with ws_api(echo) as port:
            rig.api("x", port)
            for origin in ("https://evil.example", "null"):
                with pytest.raises(InvalidStatus) as refused:
                    await dial(rig, origin=origin)
                assert refused.value.response.status_code == 403

    async def test_near_or_listed_page_may(self, rig: Rig) -> None:
        async with ws_api(echo) as port:
            rig.api("x", port, cors=("https://app.example",))
            for origin in ("https://app.example", "http://localhost:3000"):
                async with dial(rig, origin=origin) as ws:
                    await ws.send("a")
                    assert await ws.recv() == "a"

    @pytest.mark.parametrize(("raw", "status"), [(b"403 Forbidden", 403), (b"302 Found\r\nlocation: ws://x/", 302)])
    async def test_refusal_of_the_api_passes_and_no_redirect_is_followed(
        self, rig: Rig, raw: bytes, status: int
    ) -> None:
        answer = b"HTTP/1.1 " + raw + b"\r\nx-why: because\r\ncontent-length: 4\r\n\r\nwhy?"
        async with raw_server(answering(answer)) as port:
            rig.api("x", port)
            reply = await rig.raw(_handshake(rig))
            assert reply.startswith(b"HTTP/1.1 %d" % status)
            assert b"because" in reply
            assert reply.endswith(b"why?")

    async def test_unknown_stopped_and_dead(self, rig: Rig) -> None:
        async with raw_server(answering(b"nonsense\r\n\r\n")) as port:
            rig.api("stopped", None, availability="stopped")
            rig.api("odd", port)
            for path, status in [("/me/nobody/", 404), ("/me/stopped/", 503), ("/me/odd/", 502)]:
                with pytest.raises(InvalidStatus) as refused:
                    await dial(rig, path)
                assert refused.value.response.status_code == status
                assert refused.value.response.headers["content-type"] == "application/problem+json"


def _handshake(rig: Rig) -> bytes:
    return (
        f"GET /me/x/ HTTP/1.1\r\nhost: localhost:{rig.port}\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        "sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    ).encode()
