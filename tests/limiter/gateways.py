"""Gateways in processes of their own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parents[2]


@dataclass
class Gateway:
    port: int
    pid: int
    alone: int = 0
    """Calls that it limited alone; known once it has ended."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def gateway(redis_url: str, limit: int, patience_s: float = 60, window_s: int = 3600) -> Iterator[Gateway]:
    """One that answers `/me/hello/`, and counts in the Redis, or alone where `redis_url` is empty. It waits so long
    that a machine at work does not make it count alone."""
    command = [sys.executable, "-m", "tests.limiter.gateway_process", redis_url]
    command += [str(limit), str(window_s), str(patience_s)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT) as process:
        assert process.stdout is not None
        running = Gateway(int(process.stdout.readline()), process.pid)
        try:
            yield running
        finally:
            told, _ = process.communicate(timeout=60)
            running.alone = int(told)
    assert process.returncode == 0
