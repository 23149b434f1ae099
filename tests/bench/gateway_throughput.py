"""What the gateway costs: requests a second and added latency, direct and through it, in one run.

    python -m tests.bench.gateway_throughput [--seconds 5] [--inspect 50]

Upstream, gateway and load are processes of their own; the load comes from wrk if it is installed, else from here.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n" + b'{"hello":"you"}'
CONNECTIONS = 32


class TinyUpstream(asyncio.Protocol):
    """Answers every request head the same, as fast as Python can; bodies have 16 bytes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(ANSWER * max(1, data.count(b"\r\n\r\n")))  # type: ignore[attr-defined]


async def run_upstream() -> None:
    server = await asyncio.get_running_loop().create_server(TinyUpstream, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def run_gateway(upstream_port: int, inspect: int) -> None:
    import uvicorn

    from local_server.domain.ids import ApiId, Digest
    from local_server.domain.routing import Route
    from local_server.gateway import Edge, Gateway
    from local_server.gateway.serving import uvicorn_options
    from local_server.system import RealSystem

    async def control(scope: object, receive: object, send: object) -> None:
        raise AssertionError("no control API here")

    recorded: list[object] = []
    gateway = Gateway(recorded.append, RealSystem(), inspect=inspect)
    lane = gateway.open(ApiId("1"), 1, Digest("0" * 64), ("127.0.0.1", upstream_port))
    gateway.route(Route(ApiId("1"), "me", "hello", "serving"), lane)
    config = uvicorn.Config(Edge(control, gateway), port=0, log_level="error", lifespan="off", **uvicorn_options())
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    while True:
        await asyncio.sleep(1)
        recorded.clear()


@contextlib.contextmanager
def process(*args: str) -> Iterator[tuple[int, psutil.Process]]:
    """A role of this script, running; yields its port and itself."""
    command = [sys.executable, "-m", "tests.bench.gateway_throughput", *args]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    assert child.stdout is not None
    try:
        yield int(child.stdout.readline()), psutil.Process(child.pid)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


class Caller(asyncio.Protocol):
    """One connection: a request, its answer, the next."""

    def __init__(self, request: bytes, until: float) -> None:
        self.request, self.until, self.count, self.buffer = request, until, 0, b""
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(self.request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.buffer.endswith(b'{"hello":"you"}'):
            return
        self.buffer = b""
        self.count += 1
        if time.perf_counter() < self.until:
            self.transport.write(self.request)  # type: ignore[attr-defined]
        else:
            self.transport.close()
            self.done.set_result(None)


def request_bytes(port: int, path: str, method: str) -> bytes:
    body = b"0123456789abcdef" if method == "POST" else b""
    length = b"content-length: 16\r\n" if body else b""
    line = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n".encode()
    return line + length + b"\r\n" + body


async def own_load(port: int, path: str, method: str, seconds: float) -> float:
    loop = asyncio.get_running_loop()
    until = time.perf_counter() + seconds
    request = request_bytes(port, path, method)
    callers = [
        (await loop.create_connection(lambda: Caller(request, until), "127.0.0.1", port))[1] for _ in range(CONNECTIONS)
    ]
    await asyncio.gather(*(caller.done for caller in callers))
    return sum(caller.count for caller in callers) / seconds


def throughput(port: int, path: str, method: str, seconds: float) -> float:
    """Requests a second. Raises if an answer was not 2xx."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return asyncio.run(own_load(port, path, method, seconds))
    command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", f"http://127.0.0.1:{port}{path}"]
    script = ROOT / "tests" / "bench" / "post.lua"
    if method == "POST":
        command[1:1] = ["-s", str(script)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise SystemExit(output)
    found = re.search(r"Requests/sec:\s+([0-9.]+)", output)
    assert found is not None, output
    return float(found[1])


async def latencies(ports_and_paths: list[tuple[int, str]], seconds: float) -> list[list[float]]:
    """Milliseconds of single GETs at 100 a second in all, the targets in turn."""
    streams = [await asyncio.open_connection("127.0.0.1", port) for port, _ in ports_and_paths]
    results: list[list[float]] = [[] for _ in ports_and_paths]
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for index, (port, path) in enumerate(ports_and_paths):
            reader, writer = streams[index]
            await asyncio.sleep(0.01)
            began = time.perf_counter()
            writer.write(request_bytes(port, path, "GET"))
            await reader.readuntil(b'{"hello":"you"}')
            results[index].append((time.perf_counter() - began) * 1000)
    for _, writer in streams:
        writer.close()
    return results


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def measure(upstream: int, gateway: int, process: psutil.Process, seconds: float) -> None:
    targets = [(upstream, "/"), (gateway, "/me/hello/")]
    print(f"{'':28}{'direct':>10}{'gateway':>10}{'':>9}({'wrk' if shutil.which('wrk') else 'own load'})")
    for method in ("GET", "POST"):
        throughput(*targets[1], method, 2)  # warm: pools fill, and POST needs proof that idle connections last
        direct = throughput(*targets[0], method, seconds)
        before = cpu_s(process)
        through = throughput(*targets[1], method, seconds)
        cost_us = (cpu_s(process) - before) / (through * max(1, round(seconds))) * 1e6
        print(f"{method + ' requests/s':28}{direct:10,.0f}{through:10,.0f}{through / direct:8.2f}x")
        # On a busy machine this says more than the rate: what one core could do is its reciprocal.
        print(f"{method + ' CPU us/request':28}{'':10}{cost_us:10.0f}{1e6 / cost_us:8,.0f}/s on a whole core")
    plain, proxied = asyncio.run(latencies(targets, seconds))
    for share, name in ((0.5, "p50"), (0.99, "p99")):
        a, b = percentile(plain, share), percentile(proxied, share)
        print(f"{'latency ' + name + ', ms':28}{a:10.2f}{b:10.2f}{b - a:+8.2f}")


def main(seconds: float, inspect: int) -> None:
    with (
        process("--role", "upstream") as (upstream, _),
        process("--role", "gateway", "--upstream", str(upstream), "--inspect", str(inspect)) as (gateway, running),
    ):
        measure(upstream, gateway, running, seconds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--inspect", type=int, default=0, help="keep that many exchanges whole")
    parser.add_argument("--role", choices=["upstream", "gateway"])
    parser.add_argument("--upstream", type=int)
    arguments = parser.parse_args()
    if arguments.role is None:
        main(arguments.seconds, arguments.inspect)
    else:
        import uvloop

        upstream = arguments.role == "upstream"
        uvloop.run(run_upstream() if upstream else run_gateway(arguments.upstream, arguments.inspect))
