"""Live figures of what several gateways carry."""

import json
from collections.abc import Sequence

from local_server.analytics.traffic import TrafficWindows
from local_server.domain.events import Event, TrafficCounted
from local_server.domain.executions import CallOutcome, Execution
from local_server.domain.traffic import SILENCE
from local_server.events.pg_bus import MOST_BYTES, PgBus
from local_server.roles.figures import FigureTeller
from tests.analytics.test_traffic import Clock
from tests.storage.factories import an_api, an_execution

APIS = [an_api(number) for number in range(1, 101)]


def told(executions: Sequence[Execution]) -> list[Event]:
    events: list[Event] = []
    teller = FigureTeller(events.append)
    for half in (executions[::2], executions[1::2]):
        teller.record(half)
    teller.tell()
    teller.tell()
    return events


def test_what_was_told_looks_like_what_was_carried_here() -> None:
    outcomes = [CallOutcome.OK, CallOutcome.OK, CallOutcome.UPSTREAM_FAILED, CallOutcome.REFUSED, CallOutcome.ABORTED]
    executions = [
        an_execution(api, number, outcome=outcome, total_us=1000 * number)
        for api in APIS
        for number, outcome in enumerate(outcomes, 1)
    ]
    clock = Clock()
    here, there = TrafficWindows(clock), TrafficWindows(clock)
    here.record(executions)
    for event in told(executions):
        assert isinstance(event, TrafficCounted)
        for api_id, counted in event.apis.items():
            there.add(api_id, counted)
    for seconds in (0, 30, 31):
        clock.forward(seconds)
        assert [there.view(api.id) for api in APIS] == [here.view(api.id) for api in APIS]
    assert there.view(APIS[0].id) == SILENCE


def test_nothing_told_is_too_much_for_its_way() -> None:
    """However many APIs were called, and however differently long they took."""
    executions = [an_execution(api, number, total_us=2 ** (number % 40)) for api in APIS for number in range(200)]
    bus = PgBus("")
    for event in told(executions):
        payload = bus.tell(event)
        assert payload is not None
        assert len(payload[1]) < MOST_BYTES
        assert json.loads(payload[1])[1] == "TrafficCounted"


def test_silence_is_not_told() -> None:
    assert told([]) == []
