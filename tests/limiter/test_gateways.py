"""Several gateways, each a process, and one limit."""

import asyncio
from contextlib import ExitStack
from itertools import chain

import httpx2
import pytest

from tests.limiter.gateways import gateway
from tests.limiter.redis_server import RedisServer

pytestmark = pytest.mark.redis
CLIENTS, CALLS, LIMIT = 64, 8, 200


async def test_two_gateways_admit_what_one_would(redis_server: RedisServer) -> None:
    """Not one call more, and not one less."""
    with ExitStack() as stack:
        gateways = [stack.enter_context(gateway(redis_server.url, LIMIT)) for _ in range(2)]

        async def client(number: int) -> list[int]:
            async with httpx2.AsyncClient(base_url=gateways[number % 2].url, trust_env=False, timeout=60) as calls:
                return [(await calls.get("/me/hello/")).status_code for _ in range(CALLS)]

        answers = list(chain.from_iterable(await asyncio.gather(*map(client, range(CLIENTS)))))
    assert [each.alone for each in gateways] == [0, 0]
    assert answers.count(200) == LIMIT
    assert answers.count(429) == CLIENTS * CALLS - LIMIT
