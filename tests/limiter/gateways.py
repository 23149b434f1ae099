"""Gateways in processes of their own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

_ROOT = Path(__file__).parents[2]


class Gateway(NamedTuple):
    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def gateway(redis_url: str, limit: int, window_s: int = 3600) -> Iterator[Gateway]:
    """One that answers `/me/hello/`, and counts in the Redis, or alone where `redis_url` is empty."""
    command = [sys.executable, "-m", "tests.limiter.gateway_process", redis_url, str(limit), str(window_s)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT) as process:
        assert process.stdout is not None
        try:
            yield Gateway(int(process.stdout.readline()), process.pid)
        finally:
            process.communicate(timeout=60)
    assert process.returncode == 0
