"""W3C trace context through the gateway, on both ways."""

from __future__ import annotations

import re

import pytest

from local_server.gateway.request_head import read_head
from local_server.gateway.trace_context import carry_on

from .conftest import Rig

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
REQUEST = "01a21613-8078-7ff2-ad43-a28a99387fd8"
OURS = REQUEST.replace("-", "")


def passed(*headers: tuple[str, str]) -> tuple[str, dict[str, list[str]]]:
    """The trace's id, and what the API is told."""
    head = read_head([(name.encode(), value.encode("latin-1")) for name, value in headers])
    trace_id, traceparent = carry_on(head, head.traceparent, REQUEST) if head.traceparents else ("", b"")
    told = {"traceparent": [traceparent.decode()]} if traceparent else {}
    for at in range(0, len(head.lines), 4):
        told.setdefault(head.lines[at].decode(), []).append(head.lines[at + 2].decode("latin-1"))
    return trace_id, told


class TestRules:
    @pytest.mark.parametrize(
        ("given", "flags"),
        [
            (f"00-{TRACE}-{SPAN}-01", "01"),
            (f"00-{TRACE}-{SPAN}-00", "00"),
            (f"00-{TRACE}-{SPAN}-03", "03"),
            (f"00-{TRACE}-{SPAN}-ff", "03"),
            (f" 00-{TRACE}-{SPAN}-01\t", "01"),
            (f"01-{TRACE}-{SPAN}-01", "01"),
            (f"cc-{TRACE}-{SPAN}-09-what-the-future-will-be", "01"),
        ],
    )
    def test_a_valid_one_goes_on_under_our_span(self, given: str, flags: str) -> None:
        trace_id, told = passed(("traceparent", given), ("tracestate", "a=1"), ("tracestate", "b=2"))
        assert trace_id == TRACE
        assert told == {"traceparent": [f"00-{TRACE}-{OURS[16:]}-{flags}"], "tracestate": ["a=1", "b=2"]}

    @pytest.mark.parametrize(
        "given",
        [
            "",
            "nonsense",
            f"ff-{TRACE}-{SPAN}-01",
            f"00-{'0' * 32}-{SPAN}-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"00-{TRACE.upper()}-{SPAN}-01",
            f"00-{TRACE}-{SPAN}-01-more",
            f"00-{TRACE}-{SPAN}-1",
            f"00-{TRACE}-{SPAN}",
            f"0-{TRACE}-{SPAN}-01",
            f"01-{TRACE}-{SPAN}-01.more",
            f"00-{TRACE}-{SPAN}-01, 00-{TRACE}-{SPAN}-01",
        ],
    )
    def test_one_that_is_not_is_replaced_and_its_state_ends(self, given: str) -> None:
        trace_id, told = passed(("traceparent", given), ("tracestate", "a=1"), ("x-own", "1"))
        assert trace_id == OURS
        assert told == {"traceparent": [f"00-{OURS}-{OURS[16:]}-01"], "x-own": ["1"]}

    def test_so_are_two(self) -> None:
        valid = ("traceparent", f"00-{TRACE}-{SPAN}-01")
        trace_id, told = passed(valid, valid, ("tracestate", "a=1"))
        assert (trace_id, set(told)) == (OURS, {"traceparent"})

    def test_connection_cannot_take_it_away_and_leave_its_state(self) -> None:
        _, told = passed(("connection", "traceparent"), ("traceparent", f"00-{TRACE}-{SPAN}-01"), ("tracestate", "a=1"))
        assert told in ({}, {"tracestate": ["a=1"]})


class TestOnTheWay:
    async def test_the_api_sees_the_trace_and_another_span_by_both_ways(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", echo_port)
        await rig.client.get("/me/x/")
        spans = set()
        for more in ({}, {"sec-fetch-site": "none"}):
            headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "a=1"} | more
            answer = await rig.client.get("/me/x/", headers=headers)
            match = re.fullmatch(rf"00-{TRACE}-([0-9a-f]{{16}})-01", answer.headers["x-saw-traceparent"])
            assert match is not None
            assert answer.headers["x-request-id"].replace("-", "").endswith(match[1])
            assert answer.headers["x-saw-tracestate"] == "a=1"
            spans.add(match[1])
        assert len(spans) == 2
        assert SPAN not in spans

    async def test_where_there_is_none_none_is_begun(self, rig: Rig, echo_port: int) -> None:
        rig.api("x", echo_port)
        for _ in range(2):
            assert "x-saw-traceparent" not in (await rig.client.get("/me/x/")).headers
