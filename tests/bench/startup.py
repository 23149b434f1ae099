"""How long until something is there: the terminal UI's first frame, and each look the command line offers.

The first frame is timed in a real pseudo-terminal of 120x40, from the start of the process to the moment the header
and the first row of the table are on the screen, against a running server with a few APIs. Peers that are on PATH are
timed beside it, to their first full screen. Run: scripts/bench startup [--runs 7] [--peer "tl FILE"]
"""

import argparse
import fcntl
import os
import pty
import select
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

from tests.bench.reload import server

PATIENCE_S = 20.0
SIZE = struct.pack("HHHH", 40, 120, 0, 0)
HEADER = f"{'start':<34} {'median ms':>10} {'min':>8} {'max':>8} {'budget':>8}"
VERBS = (["--help"], ["ls"], ["status", "bench-0"], ["logs", "bench-0"], ["call", "bench-0"])


def first_frame(command: list[str], env: dict[str, str], wanted: bytes | None) -> float:
    """Milliseconds until `wanted` was written to the terminal; None: until a screen's worth of bytes was, and then
    nothing more for 150 ms (the time of the last of them counts)."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, SIZE)
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=child, stdout=child, stderr=child, env=os.environ | {"TERM": "xterm-256color"} | env,
        start_new_session=True,
    )  # fmt: skip
    os.close(child)
    try:
        return _written(parent, began, wanted) * 1000
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(parent)


def _written(parent: int, began: float, wanted: bytes | None) -> float:
    seen, last = b"", began
    while time.perf_counter() - began < PATIENCE_S:
        if not select.select([parent], [], [], 0.15)[0]:
            if wanted is None and len(seen) > 2000:
                return last - began
            continue
        try:
            seen += os.read(parent, 65536)
        except OSError:
            break
        last = time.perf_counter()
        if wanted is not None and wanted in seen:
            return last - began
    raise TimeoutError(f"no full screen within {PATIENCE_S:.0f} s; last: {seen[-100:]!r}")


def verb(command: list[str], env: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, env=os.environ | env, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - began) * 1000


def line(name: str, times: list[float], budget: str) -> str:
    return f"{name:<34} {statistics.median(times):>10.0f} {min(times):>8.0f} {max(times):>8.0f} {budget:>8}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--peer", action="append", default=[])
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="apimarket-bench-"))
    program = str(Path(sys.executable).with_name("apimarket"))
    print(HEADER, "-" * len(HEADER), sep="\n")
    try:
        with server("process", home) as client:
            for number in range(3):
                directory = str(home / "projects" / str(number))
                client.scaffold({"name": f"bench-{number}", "template": "python-function", "directory": directory})
            while any(row["state"] != "running" for row in client.apis()):
                time.sleep(0.1)
            env = {"APIMARKET_HOME": str(home), "APIMARKET_URL": client.url, "APIMARKET_TOKEN": token(home)}
            for name, command, wanted in [
                ("terminal UI, first rows", [program], b"bench-0"),
                *((peer, peer.split(), None) for peer in options.peer),
            ]:
                try:
                    times = [first_frame(command, env, wanted) for _ in range(options.runs)]
                except (TimeoutError, FileNotFoundError) as error:
                    print(f"{name:<34} {error}", flush=True)
                    continue
                print(line(name, times, "900" if command == [program] else "-"), flush=True)
            for words in VERBS:
                times = [verb([program, *words], env) for _ in range(options.runs)]
                print(line("apimarket " + " ".join(words), times, "150"), flush=True)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def token(home: Path) -> str:
    return (home / "token").read_text().strip()


if __name__ == "__main__":
    main()
