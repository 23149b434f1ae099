"""A generation that runs several times: which replica a request goes on, and what becomes of it when that one ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import websockets

from local_server.domain.ids import ApiId
from local_server.domain.routing import Route
from local_server.gateway import admission
from local_server.gateway import replicas as gateway_replicas
from local_server.gateway.breaker import FAILURES, REST_S
from local_server.gateway.lane import Lane

from .conftest import Rig, raw_server, serving, until
from .test_failures import closed_port

Address = tuple[str, int]


def at(port: int) -> Address:
    return "127.0.0.1", port


class Program:
    """Answers every request with its name; may be told to keep one waiting, or to break it off."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.breaks = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")), 0)
            await reader.readexactly(length)
            self.asked += 1
            await self.may_answer.wait()
            if self.breaks:
                return
            body = self.name.encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))


@contextlib.asynccontextmanager
async def running(*programs: Program) -> AsyncIterator[list[int]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(raw_server(program.serve)) for program in programs]


def spread(rig: Rig, *ports: int, **fields: Any) -> Lane:
    """An API with a replica on each port."""
    route = Route(ApiId("me/x"), "me", "x", "serving", **{"auth": "none", **fields})
    routing = rig.gateway.routing
    lane = routing.open(route.api_id, 1, "d", at(ports[0]), several=True)
    routing.spread(lane, [at(port) for port in ports])
    routing.route(route, lane)
    return lane


async def names(rig: Rig, count: int, method: str = "GET") -> list[str]:
    answers = [await rig.client.request(method, "/me/x/") for _ in range(count)]
    assert {answer.status_code for answer in answers} == {200}
    return [answer.text for answer in answers]


class TestChoice:
    async def test_in_turn_when_none_is_busy_on_both_ways(self, rig: Rig, ways: list[bool]) -> None:
        async with running(Program("a"), Program("b"), Program("c")) as ports:
            spread(rig, *ports)
            assert Counter(await names(rig, 30)) == {"a": 10, "b": 10, "c": 10}
        assert True in ways
        assert False in ways

    async def test_the_one_with_the_fewest_under_way(self, rig: Rig) -> None:
        slow, quick = Program("slow"), Program("quick")
        async with running(slow, quick) as ports:
            spread(rig, *ports)
            slow.may_answer.clear()
            waiting = [asyncio.create_task(rig.client.get("/me/x/")) for _ in range(2)]
            await until(lambda: slow.asked == 1 and quick.asked == 1)
            assert set(await names(rig, 20)) == {"quick"}
            slow.may_answer.set()
            assert sorted([(await answer).text for answer in waiting]) == ["quick", "slow"]
            assert set(await names(rig, 4)) == {"slow", "quick"}

    async def test_one_that_joins_is_asked_from_then_on_and_one_that_goes_is_not(self, rig: Rig) -> None:
        async with running(Program("a"), Program("b")) as (a, b):
            lane = spread(rig, a)
            assert set(await names(rig, 5)) == {"a"}
            rig.gateway.routing.spread(lane, [at(a), at(b)])
            assert set(await names(rig, 6)) == {"a", "b"}
            rig.gateway.routing.spread(lane, [at(b)])
            assert set(await names(rig, 5)) == {"b"}
            assert lane.address == at(b)

    async def test_a_websocket_counts_as_one_under_way(self, rig: Rig) -> None:
        async def named(scope: Any, receive: Any, send: Any) -> None:
            assert scope["type"] == "websocket"
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": str(scope["server"][1])})
            await receive()

        async with serving(named) as a, serving(named) as b, contextlib.AsyncExitStack() as stack:
            spread(rig, a, b)
            url = f"ws://127.0.0.1:{rig.port}/me/x/"
            sockets = [await stack.enter_async_context(websockets.connect(url)) for _ in range(4)]
            assert Counter([await socket.recv() for socket in sockets]) == {str(a): 2, str(b): 2}


