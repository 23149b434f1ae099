"""The entries that requests leave."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from local_server.domain.executions import CallOutcome, Execution
from local_server.domain.ids import ApiId
from local_server.gateway.access_log import Trace
from local_server.gateway.books import Books

NOW = datetime(2026, 3, 14, tzinfo=UTC)


def a_trace(name: str, outcome: CallOutcome = CallOutcome.OK, generation: int = 1) -> Trace:
    trace = Trace(name, ApiId("api"), "GET", b"/", NOW, 0.0)
    trace.outcome, trace.generation = outcome, generation
    return trace


class Told:
    """Who is told what."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.refunded: list[Any] = []
        self.kept: list[tuple[Any, str]] = []
        self.books = Books(self._record, self.refunded.append, self._keep)

    def _record(self, executions: Sequence[Execution]) -> None:
        self.batches.append([each.id for each in executions])

    def _keep(self, capture: Any, execution: Execution) -> None:
        self.kept.append((capture, execution.id))


async def test_what_ends_in_one_turn_is_entered_together_and_in_order() -> None:
    told = Told()
    for name in "abc":
        told.books.enter(a_trace(name))
    assert told.batches == []  # until what waits to be written has been
    await asyncio.sleep(0)
    told.books.enter(a_trace("d"))
    await asyncio.sleep(0)
    assert told.batches == [["a", "b", "c"], ["d"]]


async def test_nothing_is_lost_at_the_end_and_nothing_is_entered_twice() -> None:
    told = Told()
    told.books.enter(a_trace("a"))
    told.books.post()
    told.books.post()
    await asyncio.sleep(0)
    assert told.batches == [["a"]]


async def test_what_cost_nothing_goes_back_to_where_it_was_spent_from() -> None:
    told = Told()
    spent: list[Any] = [object() for _ in range(3)]
    outcomes = [(CallOutcome.OK, 1), (CallOutcome.UPSTREAM_FAILED, 1), (CallOutcome.SERVER_ERROR, 1)]
    for purse, (outcome, generation) in zip(spent, outcomes, strict=True):
        trace = a_trace("a", outcome, generation)
        trace.purse = purse
        told.books.enter(trace)
    told.books.post()
    assert told.refunded == spent[1:]


async def test_an_exchange_is_kept_with_its_row() -> None:
    told = Told()
    trace, capture = a_trace("a"), object()
    trace.capture = capture  # type: ignore[assignment]
    told.books.enter(trace)
    told.books.enter(a_trace("b"))
    told.books.post()
    assert told.kept == [(capture, "a")]
