"""The gateway with a key, a limit and the request log, beside reverse proxies that do nothing but pass on.

    scripts/bench gateway [--seconds 5] [--rounds 3] [--inspect 50]

Ours is the whole server as users run it (`apimarket serve`, keys enforced); the upstream of all is one nginx, which it
runs as an API. Every proxy has one core to itself; the load (`wrk -t1 -c32`) and the upstream share the other one.
Each round measures all of them in turn, so that a busy moment of the machine meets everybody; what is printed is the
median of the rounds, and the ratio to ours. "Added" is measured at 100 requests a second, in turn with the upstream.

Without `--inspect` ours keeps no exchanges whole, as where it is hosted; on a laptop it keeps the last 50 of each API.
"""

import argparse
import asyncio
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from local_server.client import Client
from tests.bench._gateways import PEERS, Absent, program_of
from tests.bench.reload import free_port

LOAD_CORE, PROXY_CORE = 0, 1
CONNECTIONS = 32
OURS = "apimarket: key + limit + log"
HEADER = (
    f"{'':<30} {'req/s':>8} {'ratio':>6} {'CPU us':>7} {'p50 ms':>7} {'p99 ms':>7} {'added p50':>10} {'added p99':>10}"
)

UPSTREAM = """
import os
from pathlib import Path
port, place = os.environ["PORT"], Path(os.environ["BENCH_DIR"])
place.mkdir(exist_ok=True)
(place / "nginx.conf").write_text(f'''
worker_processes 1; daemon off; pid {place}/nginx.pid; error_log {place}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000; client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;
  fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
  server {{ listen 127.0.0.1:{port}; location / {{ default_type application/json; return 200 '{{"hello":"you"}}'; }} }}
}}''')
os.sched_setaffinity(0, {int(os.environ["BENCH_CORE"])})
os.execv(os.environ["BENCH_NGINX"], ["nginx", "-c", str(place / "nginx.conf"), "-p", str(place)])
"""


@dataclass
class Target:
    name: str
    url: str
    pid: int
    headers: Mapping[str, str] = field(default_factory=dict)
    rates: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    """Of the proxy and its children, a request: on a busy machine this says more than the rate."""
    added_ms: tuple[float, float] = (0.0, 0.0)

    def line(self, ours: float) -> str:
        rate = statistics.median(self.rates)
        p50, p99 = statistics.median(self.p50_ms), statistics.median(self.p99_ms)
        a50, a99 = self.added_ms
        cpu = statistics.median(self.cpu_us)
        rates = f"{self.name:<30} {rate:8,.0f} {rate / ours:5.2f}x {cpu:7.1f}"
        return f"{rates} {p50:7.2f} {p99:7.2f} {a50:10.2f} {a99:10.2f}"


@contextmanager
def ours(directory: Path, inspect: int) -> Iterator[tuple[Target, int, int]]:
    """The server with one API, and this API's own port and pid."""
    home, port = directory / "home", free_port()
    project = directory / "hello"
    project.mkdir()
    (project / "start.py").write_text(UPSTREAM)
    env = {
        "BENCH_DIR": str(directory / "upstream"),
        "BENCH_NGINX": program_of("nginx", "nginx-light"),
        "BENCH_CORE": str(LOAD_CORE),
    }
    settings = ", ".join(f'{name} = "{value}"' for name, value in env.items())
    (project / "apimarket.toml").write_text(
        '[api]\nname = "hello"\nruntime = "python"\n'
        f'[run]\ncommand = ["python", "start.py"]\nenv = {{ {settings} }}\n'
        '[gateway]\nauth = "key"\nrate_limit = "999999999/min"\n'
    )
    with serving(home, port, inspect) as client:
        client.register({"directory": str(project), "name": None, "start": True})
        wait_until_runs(client)
        key = client.create_key("hello", {"name": "", "scopes": ["read"], "cidrs": [], "expires_at": None,
                                          "rate_limit": None})["key"]  # fmt: skip
        url = client.api("hello")["url"]
        pid = client.server()["pid"]
        yield Target(OURS, url, pid, {"Authorization": f"Bearer {key}"}), *upstream()