class TestEnd:
    async def test_a_get_that_is_broken_off_is_answered_by_another(self, rig: Rig) -> None:
        doomed, other = Program("doomed"), Program("other")
        async with running(doomed, other) as ports:
            spread(rig, *ports)
            await names(rig, 4)
            doomed.breaks = True
            assert set(await names(rig, 20)) == {"other"}
        assert all(record.status == 200 for record in rig.records)

    async def test_so_is_one_on_a_new_connection(self, rig: Rig) -> None:
        doomed, other = Program("doomed"), Program("other")
        doomed.breaks = True
        async with running(doomed, other) as ports:
            spread(rig, *ports)
            assert await names(rig, 1) == ["other"]
            assert doomed.asked == 1

    async def test_it_is_not_carried_to_all_of_them(self, rig: Rig) -> None:
        programs = [Program(name) for name in "abcd"]
        for program in programs:
            program.breaks = True
        async with running(*programs) as ports:
            spread(rig, *ports)
            assert (await rig.client.get("/me/x/")).status_code == 502
            assert sum(program.asked for program in programs) == 2

    async def test_a_post_that_went_out_is_not_sent_again(self, rig: Rig) -> None:
        doomed, other = Program("doomed"), Program("other")
        doomed.breaks = True
        async with running(doomed, other) as ports:
            spread(rig, *ports)
            answers = [(await rig.client.post("/me/x/", content=b"1")).status_code for _ in range(2)]
            assert sorted(answers) == [200, 502]
            assert (doomed.asked, other.asked) == (1, 1)

    async def test_what_takes_no_connection_is_passed_by_and_nobody_notices(self, rig: Rig) -> None:
        async with running(Program("a")) as (port,):
            spread(rig, closed_port(), port)
            assert set(await names(rig, 10, "POST")) == {"a"}

    async def test_one_that_goes_while_a_request_waits_hands_it_to_another(self, rig: Rig) -> None:
        hung, other = Program("hung"), Program("other")
        hung.may_answer.clear()
        async with running(hung, other) as (a, b):
            lane = spread(rig, a)
            waiting = asyncio.create_task(rig.client.get("/me/x/"))
            await until(lambda: hung.asked)
            rig.gateway.routing.spread(lane, [at(b)])
            assert (await waiting).text == "other"

    async def test_one_that_comes_while_none_takes_connections_is_asked(self, rig: Rig) -> None:
        async with running(Program("late")) as (port,):
            lane = spread(rig, closed_port())
            waiting = asyncio.create_task(rig.client.post("/me/x/"))
            await until(lambda: lane.in_flight == 0 and lane.breaker.failures)
            rig.gateway.routing.spread(lane, [at(port)])
            assert (await waiting).text == "late"

    async def test_draining_waits_for_those_under_way_on_all(self, rig: Rig) -> None:
        a, b = Program("a"), Program("b")
        a.may_answer.clear()
        b.may_answer.clear()
        async with running(a, b) as ports:
            lane = spread(rig, *ports)
            waiting = [asyncio.create_task(rig.client.get("/me/x/")) for _ in range(2)]
            await until(lambda: a.asked and b.asked)
            draining = asyncio.create_task(lane.drain(10))
            a.may_answer.set()
            await until(lambda: lane.in_flight == 1)
            assert not draining.done()
            b.may_answer.set()
            assert await draining
            assert {answer.text for answer in await asyncio.gather(*waiting)} == {"a", "b"}
            assert len(lane.pool) == 0


