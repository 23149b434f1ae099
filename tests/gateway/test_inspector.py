"""The last exchanges of each API: what is kept of them, how much memory that takes, and what a replay sends."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import websockets

from local_server.domain.exchanges import BODY_BYTES, Exchange, why_not_replayable
from local_server.domain.gateway_errors import ApiUnavailable
from local_server.domain.ids import ApiId
from local_server.domain.manifest import RateLimit
from local_server.gateway.inspector import Inspector
from tests.gateway.conftest import Rig, answering, opened_rig, raw_server, serving, until

ON = pytest.mark.parametrize("rig", [{"inspect": 3}], indirect=True)
HELLO = ApiId("me/hello")
KEY = "am_live_" + "k" * 49


def kept(rig: Rig) -> list[Exchange]:
    return rig.gateway.inspector.exchanges(HELLO)


@ON
class TestKeeping:
    async def test_both_sides_of_an_exchange_are_kept(self, rig: Rig, echo_port: int) -> None:
        rig.api("hello", echo_port, generation=7)
        answer = await rig.client.post("/me/hello/orders?a=1", content=b"ham", headers={"x-one": "1"})
        (one,) = kept(rig)
        assert one.execution.id == answer.headers["x-request-id"]
        assert (one.execution.generation, one.execution.status) == (7, 200)
        assert (one.url, one.target) == (f"http://127.0.0.1:{rig.port}/me/hello/orders", "/orders?a=1")
        assert ("x-one", "1") in one.request_headers
        assert one.request_body.content == one.response_body.content == b"ham"
        assert ("x-saw-path", "/orders") in one.response_headers
        assert why_not_replayable(one) == ""

    async def test_a_trace_is_kept_as_it_goes_on(self, rig: Rig, echo_port: int) -> None:
        rig.api("hello", echo_port)
        for digit, more in (("1", {}), ("2", {}), ("3", {}), ("4", {"sec-fetch-site": "none"})):
            given = {"traceparent": f"00-{digit * 32}-{'9' * 16}-01", "tracestate": "a=1"}
            answer = await rig.client.get("/me/hello/", headers=given | more)
            headers = dict(kept(rig)[0].request_headers)
            assert headers["traceparent"] == answer.headers["x-saw-traceparent"]
            assert headers["traceparent"].startswith(f"00-{digit * 32}-")
            assert headers["tracestate"] == "a=1"

    async def test_only_the_last_ones_are(self, rig: Rig, echo_port: int) -> None:
        rig.api("hello", echo_port)
        for number in range(5):
            await rig.client.get(f"/me/hello/{number}")
        assert [one.path for one in kept(rig)] == ["/4", "/3", "/2"]

    @pytest.mark.parametrize(("size", "whole"), [(BODY_BYTES, True), (BODY_BYTES + 1, False)])
    async def test_a_body_is_kept_up_to_its_limit(self, rig: Rig, echo_port: int, size: int, whole: bool) -> None:
        rig.api("hello", echo_port)
        assert len((await rig.client.post("/me/hello/", content=b"x" * size)).content) == size
        (one,) = kept(rig)
        for body in (one.request_body, one.response_body):
            assert body.content == b"x" * BODY_BYTES
            assert (body.size, body.whole) == (size, whole)
        assert bool(why_not_replayable(one)) is not whole
        assert whole or "65537 bytes, of which the first 65536" in why_not_replayable(one)

    async def test_a_body_in_many_parts_is_put_together(self, rig: Rig, echo_port: int) -> None:
        rig.api("hello", echo_port)

        async def parts() -> Any:
            for number in range(50):
                yield b"%d," % number

        await rig.client.post("/me/hello/", content=parts())
        (one,) = kept(rig)
        assert one.request_body.content == b"".join(b"%d," % number for number in range(50))
        assert one.response_body.content == one.request_body.content

    async def test_a_refusal_of_the_gateway_is_shown_as_it_was_said(self, rig: Rig) -> None:
        rig.api("hello", None, availability="stopped")
        answer = await rig.client.post("/me/hello/", content=b"unread")
        (one,) = kept(rig)
        assert json.loads(one.response_body.content) == answer.json()
        assert ("content-type", "application/problem+json") in one.response_headers
        assert why_not_replayable(one) == "its body was not read to the end"

    async def test_of_a_websocket_head_and_counts_are_kept(self, rig: Rig) -> None:
        async def talk(socket: websockets.ServerConnection) -> None:
            async for message in socket:
                await socket.send(message)
                await socket.send(message)

        async with websockets.serve(talk, "127.0.0.1", 0) as server:
            rig.api("hello", server.sockets[0].getsockname()[1])
            async with websockets.connect(f"ws://127.0.0.1:{rig.port}/me/hello/ws", proxy=None) as client:
                await client.send("one")
                await client.recv()
                await client.recv()
            await until(lambda: kept(rig))
        (one,) = kept(rig)
        assert (one.websocket, one.messages_in, one.messages_out) == (True, 1, 2)
        assert one.request_body.content == one.response_body.content == b""
        assert "WebSocket" in why_not_replayable(one)

    async def test_what_is_forgotten_is_gone(self, rig: Rig, echo_port: int) -> None:
        rig.api("hello", echo_port)
        await rig.client.get("/me/hello/")
        assert rig.gateway.inspector.forget(HELLO) == 1
        assert kept(rig) == []
        assert rig.gateway.inspector.bytes == 0

    async def test_a_removed_api_leaves_nothing(self, rig: Rig, echo_port: int) -> None:
        rig.api("hello", echo_port)
        await rig.client.get("/me/hello/")
        rig.gateway.routing.forget(HELLO)
        assert rig.gateway.inspector.bytes == 0


class TestOff:
    async def test_nothing_is_kept(self, rig: Rig, echo_port: int) -> None:
        rig.api("hello", echo_port)
        await rig.client.post("/me/hello/", content=b"ham")
        assert kept(rig) == []
        assert rig.gateway.inspector.bytes == 0


@ON
class TestKeys:
    """API keys of ours are never kept, wherever they were."""

    @pytest.mark.parametrize(
        "request_of",
        [
            {"headers": {"x-api-key": KEY}},
            {"headers": {"authorization": f"Bearer {KEY}"}},
            {"headers": {"cookie": f"key={KEY}"}},
            {"params": {"key": KEY}},
            {"content": f'{{"key": "{KEY}"}}'.encode()},
            {"url": f"/me/hello/{KEY}"},
        ],
        ids=["x-api-key", "bearer", "cookie", "query", "body", "path"],
    )
    async def test_no_key_is_in_memory(self, rig: Rig, echo_port: int, request_of: dict[str, Any]) -> None:
        rig.api("hello", echo_port, auth="none")
        await rig.client.request("POST", **({"url": "/me/hello/"} | request_of))
        (one,) = kept(rig)
        assert KEY not in repr(one).replace(one.execution.path, "")
        (capture,) = rig.gateway.inspector._by_age.values()
        everything = [getattr(capture, name) for name in capture.__slots__]
        everything.remove(capture.execution)
        assert KEY not in repr(everything)

    async def test_a_request_that_held_one_elsewhere_is_not_replayable(self, rig: Rig, echo_port: int) -> None:
        rig.api("hello", echo_port)
        await rig.client.get("/me/hello/", params={"key": KEY})
        assert "API key of apimarket" in why_not_replayable(kept(rig)[0])


class TestMemory:
    async def test_the_oldest_exchange_makes_room(self) -> None:
        async with serving(_large) as port, opened_rig(inspect=1000) as rig:
            rig.gateway.inspector._most_bytes = 1_000_000
            rig.api("hello", port)
            for number in range(40):
                await rig.client.get(f"/me/hello/{number}")
                assert rig.gateway.inspector.bytes <= 1_000_000
            paths = [one.path for one in kept(rig)]
            assert paths == [f"/{number}" for number in range(39, 39 - len(paths), -1)]
            assert 10 <= len(paths) < 16

    async def test_200_streams_at_once_stay_within_it(self) -> None:
        """Each says 1 MiB in parts of 4 KiB; none is held up or cut."""
        limit = 2_000_000
        async with serving(_long) as port, opened_rig(inspect=1000) as rig:
            inspector = rig.gateway.inspector
            inspector._most_bytes = limit
            rig.api("hello", port)
            most = 0

            async def one() -> int:
                nonlocal most
                size = 0
                async with rig.client.stream("GET", "/me/hello/") as answer:
                    async for part in answer.aiter_raw():
                        size += len(part)
                        most = max(most, inspector.bytes)
                return size

            sizes = await asyncio.gather(*(one() for _ in range(200)))
            assert sizes == [1 << 20] * 200
            assert limit // 2 < most <= limit
            assert inspector.bytes == sum(capture.bytes for capture in inspector._by_age.values())

    async def test_nothing_stays_counted(self) -> None:
        """Also of those that were broken off in the middle."""
        async with opened_rig(inspect=3) as rig:
            async with raw_server(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", close=True)) as port:
                rig.api("hello", port)
                for _ in range(8):
                    with pytest.raises(Exception, match=r"peer closed|incomplete"):
                        await rig.client.get("/me/hello/")
            assert len(kept(rig)) == 3
            rig.gateway.inspector.forget(HELLO)
            assert rig.gateway.inspector.bytes == 0


@ON
class TestReplay:
    async def test_it_is_the_same_request_with_a_mark(self, rig: Rig, echo_port: int) -> None:
        rig.api("hello", echo_port, generation=2)
        first = await rig.client.put("/me/hello/a%2Fb;c?q=%20", content=b"ham", headers={"x-one": "1", "cookie": "s=1"})
        answer = await rig.gateway.replay(kept(rig)[0])
        seen = dict(answer.headers)
        assert (answer.status, answer.generation, answer.complete) == (200, 2, True)
        assert answer.body.content == b"ham"
        assert seen["x-saw-method"] == "PUT"
        for name in ("path", "query", "x-one", "cookie", "host", "x-forwarded-for", "x-forwarded-prefix"):
            assert seen[f"x-saw-{name}"] == first.headers[f"x-saw-{name}"], name
        assert seen["x-saw-x-apimarket-replay"] == "1"
        assert seen["x-request-id"] != first.headers["x-request-id"]

    async def test_a_caller_cannot_pretend_to_be_one(self, rig: Rig, echo_port: int) -> None:
        rig.api("hello", echo_port)
        answer = await rig.client.get("/me/hello/", headers={"x-apimarket-replay": "1"})
        assert "x-saw-x-apimarket-replay" not in answer.headers

    async def test_a_chunked_body_is_sent_again_whole(self, rig: Rig, echo_port: int) -> None:
        rig.api("hello", echo_port)

        async def parts() -> Any:
            yield b"ham"
            yield b"egg"

        await rig.client.post("/me/hello/", content=parts())
        assert (await rig.gateway.replay(kept(rig)[0])).body.content == b"hamegg"

    async def test_it_can_go_to_a_lane_that_does_not_serve(self, rig: Rig, echo_port: int) -> None:
        async with raw_server(answering(b"HTTP/1.1 500 Oops\r\ncontent-length: 3\r\n\r\nbad")) as port:
            other = rig.gateway.routing.open(HELLO, 9, "9" * 64, ("127.0.0.1", port))
            rig.api("hello", echo_port, generation=2)
            await rig.client.get("/me/hello/")
            answer = await rig.gateway.replay(kept(rig)[0], other)
            assert (answer.generation, answer.status, answer.body.content) == (9, 500, b"bad")
            await other.close()

    async def test_it_is_nobodys_traffic(self, rig: Rig, echo_port: int) -> None:
        rig.api("hello", echo_port)
        await rig.client.get("/me/hello/")
        for _ in range(3):
            await rig.gateway.replay(kept(rig)[0])
        assert len(rig.records) == 1
        assert len(kept(rig)) == 1

    async def test_no_limit_counts_it(self, rig: Rig, echo_port: int) -> None:
        rig.api("hello", echo_port, rate_limit=RateLimit(2, 60))
        await rig.client.get("/me/hello/")
        for _ in range(3):
            assert (await rig.gateway.replay(kept(rig)[0])).status == 200
        assert (await rig.client.get("/me/hello/")).status_code == 200

    async def test_an_api_that_breaks_off_is_an_answer_too(self, rig: Rig, echo_port: int) -> None:
        rig.api("hello", echo_port)
        await rig.client.get("/me/hello/")
        async with raw_server(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", close=True)) as port:
            rig.api("hello", port)
            answer = await rig.gateway.replay(kept(rig)[0])
        assert (answer.status, answer.body.content, answer.complete) == (200, b"short", False)

    async def test_a_stream_without_an_end_is_cut_off(
        self, rig: Rig, echo_port: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("local_server.gateway.replay.LONGEST_S", 0.2)
        rig.api("hello", echo_port)
        await rig.client.get("/me/hello/")
        async with serving(_endless) as port:
            lane = rig.api("hello", port)
            assert lane is not None
            answer = await rig.gateway.replay(kept(rig)[0])
            assert (answer.status, answer.complete) == (200, False)
            assert answer.body.size > 0
            await until(lambda: not lane.in_flight)

    async def test_nothing_serves(self, rig: Rig, echo_port: int) -> None:
        rig.api("hello", echo_port)
        await rig.client.get("/me/hello/")
        rig.api("hello", None, availability="stopped")
        with pytest.raises(ApiUnavailable, match="it is stopped"):
            await rig.gateway.replay(kept(rig)[0])


class TestRoom:
    def test_an_inspector_without_a_limit_of_its_own_has_the_usual_one(self) -> None:
        assert Inspector(50)._most_bytes == 32 * 1024 * 1024


async def _large(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x" * BODY_BYTES})


async def _long(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(256):
        await send({"type": "http.response.body", "body": b"x" * 4096, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _endless(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while not await _hung_up(receive):
        await send({"type": "http.response.body", "body": b"x", "more_body": True})


async def _hung_up(receive: Any) -> bool:
    try:
        async with asyncio.timeout(0.02):
            message = await receive()
    except TimeoutError:
        return False
    return bool(message["type"] == "http.disconnect")
