"""The script in Redis decides as the window in memory does, call by call."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from local_server.domain.manifest import RateLimit
from local_server.gateway.limits import Limits
from local_server.limiter.script import SOURCE
from tests.limiter.redis_server import RedisServer

pytestmark = pytest.mark.redis

_CLOCK = "redis.call('TIME')"
ME = ("api", "key 1")
numbers = itertools.count()


class At:
    """The script, at times that the test says."""

    def __init__(self, server: RedisServer) -> None:
        assert SOURCE.count(_CLOCK) == 1
        self._redis = Redis.from_url(server.url)
        self._script = self._redis.register_script(SOURCE.replace(_CLOCK, "{ARGV[3], ARGV[4]}"))

    def admit(self, key: str, limit: RateLimit, at_s: float) -> tuple[bool, int, int]:
        seconds, rest = divmod(at_s, 1)
        asked = (limit.requests, limit.window_s, int(seconds), int(rest * 1_000_000))
        admitted, remaining, reset_s = self._script([key], asked)
        return bool(admitted), remaining, reset_s

    def close(self) -> None:
        self._redis.close()


@pytest.fixture
def script(redis_server: RedisServer):
    script = At(redis_server)
    yield script
    script.close()


# What is shared between examples is one script and one server, and each example has a key of its own.
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=3),
    st.sampled_from([60, 3600]),
    # Sixty-fourths: their sums are exact, and so is which window a call is in.
    st.lists(st.tuples(st.integers(0, 160).map(lambda part: part / 64), st.integers(1, 60)), max_size=12),
)
def test_it_decides_as_the_window_in_memory(
    script: At, requests: list[int], window_s: int, bursts: list[tuple[float, int]]
) -> None:
    """Also where the number of calls is changed on the way."""
    limits, key, now_s = Limits(), f"example {next(numbers)}", 1_800_000_000.0
    for (pause, tries), number in zip(bursts, itertools.cycle(requests)):
        now_s += pause * window_s
        limit = RateLimit(number, window_s)
        for _ in range(tries):
            assert script.admit(key, limit, now_s) == limits.admit(ME, limit, now_s)[1:]


def test_a_clock_that_is_put_back_keeps_nobody_waiting(script: At) -> None:
    limit = RateLimit(2, 60)
    assert [script.admit("me", limit, 1_800_000_000)[0] for _ in range(3)] == [True, True, False]
    hour_before = 1_800_000_000 - 3600
    assert not script.admit("me", limit, hour_before)[0]
    assert script.admit("me", limit, hour_before + 120) == (True, 1, 60)