class TestCircuits:
    async def test_one_that_keeps_failing_is_left_alone_by_itself(
        self, rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(gateway_replicas, "PASSED_OVER_S", 0.0)
        gone = closed_port()
        async with running(Program("a")) as (port,):
            lane = spread(rig, gone, port)
            with caplog.at_level("WARNING", "apimarket.gateway"):
                assert set(await names(rig, FAILURES * 4, "POST")) == {"a"}
            assert lane.breaker.closed
            assert f"me/x, generation 1 at 127.0.0.1:{gone}, did not answer {FAILURES} requests" in caplog.text
            assert rig.gateway.routing.circuit(ApiId("me/x")) == "closed"

    async def test_where_all_fail_callers_are_refused_until_one_answers(
        self, rig: Rig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gateway_replicas, "PASSED_OVER_S", 0.0)
        monkeypatch.setattr(admission, "CRASH_GRACE_S", 0.0)
        programs = [Program("a"), Program("b")]
        for program in programs:
            program.breaks = True
        async with running(*programs) as ports:
            lane = spread(rig, *ports)
            statuses = [(await rig.client.post("/me/x/")).status_code for _ in range(FAILURES * 2)]
            assert set(statuses) == {502}
            refused = await rig.client.get("/me/x/")
            assert (refused.status_code, refused.json()["code"]) == (503, "circuit_open")
            assert int(refused.headers["retry-after"]) >= 1
            assert rig.gateway.routing.circuit(ApiId("me/x")) == "open"
            programs[1].breaks = False
            monkeypatch.setattr("local_server.gateway.breaker.REST_S", 0.0)
            programs[0].may_answer.clear()  # whoever asks it would wait
            programs[0].breaks = False
            answers = [asyncio.create_task(rig.client.get("/me/x/")) for _ in range(2)]
            await until(lambda: lane.breaker.closed)
            programs[0].may_answer.set()
            assert {answer.status_code for answer in await asyncio.gather(*answers)} <= {200, 503}
            assert (await rig.client.get("/me/x/")).status_code == 200

    async def test_one_that_was_tried_in_vain_rests_again(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        async with running(Program("a")) as (port,):
            lane = spread(rig, closed_port(), port)
            gone = lane.replicas.all[0]  # type: ignore[attr-defined]
            for _ in range(FAILURES):
                gone.failed(object(), "broke", -1000.0)
            assert gone.breaker.rest_s(asyncio.get_running_loop().time()) == 0
            assert set(await names(rig, 3)) == {"a"}
            assert gone.breaker.rest_s(asyncio.get_running_loop().time()) > REST_S / 2

    async def test_one_that_is_gone_is_not_complained_of(self, rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
        hung, other = Program("hung"), Program("other")
        hung.may_answer.clear()
        async with running(hung, other) as (a, b):
            lane = spread(rig, a)
            waiting = [asyncio.create_task(rig.client.get("/me/x/")) for _ in range(FAILURES + 1)]
            await until(lambda: hung.asked == len(waiting))
            with caplog.at_level("WARNING", "apimarket.gateway"):
                rig.gateway.routing.spread(lane, [at(b)])
                assert {answer.text for answer in await asyncio.gather(*waiting)} == {"other"}
            assert not caplog.records

    async def test_one_that_is_silent_is_told_as_that(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        hung = Program("hung")
        hung.may_answer.clear()
        async with running(hung) as (port,):
            lane = spread(rig, port, timeout_s=0.2)
            assert (await rig.client.get("/me/x/")).status_code == 504
            assert (lane.breaker.failures, lane.breaker.reason) == (1, gateway_replicas.SILENT)

    async def test_an_answer_that_goes_on_is_one_at_its_beginning(self, rig: Rig) -> None:
        """A stream may last for hours, and its replica is known to be there all the while."""

        async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n")
            await reader.read()

        async with raw_server(stream) as port:
            lane = spread(rig, port)
            for _ in range(FAILURES):
                lane.replicas.all[0].failed(object(), "broke", -1000.0)  # type: ignore[attr-defined]
            assert not lane.breaker.closed
            async with rig.client.stream("GET", "/me/x/") as answer:
                assert answer.status_code == 200
                assert lane.breaker.closed


async def test_nothing_fails_while_replicas_come_and_go(rig: Rig) -> None:
    """GETs on the short way and the long one, with a replica that ends in the middle of answers, again and again."""
    async with running(Program("steady")) as (steady,):
        lane = spread(rig, steady)
        over = asyncio.Event()

        async def call(client: httpx2.AsyncClient) -> Counter[int]:
            seen: Counter[int] = Counter()
            while not over.is_set():
                seen[(await client.get("/me/x/")).status_code] += 1
            return seen

        calls = [asyncio.create_task(call(rig.client)) for _ in range(8)]
        for number in range(20):
            async with running(Program(f"brief {number}")) as (brief,):
                rig.gateway.routing.spread(lane, [at(steady), at(brief)])
                done = len(rig.records)
                await until(lambda done=done: len(rig.records) > done + 20)  # type: ignore[misc]
            # It has ended; the executor hears of it a moment later.
            done = len(rig.records)
            await until(lambda done=done: len(rig.records) > done + 5)  # type: ignore[misc]
            rig.gateway.routing.spread(lane, [at(steady)])
        over.set()
        total = sum([await each for each in calls], Counter[int]())
    assert set(total) == {200}
