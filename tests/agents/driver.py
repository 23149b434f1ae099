"""Starts an agent as a child process and speaks the agent protocol with it (docs/agent-protocol.md).

The same for every language: a test gives the command line, sends messages, and waits for those it expects. Messages
nobody asked for yet are kept, so the order in which a test asks is free.
"""

import http.client
import itertools
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

Message = dict[str, Any]


class NotSaid(AssertionError):
    """The agent did not say what a test waited for."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


class AgentProcess:
    """One running agent. `stdout_lines` keeps every raw line, for tests of what may appear there."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str] | None = None, *, cwd: Path | None = None) -> None:
        self._process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
        )
        self.argv = tuple(argv)
        self.pid = self._process.pid
        self.stdout_lines: list[bytes] = []
        self.stderr = bytearray()
        self._gens = itertools.count(1000)
        self._started: set[int] = set()
        self._waiting: list[Message] = []
        self._ended = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._read_stdout, name=f"agent-out-{self.pid}", daemon=True),
            threading.Thread(target=self._read_stderr, name=f"agent-err-{self.pid}", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, t: str, **fields: Any) -> None:
        """Write one message, as `send("stop", gen=1, grace_s=2)`."""
        self.send_raw(json.dumps({"t": t, **fields}).encode() + b"\n")

    def send_raw(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def start(self, gen: int, directory: Path | str, **fields: Any) -> None:
        """Send `start` with the usual values; `fields` override them."""
        message: dict[str, Any] = {
            "gen": gen,
            "dir": str(directory),
            "host": "127.0.0.1",
            "port": 0,
            "entry": None,
            "command": None,
            "env": {},
            "timeout_s": 20,
        }
        self._started.add(gen)
        self.send("start", **{**message, **fields})

    def forget(self) -> None:
        """End every generation that was started, and drop all that was said."""
        for gen in self._started:
            self.send("stop", gen=gen, grace_s=0)
        for gen in self._started:
            self.expect("stopped", gen=gen)
        self._started.clear()
        # Messages keep their order, so behind this one nothing more can come of what was before.
        with self._changed:
            self._waiting.clear()
        self.send("hello")
        assert self.expect("hello")["gens"] == []
        with self._changed:
            self._waiting.clear()
            self.stdout_lines.clear()
            self.stderr.clear()

    def next_gen(self) -> int:
        """A number no generation of this agent has yet, for tests that share one."""
        return next(self._gens)

    def close_stdin(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    def expect(self, t: str, *, gen: int | None = None, timeout_s: float = 20.0, **fields: Any) -> Message:
        """Wait for a message of this type (and generation, and these values), and take it."""

        def fits(message: Message) -> bool:
            wanted = {"t": t, **fields} if gen is None else {"t": t, "gen": gen, **fields}
            return all(message.get(key) == value for key, value in wanted.items())

        return self.expect_where(fits, f"{t} gen={gen} {fields or ''}", timeout_s=timeout_s)

    def expect_where(
        self, fits: Callable[[Message], bool], what: str = "a message", *, timeout_s: float = 20.0
    ) -> Message:
        """Wait for the first message not yet taken for which `fits` holds, and take it."""
        deadline = time.monotonic() + timeout_s
        seen = 0
        with self._changed:
            while True:
                for index in range(seen, len(self._waiting)):
                    if fits(self._waiting[index]):
                        return self._waiting.pop(index)
                seen = len(self._waiting)
                left_s = deadline - time.monotonic()
                if self._ended or left_s <= 0:
                    why = "the agent ended" if self._ended else f"not within {timeout_s} s"
                    last = "\n".join(str(message) for message in self._waiting[-20:])
                    raise NotSaid(f"{what}: {why}. Said:\n{last}\nstderr: {self.stderr.decode(errors='replace')}")
                self._changed.wait(left_s)

    def expect_either(self, *types: str, gen: int, timeout_s: float = 20.0) -> Message:
        """Wait for the first message about a generation that has one of these types."""
        return self.expect_where(
            lambda message: message.get("t") in types and message.get("gen") == gen,
            f"{'/'.join(types)} gen={gen}",
            timeout_s=timeout_s,
        )

    def waiting(self, t: str, *, gen: int | None = None) -> list[Message]:
        """Messages that came and were not taken; does not wait."""
        with self._changed:
            return [m for m in self._waiting if m.get("t") == t and (gen is None or m.get("gen") == gen)]

    def logs(self, gen: int, stream: str = "out") -> list[str]:
        return [message["line"] for message in self.waiting("log", gen=gen) if message["stream"] == stream]

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self, timeout_s: float = 20.0) -> int:
        """Wait for the agent to end; answers its exit code."""
        return self._process.wait(timeout_s)

    def close(self) -> None:
        """Ask the agent to shut down, and end it by force when it does not. May be called twice."""
        if self._process.poll() is None:
            try:
                self.send("shutdown", grace_s=1)
                self._process.wait(5)
            except (BrokenPipeError, ValueError):
                self._process.terminate()
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        for thread in self._threads:
            thread.join(5)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue

    def _read_stdout(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self.stdout_lines.append(line)
                try:
                    self._waiting.append(json.loads(line))
                except ValueError:
                    self._waiting.append({"t": "not-a-protocol-line", "line": line})
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        while data := self._process.stderr.read1(65536):  # type: ignore[attr-defined]
            self.stderr += data


def http_get(
    port: int,
    path: str = "/",
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "GET",
    body: bytes | None = None,
    host: str = "127.0.0.1",
    timeout_s: float = 10.0,
) -> Reply:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        response = connection.getresponse()
        return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def eventually(fact: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Wait for something outside the protocol (a process that ends) to become true."""
    deadline = time.monotonic() + timeout_s
    while not fact():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.01)
