"""What latencies are made of."""

from local_server.analytics.meter import ApiMeter
from local_server.domain.executions import CallOutcome, Execution, answer_times_us
from local_server.domain.traffic import counted_by_api
from local_server.domain.usage import Tally
from tests.storage.factories import an_api, an_execution

API = an_api()


def a_mixture() -> list[Execution]:
    websocket = an_execution(API, 1, total_us=3_600_000_000)._replace(status=101)
    refused = an_execution(API, 2, outcome=CallOutcome.REFUSED, total_us=80)
    unavailable = an_execution(API, 3, outcome=CallOutcome.UNAVAILABLE, total_us=90)
    return [websocket, refused, unavailable, an_execution(API, 4, total_us=20), an_execution(API, 5, total_us=30)]


def test_a_websocket_and_what_the_gateway_answered_are_no_answer_times() -> None:
    assert answer_times_us(a_mixture()) == [20, 30]


def test_all_that_count_agree_and_count_the_requests_themselves() -> None:
    rows, meter = a_mixture(), ApiMeter()
    meter.count(rows)
    tally, counted = Tally.of(rows), counted_by_api(rows)[API.id]
    assert tally.latencies == counted.latencies == {20: 1, 30: 1}
    assert (tally.total_us, meter.total_us, sum(meter.buckets)) == (50, 50, 2)
    assert tally.requests == counted.requests == sum(meter.classes.values()) == 5
