"""Several gateways, each a process, and one limit."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path

import httpx2
import pytest

from tests.limiter.redis_server import RedisServer

CLIENTS, CALLS, LIMIT = 64, 8, 200
_ROOT = Path(__file__).parents[2]


@contextmanager
def gateway(url: str) -> Iterator[str]:
    """Yields where it answers."""
    command = [sys.executable, "-m", "tests.limiter.gateway_process", url, str(LIMIT), "3600"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.redis
async def test_two_gateways_admit_what_one_would(redis_server: RedisServer) -> None:
    """Not one call more, and not one less."""
    with ExitStack() as stack:
        urls = [stack.enter_context(gateway(redis_server.url)) for _ in range(2)]

        async def client(number: int) -> list[int]:
            async with httpx2.AsyncClient(base_url=urls[number % 2], trust_env=False, timeout=60) as calls:
                return [(await calls.get("/me/hello/")).status_code for _ in range(CALLS)]

        answers = list(chain.from_iterable(await asyncio.gather(*map(client, range(CLIENTS)))))
    assert answers.count(200) == LIMIT
    assert answers.count(429) == CLIENTS * CALLS - LIMIT
