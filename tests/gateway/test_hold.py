"""Requests to an API that is not ready."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from local_server.domain.executions import CallOutcome
from local_server.domain.ids import ApiId
from local_server.gateway import hold

from .conftest import Rig, until


async def held(rig: Rig, api: str, count: int) -> None:
    """Wait until so many requests are held."""
    await until(lambda: rig.gateway._holds.held(ApiId(f"me/{api}")) == count)


def go(rig: Rig, port: int, slug: str = "x") -> None:
    rig.api(slug, port)


class TestStarting:
    async def test_released_the_instant_a_lane_arrives(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", None, availability="starting")
        loop = asyncio.get_running_loop()
        calls = [asyncio.create_task(rig.client.post("/me/x/", content=b"abc" * i)) for i in range(20)]
        await held(rig, "x", 20)
        began = loop.time()
        rig.api("x", echo_port)
        answers = await asyncio.gather(*calls)
        assert loop.time() - began < 1
        assert [answer.content for answer in answers] == [b"abc" * i for i in range(20)]
        assert all(record.held for record in rig.records)
        assert rig.gateway._holds.held(ApiId("me/x")) == 0

    @pytest.mark.parametrize("rig", [{"max_hold_s": 0.1}], indirect=True)
    async def test_refused_after_the_limit_with_retry_after(self, rig: Rig) -> None:
        rig.api("x", None, availability="starting")
        answer = await rig.client.get("/me/x/")
        assert (answer.status_code, answer.json()["code"]) == (503, "api_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        record = await rig.record()
        assert (record.outcome, record.generation, record.held) == (CallOutcome.UNAVAILABLE, 0, True)

    @pytest.mark.parametrize("rig", [{"max_hold_s": 0.3}], indirect=True)
    async def test_changes_that_bring_no_lane_do_not_prolong_the_wait(self, rig: Rig) -> None:
        rig.api("x", None, availability="starting")
        call = asyncio.create_task(rig.client.get("/me/x/"))
        began = asyncio.get_running_loop().time()
        while not call.done():
            await asyncio.sleep(0.02)
            rig.api("x", None, availability="starting", detail="installing")
        assert (await call).status_code == 503
        assert 0.25 < asyncio.get_running_loop().time() - began < 1

    async def test_failure_meanwhile_lets_go_at_once(self, rig: Rig) -> None:
        rig.api("x", None, availability="starting")
        call = asyncio.create_task(rig.client.get("/me/x/"))
        await held(rig, "x", 1)
        rig.api("x", None, availability="failed", detail="SyntaxError: invalid syntax (app.py:12)")
        answer = await asyncio.wait_for(call, 1)
        assert answer.status_code == 503
        assert "app.py:12" in answer.json()["detail"]

    async def test_removal_meanwhile_is_a_404(self, rig: Rig) -> None:
        rig.api("x", None, availability="starting")
        call = asyncio.create_task(rig.client.get("/me/x/"))
        await held(rig, "x", 1)
        rig.gateway.routing.forget(ApiId("me/x"))
        assert (await asyncio.wait_for(call, 1)).status_code == 404

    async def test_the_101st_is_refused(self, rig: Rig, echo_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hold, "MAX_HELD", 10)
        rig.api("x", None, availability="starting")
        rig.api("other", None, availability="starting")
        calls = [asyncio.create_task(rig.client.get("/me/x/")) for _ in range(10)]
        await held(rig, "x", 10)
        assert (await rig.client.get("/me/x/")).status_code == 503
        other = asyncio.create_task(rig.client.get("/me/other/"))
        await held(rig, "other", 1)  # the limit is per API
        rig.api("x", echo_port)
        rig.api("other", echo_port)
        assert {(await call).status_code for call in [*calls, other]} == {200}

    async def test_more_bytes_than_the_limit_are_refused(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", None, availability="starting")
        first = asyncio.create_task(rig.client.post("/me/x/", content=b"a" * 5 * 1024 * 1024))
        await held(rig, "x", 1)
        answer = await rig.client.post("/me/x/", content=b"b" * 5 * 1024 * 1024)
        assert answer.status_code == 503
        assert rig.gateway._holds.held(ApiId("me/x")) == 1
        rig.api("x", echo_port)
        assert len((await first).content) == 5 * 1024 * 1024

    async def test_a_client_that_gives_up_is_forgotten_at_once(self, rig: Rig) -> None:
        rig.api("x", None, availability="starting")
        _, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        head = f"POST /me/x/ HTTP/1.1\r\nhost: localhost:{rig.port}\r\ncontent-length: 10\r\n\r\n12345"
        writer.write(head.encode())
        await held(rig, "x", 1)
        writer.close()
        await held(rig, "x", 0)
        assert (await rig.record()).outcome == CallOutcome.ABORTED


class TestNotServing:
    @pytest.mark.parametrize("availability", ["stopped", "failed"])
    async def test_refused_at_once_with_the_reason(self, rig: Rig, availability: Any) -> None:
        rig.api("x", None, availability=availability, detail="the reason")
        answer = await asyncio.wait_for(rig.client.get("/me/x/"), 1)
        assert (answer.status_code, answer.json()["code"]) == (503, "api_unavailable")
        assert "the reason" in answer.json()["detail"]
        assert "apimarket" in answer.json()["hint"]
        assert "retry-after" in answer.headers
        assert (await rig.record()).held is False
