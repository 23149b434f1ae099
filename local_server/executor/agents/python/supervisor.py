"""Process 1 of a sandbox: reads messages, keeps generations, reaps whatever ends."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from .command import CommandProgram
from .forked import ForkedProgram
from .loop import LineReader, Loop, Outlet, json_line
from .processes import children_of
from .program import READY, Program, Supervising
from .templates import Templates

_PROTOCOL = 1
_PR_SET_CHILD_SUBREAPER = 36
_DEFAULT_GRACE_S = 5.0
_EARLY_LIMIT_S = 1.0

Ended = Callable[[Optional[int], Optional[int]], None]


class Supervisor(Supervising):
    def __init__(self, stdin_fd: int, stdout_fd: int) -> None:
        self.loop = Loop()
        os.set_blocking(stdin_fd, False)
        os.set_blocking(stdout_fd, False)
        self.outlet = Outlet(self.loop, stdout_fd)
        self.outlet.on_drained = self._resume_pumps
        self.layers = [place for place in os.environ.get("APIMARKET_LAYER", "").split(os.pathsep) if place]
        self.support = os.environ.get("APIMARKET_SUPPORT") or None
        self.bytecode = _private_directory()
        self._exit_on_eof = os.environ.get("APIMARKET_EXIT_ON_EOF") == "1"
        self._stdin_fd = stdin_fd
        self._reader = LineReader(stdin_fd, self._receive, self._input_ended)
        self._programs: Dict[int, Program] = {}
        self._adopted: Dict[int, Ended] = {}
        self._early: Dict[int, Tuple[int, float]] = {}
        """Ends seen before anybody said whose process it was, and when: a template may die between a fork and its word
        of it. Old entries are orphans, whose numbers may belong to somebody else by now."""
        self._shutting_down = False
        self.templates = Templates(self, self._ended)

    def run(self) -> int:
        self.loop.on_signals(
            {
                signal.SIGCHLD: self._reap,
                signal.SIGTERM: lambda: self._shut_down(_DEFAULT_GRACE_S),
                signal.SIGINT: lambda: self._shut_down(_DEFAULT_GRACE_S),
            }
        )
        self._say_hello()
        self.templates.begin()
        self.loop.watch(self._stdin_fd, read=self._reader.read)
        self.loop.run()
        self.outlet.flush_now(2.0)
        if self.bytecode is not None:
            shutil.rmtree(self.bytecode, ignore_errors=True)
        return 0

    def say(self, message: Dict[str, Any]) -> None:
        self.outlet.write(json_line(message))

    def note(self, line: str) -> None:
        """The agent's own words."""
        self.say({"t": "log", "gen": 0, "stream": "err", "line": line})

    def adopt(self, pid: int, ended: Ended) -> None:
        status, seen_at = self._early.pop(pid, (0, 0.0))
        if time.monotonic() - seen_at < _EARLY_LIMIT_S:
            self.loop.call_later(0, lambda: ended(*_code_and_signal(status)))
        else:
            self._adopted[pid] = ended

    def bury(self, gen: int) -> None:
        self._programs.pop(gen, None)
        if self._shutting_down and not self._programs:
            self._finish()

    def _receive(self, line: bytes) -> None:
        try:
            message = json.loads(line)
            kind = message["t"]
        except (ValueError, TypeError, KeyError):
            self.note("[agent] a line on standard input is no message of the protocol; it was skipped")
            return
        try:
            if kind == "start":
                self._start(message)
            elif kind == "stop":
                self._stop(int(message["gen"]), float(message.get("grace_s", _DEFAULT_GRACE_S)))
            elif kind == "shutdown":
                self._shut_down(float(message.get("grace_s", _DEFAULT_GRACE_S)))
            elif kind == "hello":
                self._say_hello()
            else:
                self.note(f"[agent] a message of unknown type {kind!r} was skipped")
        except (TypeError, ValueError, KeyError) as error:
            self.note(f"[agent] the message {kind!r} lacks or misstates a field and was skipped: {error!r}")

    def _start(self, message: Dict[str, Any]) -> None:
        gen = int(message["gen"])
        if gen in self._programs or self._shutting_down:
            return
        program: Program
        if message.get("command"):
            program = CommandProgram(self, message)
        else:
            program = ForkedProgram(self, self.templates, message)
        self._programs[gen] = program
        program.start()

    def _stop(self, gen: int, grace_s: float) -> None:
        program = self._programs.get(gen)
        if program is None:
            self.say({"t": "stopped", "gen": gen})
        else:
            program.stop(grace_s)

    def _shut_down(self, grace_s: float) -> None:
        self._shutting_down = True
        for program in list(self._programs.values()):
            program.stop(grace_s)
        if not self._programs:
            self._finish()

    def _finish(self) -> None:
        self.templates.close()
        for pid in children_of(os.getpid()):
            # What left its process group on purpose is still ours to end, as far as it became our child.
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        self.loop.stop()

    def _say_hello(self) -> None:
        ready = [{"gen": p.gen, "port": p.port} for p in self._programs.values() if p.state == READY]
        runtime = "python " + ".".join(str(part) for part in sys.version_info[:3])
        self.say({"t": "hello", "agent": _PROTOCOL, "runtime": runtime, "pid": os.getpid(), "gens": ready})

    def _input_ended(self) -> None:
        self.loop.watch(self._stdin_fd)
        if self._exit_on_eof:
            self._shut_down(_DEFAULT_GRACE_S)

    def _resume_pumps(self) -> None:
        pumps: List[Any] = [program.pump for program in self._programs.values()]
        for pump in pumps:
            if pump is not None:
                pump.resume()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._ended(pid, status)

    def _ended(self, pid: int, status: int) -> None:
        if self.templates.owns(pid):
            self.templates.ended(pid)
        elif pid in self._adopted:
            self._adopted.pop(pid)(*_code_and_signal(status))
        else:
            now = time.monotonic()
            self._early = {p: entry for p, entry in self._early.items() if now - entry[1] < _EARLY_LIMIT_S}
            self._early[pid] = (status, now)


def _code_and_signal(status: int) -> Tuple[Optional[int], Optional[int]]:
    if os.WIFSIGNALED(status):
        return None, os.WTERMSIG(status)
    return os.WEXITSTATUS(status), None


def _private_directory() -> Optional[str]:
    try:
        return tempfile.mkdtemp(prefix="apimarket-agent-")
    except OSError:
        return None


def _become_subreaper() -> None:
    """Orphans below this process become its children even when it is not process 1. Linux only; elsewhere the end of a
    retired template's children is seen on their control sockets."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (AttributeError, OSError):
        return


def main() -> int:
    stdout_fd = os.dup(1)
    os.dup2(2, 1)  # nothing but protocol lines may ever appear where standard output was
    _become_subreaper()
    sys.stdout = sys.stderr
    return Supervisor(0, stdout_fd).run()