@contextmanager
def serving(home: Path, port: int, inspect: int) -> Iterator[Client]:
    home.mkdir()
    log = (home / "server.log").open("wb")
    env = os.environ | {"APIMARKET_HOME": str(home), "APIMARKET_ENFORCE_KEYS": "1", "APIMARKET_INSPECT": str(inspect)}
    command = ["-m", "local_server", "serve", "--engine", "process", "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, *command], env=env, stdout=log, stderr=log, start_new_session=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {PROXY_CORE}),
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                Client(url).health()
                break
            except Exception:
                time.sleep(0.1)
        client = Client(url, (home / "token").read_text().strip())
        yield client
        client.stop_server(apis=True)
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def wait_until_runs(client: Client) -> None:
    for _ in range(600):
        if client.api("hello")["state"] == "running":
            return
        time.sleep(0.1)
    raise SystemExit(f"the upstream does not run: {client.api('hello')['error']}")


def upstream() -> tuple[int, int]:
    """Port and pid of the nginx that the server started: a master process below us that has a listener."""
    for process in psutil.Process().children(recursive=True):
        if process.name() == "nginx":
            for connection in process.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    return int(connection.laddr.port), process.pid
    raise SystemExit("the upstream listens nowhere")


def load(target: Target, seconds: int) -> None:
    wrk = program_of("wrk", "wrk")
    headers = [word for name, value in target.headers.items() for word in ("-H", f"{name}: {value}")]
    command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", *headers, target.url]
    before = cpu_s(target)
    done = subprocess.run(
        command, capture_output=True, text=True, check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CORE}),
    )  # fmt: skip
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise SystemExit(f"{target.name}: {done.stdout}")
    spent_s = cpu_s(target) - before
    target.cpu_us.append(spent_s / int(_found(r"(\d+) requests in", done.stdout)) * 1e6)
    target.rates.append(float(_found(r"Requests/sec:\s+([0-9.]+)", done.stdout)))
    target.p50_ms.append(_milliseconds(_found(r"(?m)^\s+50%\s+(\S+)", done.stdout)))
    target.p99_ms.append(_milliseconds(_found(r"(?m)^\s+99%\s+(\S+)", done.stdout)))


def cpu_s(target: Target) -> float:
    """User and system time so far. Of our server the APIs it runs are no part."""
    process = psutil.Process(target.pid)
    family = [process] if target.name == OURS else [process, *process.children(recursive=True)]
    times = [each.cpu_times() for each in family]
    return float(sum(each.user + each.system for each in times))


def _found(pattern: str, output: str) -> str:
    found = re.search(pattern, output)
    if found is None:
        raise SystemExit(output)
    return found[1]


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([0-9.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


async def latencies(targets: list[Target], seconds: float) -> list[list[float]]:
    """Milliseconds of single requests at 100 a second in all, the targets in turn, each on one connection."""
    parts = [urlsplit(target.url) for target in targets]
    streams = [await asyncio.open_connection(part.hostname, part.port) for part in parts]
    results: list[list[float]] = [[] for _ in targets]
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for index, (target, part) in enumerate(zip(targets, parts, strict=True)):
            extra = "".join(f"{name}: {value}\r\n" for name, value in target.headers.items())
            request = f"GET {part.path} HTTP/1.1\r\nHost: {part.netloc}\r\n{extra}\r\n".encode()
            reader, writer = streams[index]
            await asyncio.sleep(0.01)
            began = time.perf_counter()
            writer.write(request)
            await reader.readuntil(b'"you"}')
            results[index].append((time.perf_counter() - began) * 1000)
            while reader._buffer:  # type: ignore[attr-defined]  # the end of a chunked answer
                await reader.read(65536)
    for _, writer in streams:
        writer.close()
    return results


def measure(targets: list[Target], direct: Target, seconds: int, rounds: int) -> None:
    for target in [direct, *targets]:
        load(target, 1)  # warm: pools fill
        for figures in (target.rates, target.p50_ms, target.p99_ms, target.cpu_us):
            figures.clear()
    for _ in range(rounds):
        for target in [direct, *targets]:
            load(target, seconds)
    everybody = [direct, *targets]
    found = asyncio.run(latencies(everybody, 2.0 * seconds * len(everybody)))
    base = sorted(found[0])
    for target, times in zip(targets, found[1:], strict=True):
        ordered = sorted(times)
        target.added_ms = tuple(_at(ordered, share) - _at(base, share) for share in (0.5, 0.99))  # type: ignore[assignment]


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", action="append", choices=list(PEERS), help="only these; default: all")
    parser.add_argument("--inspect", type=int, default=0, metavar="N", help="keep the last N exchanges; default: none")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="apimarket-bench-"))
    os.sched_setaffinity(0, {LOAD_CORE})
    try:
        with ExitStack() as stack:
            first, port, upstream_pid = stack.enter_context(ours(directory, options.inspect))
            targets = [first]
            for name in options.peer or PEERS:
                place = directory / f"peer-{len(targets)}"
                place.mkdir()
                try:
                    proxy = stack.enter_context(PEERS[name](place, port, PROXY_CORE))
                    targets.append(Target(name, proxy.url, proxy.pid))
                except Absent as absent:
                    print(f"{name}: left out, {absent}", flush=True)
            direct = Target("the upstream itself", f"http://127.0.0.1:{port}/", upstream_pid)
            measure(targets, direct, options.seconds, options.rounds)
            base = statistics.median(first.rates)
            print(HEADER, "-" * len(HEADER), sep="\n")
            for target in [direct, *targets]:
                print(target.line(base), flush=True)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
