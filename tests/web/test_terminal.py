"""A page and its process: what passes between them, and that neither outlives the other."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from local_server.client.discovery import alive
from local_server.web import terminal
from tests.gateway.conftest import until

from .conftest import House


@contextlib.asynccontextmanager
async def page(house: House, cookie: str, query: str = "?width=100&height=30") -> AsyncIterator[ClientConnection]:
    url, origin = f"ws://127.0.0.1:{house.port}/-/terminal{query}", Origin(f"http://127.0.0.1:{house.port}")
    async with connect(url, origin=origin, additional_headers={"cookie": cookie}, proxy=None) as opened:
        yield opened


async def say(opened: ClientConnection, *said: Any) -> None:
    await opened.send(json.dumps(said))


async def hear(opened: ClientConnection) -> str:
    heard = await asyncio.wait_for(opened.recv(), 20)
    return heard if isinstance(heard, str) else heard.decode()


async def process_of(opened: ClientConnection) -> int:
    assert await hear(opened) == "100x30"
    return int((await hear(opened)).removeprefix("pid "))


class TestTalk:
    async def test_keys_sizes_and_looks_reach_it_and_what_it_draws_comes_back(self, house: House) -> None:
        async with page(house, await house.enter()) as opened:
            await process_of(opened)
            await say(opened, "stdin", "äq")
            assert await hear(opened) == "typed äq"
            await say(opened, "resize", {"width": 120, "height": 40})
            assert json.loads((await hear(opened))[5:]) == {"type": "resize", "width": 120, "height": 40}
            await say(opened, "blur")
            assert json.loads((await hear(opened))[5:]) == {"type": "blur"}
            await say(opened, "ping", "7")
            assert json.loads(await hear(opened)) == ["pong", "7"]

    @pytest.mark.parametrize("query", ["", "?width=0&height=-3", "?width=x&height=1e9", "?width=99999999&height=5000"])
    async def test_a_size_that_is_none_is_an_ordinary_terminals(self, house: House, query: str) -> None:
        async with page(house, await house.enter(), query) as opened:
            assert await hear(opened) == "80x24"

    async def test_what_is_none_of_ours_is_passed_over(self, house: House) -> None:
        async with page(house, await house.enter()) as opened:
            await process_of(opened)
            for text in ("", "{", "[]", "[1]", '["quit"]', '["resize", {"width": 1e6, "height": null}]', '["stdin"]'):
                await opened.send(text)
            await say(opened, "stdin", "on")
            heard = await hear(opened)
            while heard != "typed on":
                assert heard.startswith("typed")
                heard = await hear(opened)

    async def test_addresses_of_the_web_are_opened_and_no_others(self, house: House) -> None:
        async with page(house, await house.enter()) as opened:
            await process_of(opened)
            for url in ("javascript:alert(1)", "file:///etc/passwd", "data:text/html,x", "http://127.0.0.1:8080/me/x/"):
                await say(opened, "stdin", f"open {url}")
            heard = json.loads(await hear(opened))
            assert heard == ["open_url", {"url": "http://127.0.0.1:8080/me/x/", "new_tab": True}]


class TestEnd:
    async def test_a_page_that_closes_ends_its_process(self, house: House) -> None:
        async with page(house, await house.enter()) as opened:
            pid = await process_of(opened)
        await until(lambda: not alive(pid))

    async def test_one_that_does_not_end_is_killed(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("STAYS", "1")
        monkeypatch.setattr(terminal, "QUIT_S", 0.2)
        async with page(house, await house.enter()) as opened:
            pid = await process_of(opened)
        await until(lambda: not alive(pid))

    async def test_why_it_broke_stands_on_the_page(self, house: House) -> None:
        async with page(house, await house.enter()) as opened:
            await process_of(opened)
            await say(opened, "stdin", "crash")
            assert (await hear(opened)).endswith("it broke[2J at line 7")  # without its control character
            with pytest.raises(ConnectionClosed):
                await hear(opened)

    async def test_no_more_pages_than_allowed(self, house: House) -> None:
        cookie = await house.enter()
        async with page(house, cookie) as first, page(house, cookie) as second:
            await process_of(first)
            await process_of(second)
            answer = await house.client.get("/-/", headers={"cookie": cookie})
            assert (answer.status_code, answer.json()["code"]) == (503, "too_many_pages")
            assert "Close one" in answer.json()["hint"]
            with pytest.raises(InvalidStatus) as refused:
                async with page(house, cookie):
                    pass
            assert refused.value.response.status_code == 503

        async def free() -> bool:
            return (await house.client.get("/-/", headers={"cookie": cookie})).status_code == 200

        async with asyncio.timeout(20):
            while not await free():
                await asyncio.sleep(0.01)
