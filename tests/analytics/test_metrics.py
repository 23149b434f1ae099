"""What a collector gets: counted right, and written in the grammar of the text format."""

import asyncio
import re

from local_server.analytics.exposition import Family, exposition
from local_server.analytics.meter import BOUNDS_S, Meter
from local_server.domain.deployments import Outcome
from local_server.domain.events import ApiChanged, GenerationFinished
from local_server.domain.executions import CallOutcome
from local_server.events.bus import Bus
from tests.storage.factories import a_generation, an_api, an_execution

API, OTHER = an_api(1), an_api(2)
_SAMPLE = re.compile(
    r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)"
    r'(?:\{(?P<labels>[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
    r'(?:,[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*")*)\})?'
    r" (?P<value>[0-9.e+-]+|NaN|[+-]Inf)"
)


def parsed(text: str) -> dict[str, float]:
    """Samples by name and labels as written. Fails where the text is not in the grammar: a TYPE before a metric's
    samples, all of them together, no sample twice, a newline at the end."""
    assert text.endswith("\n")
    samples: dict[str, float] = {}
    family = ""
    seen = set()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            continue
        if match := re.fullmatch(r"# TYPE (\S+) (counter|gauge|histogram)", line):
            family = match[1]
            assert family not in seen
            seen.add(family)
            continue
        match = _SAMPLE.fullmatch(line)
        assert match, line
        assert match["name"].removeprefix(family) in ("", "_bucket", "_sum", "_count"), line
        key = line.rpartition(" ")[0]
        assert key not in samples
        samples[key] = float(match["value"])
    return samples


class TestText:
    def test_labels_are_escaped(self) -> None:
        text = exposition([Family("a_total", "counter", "One\nof \\ them.").add(3, api='x"y\\z\nn')])
        assert text == '# HELP a_total One\\nof \\\\ them.\n# TYPE a_total counter\na_total{api="x\\"y\\\\z\\nn"} 3\n'
        assert list(parsed(text).values()) == [3]

    def test_counts_of_any_size_are_exact(self) -> None:
        assert Family("a", "gauge", "A.").add(2**53 - 1).text().endswith("\na 9007199254740991\n")
        assert Family("a", "gauge", "A.").add(0.25).text().endswith("\na 0.25\n")

    def test_a_histogram_is_cumulative(self) -> None:
        text = Family("s", "histogram", "S.").add_histogram((0.5, 1.0), [3, 0, 2], 7.5, api="x").text()
        assert parsed(text) == {
            's_bucket{api="x",le="0.5"}': 3,
            's_bucket{api="x",le="1"}': 3,
            's_bucket{api="x",le="+Inf"}': 5,
            's_sum{api="x"}': 7.5,
            's_count{api="x"}': 5,
        }

    def test_a_family_without_samples_is_in_the_grammar(self) -> None:
        assert parsed(exposition([Family("a", "gauge", "A.")])) == {}


class TestMeter:
    async def test_counts_by_class_and_duration(self) -> None:
        meter = Meter()
        rows = [an_execution(API, number, total_us=us) for number, us in enumerate([0, 1000, 1001, 30_000_001])]
        rows += [an_execution(API, 9, status=429, outcome=CallOutcome.REFUSED, total_us=5)]
        await meter.take(rows)
        counted = meter.of([API.id])[API.id]
        assert counted.classes == {"2xx": 4, "4xx": 1}
        assert counted.buckets == [2, 1, *[0] * (len(BOUNDS_S) - 2), 1]
        assert counted.total_us == 30_002_002

    async def test_forgets_apis_that_are_gone(self) -> None:
        meter = Meter()
        await meter.take([an_execution(API, 1), an_execution(OTHER, 2)])
        assert set(meter.of([OTHER.id])) == {OTHER.id}
        assert set(meter.of([API.id, OTHER.id])) == {OTHER.id}

    async def test_counts_what_became_of_saves(self) -> None:
        meter, bus = Meter(), Bus()
        following = asyncio.create_task(meter.follow(bus))
        await asyncio.sleep(0)
        for outcome in (Outcome.SERVING, Outcome.FAILED, Outcome.SERVING):
            bus.publish(GenerationFinished(API.id, a_generation(API, 1, outcome=outcome)))
        bus.publish(ApiChanged(API.id))
        async with asyncio.timeout(5):
            while meter.generations.total() < 3:
                await asyncio.sleep(0)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        assert meter.generations == {"serving": 2, "failed": 1}
