"""Save -> first answer of the new code: each template on each engine, beside `uvicorn --reload` and `node --watch`.

Every row is measured in the same run on the same machine, with the same way of saving and of asking: a line with a
number in it is replaced, and the URL is asked every millisecond until the number comes back. Requests that fail
meanwhile are counted. Run: scripts/bench reload [--saves 10] [--engine docker] [--engine process] [--replicas 3]
"""

import argparse
import http.client
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from local_server.client import Client
from local_server.registry.templates import find_template, write_template

TEMPLATES = ("python", "python-function", "node", "node-express", "go")
PATIENCE_S = 120.0
HEADER = (
    f"{'save -> new answer':<28} {'p50 ms':>8} {'p95 ms':>8} {'min':>8} {'max':>8} {'ratio':>6} "
    f"{'failed':>7} {'asked':>7}"
)


@dataclass(frozen=True)
class Row:
    name: str
    times_ms: list[float]
    failed: int
    asked: int

    def line(self, base: float | None) -> str:
        times = sorted(self.times_ms)
        p50, p95 = statistics.median(times), times[max(0, round(0.95 * len(times)) - 1)]
        ratio = f"{base / p50:5.1f}×" if base else "     –"
        spread = f"{p50:8.0f} {p95:8.0f} {min(times):8.0f} {max(times):8.0f}"
        return f"{self.name:<28} {spread} {ratio} {self.failed:7d} {self.asked:7d}"


class Saver:
    """Writes a number into the one line of a program that a template invites its user to change."""

    INVITED = re.compile(r"(Change this line)[^\"'`]*")

    def __init__(self, directory: Path) -> None:
        for path in sorted(directory.rglob("*")):
            if path.suffix in (".py", ".mjs", ".js", ".go") and "test" not in path.name and path.is_file():
                text = path.read_text()
                if self.INVITED.search(text):
                    self.path, self.text = path, text
                    return
        raise SystemExit(f"no line to change in {directory}")

    def save(self, number: int) -> str:
        mark = f"save-{number:04d}"
        text = self.INVITED.sub(lambda found: f"{found[1]} {mark}", self.text, count=1)
        unfinished = self.path.with_suffix(".tmp")
        unfinished.write_text(text)
        unfinished.replace(self.path)
        return mark


class Caller:
    """Asks one URL over one connection, and opens another when that one is closed."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._path = parts.path or "/"
        self._connection: http.client.HTTPConnection | None = None
        self.failed = self.asked = 0

    def ask(self) -> str:
        self.asked += 1
        for _ in range(2):  # a connection that was closed while idle is not a failed request
            fresh = self._connection is None
            try:
                connection = self._connection or http.client.HTTPConnection(*self._address, timeout=15)
                self._connection = connection
                connection.request("GET", self._path)
                answer = connection.getresponse()
                body = answer.read().decode(errors="replace")
            except (OSError, http.client.HTTPException):
                self._connection = None
                if fresh:
                    break
                continue
            if answer.status == 200:
                return body
            break
        self.failed += 1
        return ""

    def until(self, mark: str) -> float:
        """Seconds until an answer holds `mark`."""
        began = time.perf_counter()
        while time.perf_counter() - began < PATIENCE_S:
            if mark in self.ask():
                return time.perf_counter() - began
            time.sleep(0.001)
        raise SystemExit(f"{mark} did not appear within {PATIENCE_S:.0f} s")


def measure(name: str, url: str, saver: Saver, saves: int) -> Row:
    caller = Caller(url)
    caller.until("Change this line")
    for warm in range(3):
        caller.until(saver.save(9000 + warm))
        time.sleep(0.5)
    caller.failed = caller.asked = 0
    times = []
    for number in range(saves):
        time.sleep(0.3)
        mark = saver.save(number)
        times.append(caller.until(mark) * 1000)
    return Row(name, times, caller.failed, caller.asked)


@contextmanager
def program(arguments: list[str], directory: Path, env: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        arguments, cwd=directory, env=os.environ | env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)


@contextmanager
def server(engine: str, home: Path) -> Iterator[Client]:
    port = free_port()
    arguments = [sys.executable, "-m", "local_server", "serve", "--engine", engine, "--port", str(port)]
    with program(arguments, home, {"APIMARKET_HOME": str(home)}):
        url = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                Client(url).health()
                break
            except Exception:
                time.sleep(0.1)
        client = Client(url, (home / "token").read_text().strip())
        yield client
        client.stop_server(apis=True)
        time.sleep(1.0)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def ours(engine: str, templates: list[str], saves: int, replicas: int) -> Iterator[Row]:
    home = Path(tempfile.mkdtemp(prefix="apimarket-bench-"))
    try:
        with server(engine, home) as client:
            for template in templates:
                project = home / "projects" / template
                client.scaffold({"name": f"bench-{template}", "template": template, "directory": str(project)})
                url = client.api(f"bench-{template}")["url"]
                name = f"{template} · {engine}"
                if replicas > 1:
                    name += f" × {replicas}"
                    run_several(client, f"bench-{template}", project / "apimarket.toml", replicas)
                yield measure(name, url, Saver(project), saves)
                client.stop(f"bench-{template}")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def run_several(client: Client, name: str, manifest: Path, replicas: int) -> None:
    """Change the manifest, and wait until so many serve."""
    text = manifest.read_text()
    line = f"replicas = {replicas}"
    manifest.write_text(text.replace("[run]", f"[run]\n{line}") if "[run]" in text else f"{text}\n[run]\n{line}\n")
    deadline = time.perf_counter() + PATIENCE_S
    while client.api(name)["replicas"] != {"serving": replicas, "wanted": replicas}:
        if time.perf_counter() > deadline:
            raise SystemExit(f"{replicas} replicas of {name} did not come to serve within {PATIENCE_S:.0f} s")
        time.sleep(0.05)


def peer(name: str, template: str, command: list[str], saves: int) -> Row:
    directory = Path(tempfile.mkdtemp(prefix="apimarket-peer-"))
    try:
        write_template(find_template(template), directory, "peer")
        port = free_port()
        with program([word.replace("PORT", str(port)) for word in command], directory, {"PORT": str(port)}):
            return measure(name, f"http://127.0.0.1:{port}/", Saver(directory), saves)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--saves", type=int, default=10)
    parser.add_argument("--engine", action="append", choices=["docker", "process"])
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--template", action="append", choices=TEMPLATES)
    options = parser.parse_args()
    templates = options.template or list(TEMPLATES)
    print(HEADER, "-" * len(HEADER), sep="\n")
    base = None
    if "python" in templates:
        command = [sys.executable, "-m", "uvicorn", "main:app", "--reload", "--port", "PORT", "--log-level", "error"]
        row = peer("python · uvicorn --reload", "python", command, options.saves)
        base = statistics.median(row.times_ms)
        print(row.line(base), flush=True)
    for engine in options.engine or ["process", "docker"]:
        for row in ours(engine, templates, options.saves, options.replicas):
            print(row.line(base), flush=True)


if __name__ == "__main__":
    main()
