"""What callers of a deprecated version are told: by the short way, the long way and the WebSocket's alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from local_server.domain.ids import ApiId
from local_server.domain.routing import Notice, Steering

from .conftest import Rig, answering, raw_server

DEPRECATED_AT = datetime(2026, 1, 1, tzinfo=UTC)
SUNSET_AT = datetime(2999, 1, 1, tzinfo=UTC)
TOLD = {"deprecation": "@1767225600", "sunset": "Tue, 01 Jan 2999 00:00:00 GMT"}
OWN = (
    b"HTTP/1.1 200 OK\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\ndeprecation: @1\r\nDeprecation: @2\r\n"
    b'sunset: Mon, 01 Jan 2024 00:00:00 GMT\r\nlink: </own>; rel="next"\r\ncontent-length: 0\r\n\r\n'
)
LONG = {"sec-fetch-site": "none"}


def deprecate(rig: Rig, *, sunset_at: datetime | None = None, successor: str | None = "1.1.0") -> None:
    notice = Notice(DEPRECATED_AT, sunset_at, successor)
    rig.gateway.routing.steer(ApiId("me/xy"), Steering((("1.0.0", 100),), {}, {"1.0.0": notice}))


@pytest.fixture
async def old(rig: Rig) -> AsyncIterator[Rig]:
    """An API whose traffic goes to a version that says itself when it ends."""
    async with raw_server(answering(OWN)) as port:
        rig.api("xy", port, version="1.0.0")
        assert (await rig.client.get("/me/xy/")).headers["deprecation"] == "@1, @2"
        yield rig


class TestInPlaceOfTheApisOwn:
    @pytest.mark.parametrize(("headers", "short"), [({}, True), (LONG, False)], ids=["short", "long"])
    async def test_what_is_declared_of_a_version_goes_before_what_it_says_itself(
        self, old: Rig, ways: list[bool], headers: dict[str, str], short: bool
    ) -> None:
        deprecate(old)
        for _ in range(3):  # the third answer's head is known
            answer = await old.client.get("/me/xy/", headers=headers)
            assert answer.headers.get_list("deprecation") == [TOLD["deprecation"]]
            assert answer.headers.get_list("sunset") == ["Mon, 01 Jan 2024 00:00:00 GMT"]  # none is declared
            assert answer.headers.get_list("link") == ['</own>; rel="next"', '</me/xy@1.1.0/>; rel="successor-version"']
        assert ways == [short] * 3
        deprecate(old, sunset_at=SUNSET_AT)
        answer = await old.client.get("/me/xy/", headers=LONG)
        assert answer.headers.get_list("sunset") == [TOLD["sunset"]]

    async def test_an_answer_that_is_kept_too(self, rig: Rig) -> None:
        fresh = OWN.replace(b"date: Mon, 01 Jan 2024 00:00:00 GMT\r\n", b"")
        async with raw_server(answering(fresh)) as port:
            rig.api("xy", port, version="1.0.0", cache_ttl_s=60)
            deprecate(rig)
            for _ in range(2):
                answer = await rig.client.get("/me/xy/")
                assert answer.headers.get_list("deprecation") == [TOLD["deprecation"]]
            assert answer.headers["cache-status"].startswith("apimarket; hit")


class TestByHost:
    @pytest.mark.parametrize("headers", [{}, LONG], ids=["short", "long"])
    @pytest.mark.parametrize("name", ["xy.localhost", "xy.me.localhost"])
    async def test_the_successor_is_on_the_servers_own_host(self, old: Rig, headers: dict[str, str], name: str) -> None:
        deprecate(old)
        host = {"host": f"{name}:{old.port}"}
        for _ in range(2):
            answer = await old.client.get("/", headers=host | headers)
            link = answer.headers.get_list("link")[-1]
            assert link == f'<//localhost:{old.port}/me/xy@1.1.0/>; rel="successor-version"'
        old.api("xy", _port_of(old), generation=2, version="1.1.0")
        target = link[1 : link.index(">")]
        answer = await old.client.get(f"http:{target}")
        assert answer.headers["x-apimarket-version"] == "1.1.0"

    async def test_without_a_successor_there_is_no_link(self, old: Rig) -> None:
        deprecate(old, successor=None)
        answer = await old.client.get("/", headers={"host": f"xy.localhost:{old.port}"})
        assert answer.headers.get_list("link") == ['</own>; rel="next"']
        assert answer.headers["deprecation"] == TOLD["deprecation"]

    async def test_a_websocket_is_told_the_same(self, rig: Rig) -> None:
        async def own(connection: Any, request: Any, response: Any) -> None:
            response.headers["Deprecation"] = "@1"

        async with serve(lambda connection: connection.wait_closed(), "127.0.0.1", 0, process_response=own) as server:
            rig.api("xy", server.sockets[0].getsockname()[1], version="1.0.0")
            deprecate(rig)
            async with connect(f"ws://xy.localhost:{rig.port}/", host="127.0.0.1") as socket:
                assert socket.response is not None
                assert socket.response.headers.get_all("deprecation") == [TOLD["deprecation"]]
                assert f"<//localhost:{rig.port}/me/xy@1.1.0/>" in socket.response.headers["link"]


def _port_of(rig: Rig) -> int:
    entry = rig.gateway.routing.lookup(ApiId("me/xy"), "1.0.0")
    assert entry is not None
    assert entry.lane is not None
    return entry.lane.address[1]
