"""A gateway whose limits are counted elsewhere: which way calls go, and what they are told."""

import asyncio
from typing import Any

import pytest

from local_server.domain.account_errors import RateLimited
from local_server.domain.manifest import RateLimit
from local_server.gateway.limits import Subject, Verdict
from local_server.gateway.shared_limits import CounterFailed
from tests.gateway.conftest import Rig


class Elsewhere:
    """A counter that says what the test says."""

    place, trouble = "elsewhere:6379", ""

    def __init__(self, *verdicts: Verdict | CounterFailed) -> None:
        self.verdicts = list(verdicts)
        self.asked: list[Subject] = []

    async def admit(self, subject: Subject, limit: RateLimit) -> Verdict:
        self.asked.append(subject)
        await asyncio.sleep(0)
        answer = self.verdicts.pop(0)
        if isinstance(answer, CounterFailed):
            raise answer
        return answer


class TestWays:
    LIMIT = RateLimit(5, 60)

    async def test_a_call_with_a_limit_asks_once_and_waits_on_the_long_way(
        self, rig: Rig, echo_port: int, ways: list[bool]
    ) -> None:
        rig.api("hello", echo_port, rate_limit=self.LIMIT)
        elsewhere = Elsewhere(
            *(Verdict(self.LIMIT, True, left, 7) for left in (4, 3)), Verdict(self.LIMIT, False, 0, 9)
        )
        rig.gateway.callers.share_limits(elsewhere)
        answers = [await rig.client.get("/me/hello/") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert [answer.headers["ratelimit"] for answer in answers] == [
            '"caller";r=4;t=7',
            '"caller";r=3;t=7',
            '"caller";r=0;t=9',
        ]
        assert answers[2].json()["code"] == RateLimited.code
        assert elsewhere.asked == [("me/hello", "address 127.0.0.1")] * 3
        assert ways == [False] * 3
        assert len(rig.records) == 3

    async def test_one_without_a_limit_asks_nobody(self, rig: Rig, echo_port: int, ways: list[bool]) -> None:
        rig.api("hello", echo_port)
        elsewhere = Elsewhere()
        rig.gateway.callers.share_limits(elsewhere)
        assert [(await rig.client.get("/me/hello/")).status_code for _ in range(2)] == [200, 200]
        assert not elsewhere.asked
        assert ways == [False, True], "the first opens a connection"

    async def test_while_it_is_left_alone_calls_go_the_short_way(
        self, rig: Rig, echo_port: int, ways: list[bool]
    ) -> None:
        rig.api("hello", echo_port, rate_limit=RateLimit(2, 60))
        elsewhere = Elsewhere()
        elsewhere.trouble = "cannot be reached"
        shared = rig.gateway.callers.share_limits(elsewhere)
        assert [(await rig.client.get("/me/hello/")).status_code for _ in range(3)] == [200, 200, 429]
        assert ways == [False, True, True]
        assert shared.fallbacks["resting"] == 3

    @pytest.mark.parametrize("reason", ["timeout", "unreachable", "refused"])
    async def test_a_counter_that_fails_refuses_nobody(self, rig: Rig, echo_port: int, reason: Any) -> None:
        rig.api("hello", echo_port, rate_limit=RateLimit(2, 60))
        shared = rig.gateway.callers.share_limits(Elsewhere(*(CounterFailed(reason) for _ in range(3))))
        assert [(await rig.client.get("/me/hello/")).status_code for _ in range(3)] == [200, 200, 429]
        assert shared.fallbacks[reason] == 3
