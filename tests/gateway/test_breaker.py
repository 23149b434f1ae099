"""The circuit breaker: what does not answer is left alone, and whoever asks is told so at once."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
import websockets
from websockets.exceptions import InvalidStatus

from local_server.domain.executions import CallOutcome
from local_server.domain.ids import ApiId
from local_server.gateway import admission, breaker
from local_server.gateway.breaker import FAILURES, REST_S, Breaker

from .conftest import Rig, raw_server, until
from .test_failures import closed_port

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
FAILED = b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"


class TestStates:
    def opened(self) -> Breaker:
        one = Breaker()
        for _ in range(FAILURES):
            one.failed(object(), "broke", 100.0)
        return one

    def test_five_failures_in_a_row_open_it(self) -> None:
        one = Breaker()
        for _ in range(FAILURES - 1):
            one.failed(object(), "broke", 0.0)
        one.succeeded()
        for _ in range(FAILURES - 1):
            one.failed(object(), "broke", 0.0)
        assert (one.state, one.wait_s("a", 0.0)) == ("closed", 0.0)
        one.failed(object(), "broke", 0.0)
        assert (one.state, one.wait_s("a", 0.0)) == ("open", REST_S)

    def test_after_a_rest_one_may_try(self) -> None:
        one = self.opened()
        assert one.wait_s("a", 104.0) == REST_S - 4
        assert one.wait_s("a", 110.0) == 0
        assert one.state == "half_open"
        assert one.wait_s("b", 110.0) == breaker.PROBED_S
        assert one.wait_s("a", 110.0) == 0  # it may try again, as one that is sent twice does

    def test_its_answer_closes_it(self) -> None:
        one = self.opened()
        one.wait_s("a", 110.0)
        one.succeeded()
        assert (one.state, one.failures, one.wait_s("b", 110.0)) == ("closed", 0, 0.0)

    def test_its_failure_begins_another_rest(self) -> None:
        one = self.opened()
        one.wait_s("a", 110.0)
        one.failed("a", "broke", 111.0)
        one.let_go("a")
        assert (one.state, one.wait_s("b", 112.0)) == ("open", REST_S - 1)

    def test_if_it_shows_nothing_the_next_one_tries(self) -> None:
        one = self.opened()
        one.wait_s("a", 110.0)
        one.let_go("a")
        assert one.wait_s("b", 110.0) == 0

    def test_late_failures_of_others_do_not_prolong_the_rest(self) -> None:
        one = self.opened()
        one.failed("late", "broke", 109.0)
        assert one.wait_s("a", 110.0) == 0

    def test_changes_are_told_once(self) -> None:
        told: list[str] = []
        one = Breaker()
        one.changed = lambda changed: told.append(changed.state)
        for _ in range(FAILURES + 3):
            one.failed(object(), "broke", 0.0)
        one.succeeded()
        one.succeeded()
        assert told == ["open", "closed"]


class Api:
    """Breaks off, answers, or is silent, as `does` says at the time."""

    def __init__(self) -> None:
        self.does: bytes | None = b""
        """None: nothing at all."""
        self.asked = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            if self.does is None:
                await reader.read()
            if not self.does:
                return
            writer.write(self.does)


async def statuses(rig: Rig, count: int, **more: Any) -> list[int]:
    return [(await rig.client.get("/me/x/", **more)).status_code for _ in range(count)]


class TestInTheGateway:
    async def test_it_opens_refuses_at_once_and_heals(
        self, rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        api = Api()
        async with raw_server(api) as port:
            rig.api("x", port)
            with caplog.at_level(logging.INFO, "apimarket.gateway"):
                assert await statuses(rig, FAILURES) == [502] * FAILURES
                asked = api.asked
                refused = await rig.client.get("/me/x/")
                assert (refused.status_code, refused.json()["code"]) == (503, "circuit_open")
                assert 1 <= int(refused.headers["retry-after"]) <= REST_S
                assert "me/x did not answer 5 requests in a row (it closed the connection)" in refused.json()["detail"]
                assert api.asked == asked
                assert rig.gateway.routing.circuit(ApiId("me/x")) == "open"
                assert (rig.records[-1].outcome, rig.records[-1].generation) == (CallOutcome.UNAVAILABLE, 0)
                monkeypatch.setattr(breaker, "REST_S", 0.0)
                assert await statuses(rig, 1) == [502]  # the one that tries
                api.does = OK
                assert await statuses(rig, 3) == [200] * 3
        assert rig.gateway.routing.circuit(ApiId("me/x")) == "closed"
        warned, told = [record.getMessage() for record in caplog.records]
        assert warned.startswith("me/x, generation 1, did not answer 5 requests in a row: it closed the connection.")
        assert told == "me/x, generation 1, answers again"

    async def test_an_answer_is_an_answer_whatever_it_says(self, rig: Rig) -> None:
        api = Api()
        api.does = FAILED
        async with raw_server(api) as port:
            rig.api("x", port)
            assert await statuses(rig, 3 * FAILURES) == [500] * (3 * FAILURES)

    async def test_silence_counts(self, rig: Rig) -> None:
        api = Api()
        api.does = None
        async with raw_server(api) as port:
            rig.api("x", port, timeout_s=0.05)
            assert await statuses(rig, FAILURES + 1) == [504] * FAILURES + [503]

    async def test_so_does_that_nobody_takes_the_connection(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(admission, "CRASH_GRACE_S", 0.0)
        rig.api("x", closed_port())
        assert await statuses(rig, FAILURES + 1) == [502] * FAILURES + [503]

    async def test_who_hangs_up_does_not(self, rig: Rig) -> None:
        api = Api()
        api.does = None
        async with raw_server(api) as port:
            lane = rig.api("x", port)
            assert lane is not None
            for number in range(FAILURES + 1):
                asking = asyncio.create_task(rig.client.get("/me/x/"))
                await until(lambda number=number: api.asked > number)
                asking.cancel()
            await until(lambda: len(rig.records) == FAILURES + 1)
            assert lane.breaker.failures == 0

    async def test_on_the_short_way_too(self, rig: Rig) -> None:
        api = Api()
        async with raw_server(api) as port:
            lane = rig.api("x", port, timeout_s=0.05)
            assert lane is not None
            for number in range(FAILURES):
                # The connection of an answer is what the next request goes on.
                api.does = OK
                lane.breaker.failures = number
                connection = await lane.pool.open()
                connection.uses, connection.complete, connection.request_done = 1, True, True
                lane.pool.put_back(connection)
                api.does = None
                assert await statuses(rig, 1) == [504]
                assert lane.breaker.failures == number + 1
            assert await statuses(rig, 1) == [503]

    async def test_a_websocket_too(self, rig: Rig) -> None:
        api = Api()
        async with raw_server(api) as port:
            rig.api("x", port)
            for status in [502] * FAILURES + [503]:
                with pytest.raises(InvalidStatus) as refused:
                    await websockets.connect(f"ws://127.0.0.1:{rig.port}/me/x/")
                assert refused.value.response.status_code == status

    async def test_a_new_generation_begins_closed(self, rig: Rig) -> None:
        bad, good = Api(), Api()
        good.does = OK
        async with raw_server(bad) as bad_port, raw_server(good) as good_port:
            rig.api("x", bad_port)
            assert (await statuses(rig, FAILURES + 1))[-1] == 503
            rig.api("x", good_port, generation=2)
            assert await statuses(rig, 1) == [200]

    async def test_other_apis_are_not_touched(self, rig: Rig, echo_port: int) -> None:
        async with raw_server(Api()) as port:
            rig.api("x", port)
            rig.api("y", echo_port)
            assert (await statuses(rig, FAILURES + 1))[-1] == 503
            assert (await rig.client.get("/me/y/")).status_code == 200

    async def test_what_is_kept_is_given_all_the_same(self, rig: Rig) -> None:
        api = Api()
        api.does = OK
        async with raw_server(api) as port:
            rig.api("x", port, cache_ttl_s=60)
            assert (await rig.client.get("/me/x/kept")).status_code == 200
            api.does = b""
            for _ in range(FAILURES):
                await rig.client.post("/me/x/", content=b"1")
            assert await statuses(rig, 1) == [503]
            assert (await rig.client.get("/me/x/kept")).text == "hi"

    async def test_one_request_tries_and_others_are_refused_meanwhile(
        self, rig: Rig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        api = Api()
        async with raw_server(api) as port:
            rig.api("x", port)
            await statuses(rig, FAILURES)
            monkeypatch.setattr(breaker, "REST_S", 0.0)
            api.does, api.asked = None, 0
            asking = [asyncio.create_task(rig.client.get("/me/x/")) for _ in range(20)]
            await until(lambda: sum(task.done() for task in asking) == 19)
            assert api.asked == 1
            assert rig.gateway.routing.circuit(ApiId("me/x")) == "half_open"
            assert {task.result().status_code for task in asking if task.done()} == {503}
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
