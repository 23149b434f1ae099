"""What the server costs while nobody calls: 50 APIs registered, 10 of them running, measured over half a minute.

CPU is the server process's own (user + system) as a share of one core; memory is its resident set. What the APIs
themselves use is not counted. Run: scripts/bench idle [--engine docker] [--engine process] [--seconds 30]
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import psutil

from local_server.client import Client
from tests.bench.reload import server

REGISTERED, RUNNING = 50, 10
HEADER = f"{'idle server':<12} {'registered':>10} {'running':>8} {'cpu %':>8} {'memory MiB':>11} {'watch s':>8}"


def measure(engine: str, seconds: float) -> str:
    home = Path(tempfile.mkdtemp(prefix="apimarket-bench-"))
    try:
        with server(engine, home) as client:
            for number in range(REGISTERED):
                name = f"idle-{number:02d}"
                start = number < RUNNING
                directory = str(home / "projects" / name)
                client.scaffold({"name": name, "template": "python-function", "directory": directory, "start": start})
            while running(client) < RUNNING:
                time.sleep(0.2)
            time.sleep(5)
            process = psutil.Process(client.server()["pid"])
            before, began = process.cpu_times(), time.monotonic()
            time.sleep(seconds)
            after, passed = process.cpu_times(), time.monotonic() - began
            used = after.user + after.system - before.user - before.system
            memory = process.memory_info().rss / (1 << 20)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    percent = used / passed * 100
    return f"{engine:<12} {REGISTERED:>10} {RUNNING:>8} {percent:>8.2f} {memory:>11.0f} {passed:>8.0f}"


def running(client: Client) -> int:
    return sum(1 for row in client.apis() if row["state"] == "running")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", action="append", choices=["docker", "process"])
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    print(HEADER, "-" * len(HEADER), sep="\n")
    for engine in options.engine or ["process", "docker"]:
        print(measure(engine, options.seconds), flush=True)


if __name__ == "__main__":
    main()
