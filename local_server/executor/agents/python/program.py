"""One generation as the supervisor sees it: a process group that starts, is ready, and ends."""

from __future__ import annotations

import os
import signal
import socket
import time
from typing import Any, Callable, Dict, List, Optional

from .loop import Loop, Outlet, Timer
from .pump import Pump

STARTING, READY, ENDING = "starting", "ready", "ending"
_SWEEP_LIMIT_S = 2.0
_TRACEBACK_LIMIT = 64 * 1024


class Supervising:
    """What a program needs of the supervisor."""

    loop: Loop
    outlet: Outlet
    layers: List[str]
    support: Optional[str]
    bytecode: Optional[str]
    """A directory for compiled code, or None where nothing can be written."""

    def say(self, message: Dict[str, Any]) -> None:
        raise NotImplementedError

    def adopt(self, pid: int, ended: Callable[[Optional[int], Optional[int]], None]) -> None:
        """Call `ended(code, signal)` when this process is reaped, whoever its parent was."""
        raise NotImplementedError

    def bury(self, gen: int) -> None:
        """Forget a generation that is gone."""
        raise NotImplementedError


class Program:
    """Begins with `start`, ends with exactly one of `failed`, `exited` and `stopped`."""

    def __init__(self, supervisor: Supervising, message: Dict[str, Any]) -> None:
        self.supervisor = supervisor
        self.loop = supervisor.loop
        self.gen: int = message["gen"]
        self.directory: str = message["dir"]
        self.host: str = message.get("host") or "127.0.0.1"
        self.port: int = message.get("port") or 0
        self.user_env: Dict[str, str] = {str(k): str(v) for k, v in (message.get("env") or {}).items()}
        self.timeout_s = float(message.get("timeout_s") or 30.0)
        self.received_at = time.monotonic()
        self.state = STARTING
        self.pid: Optional[int] = None
        self.pump: Optional[Pump] = None
        self._told_to_stop = False
        self._was_ready = False
        self._failure: Optional[Dict[str, Any]] = None
        self._exit: Dict[str, Optional[int]] = {"code": None, "signal": None}
        self._gone = False
        self._kill_at: Optional[float] = None
        self._timers: List[Timer] = []

    def start(self) -> None:
        self.later(self.timeout_s, self._run_out_of_time)
        self.launch()

    def launch(self) -> None:
        raise NotImplementedError

    def stop(self, grace_s: float) -> None:
        """End it, ready or not. A second call may shorten the grace time."""
        kill_at = time.monotonic() + max(0.0, grace_s)
        self._kill_at = kill_at if self._kill_at is None else min(kill_at, self._kill_at)
        self.later(max(0.0, grace_s), self._kill_if_late)
        if self._told_to_stop or self._gone:
            self._told_to_stop = True
            return
        self._told_to_stop = True
        self.state = ENDING
        if self.pid is None:
            self.abandon()
        else:
            self.ask_to_end(grace_s)

    def abandon(self) -> None:
        """Told to stop before there was a process."""
        self.finish()

    def ask_to_end(self, grace_s: float) -> None:
        self.signal_group(signal.SIGTERM)

    def fail(
        self, kind: str, message: str, *, file: Optional[str] = None, line: Optional[int] = None, traceback: str = ""
    ) -> None:
        """It will not become ready: end its processes, and say so once they are gone."""
        if self.state != STARTING:
            return
        self.state = ENDING
        self._failure = {
            "kind": kind,
            "message": message[:4096],
            "file": file,
            "line": line,
            "traceback": traceback[-_TRACEBACK_LIMIT:],
        }
        if self.pid is None:
            self.abandon()
        else:
            self.signal_group(signal.SIGKILL)

    def mark_ready(self, kind: str, import_ms: float, ready_ms: float, advice: List[str]) -> None:
        if self.state != STARTING:
            return
        self.state = READY
        self._was_ready = True
        ms = {"import": round(import_ms, 1), "ready": round(ready_ms, 1)}
        self.supervisor.say(
            {"t": "ready", "gen": self.gen, "port": self.port, "kind": kind, "ms": ms, "advice": advice}
        )

    def has_pid(self, pid: int) -> None:
        if self.pid is not None:
            return
        self.pid = pid
        self.supervisor.adopt(pid, self.leader_ended)
        if self._told_to_stop:
            self.signal_group(signal.SIGTERM)
        elif self.state == ENDING:
            self.signal_group(signal.SIGKILL)

    def leader_ended(self, code: Optional[int], number: Optional[int]) -> None:
        """The first process of the group was reaped. What is left of the group has until the end of the grace time,
        or no time at all when nobody asked the program to end."""
        if self._gone:
            return
        self._gone = True
        self._exit = {"code": code, "signal": number}
        self.before_end()
        if not self._told_to_stop:
            self.signal_group(signal.SIGKILL)
        self._sweep(time.monotonic() + _SWEEP_LIMIT_S)

    def before_end(self) -> None:
        """Takes what the program still had to say about its own end."""

    def signal_group(self, number: int) -> None:
        assert self.pid is not None
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return

    def later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        timer = self.loop.call_later(delay_s, call)
        self._timers.append(timer)
        return timer

    def finish(self) -> None:
        for timer in self._timers:
            timer.cancel()
        if self.pump is not None:
            self.pump.finish()
        self.release()
        self.supervisor.say(self._last_words())
        self.supervisor.bury(self.gen)

    def release(self) -> None:
        """Close what this program still holds."""

    def _last_words(self) -> Dict[str, Any]:
        if self._told_to_stop:
            return {"t": "stopped", "gen": self.gen}
        if self._failure is not None:
            return {"t": "failed", "gen": self.gen, **self._failure}
        if self._was_ready:
            return {"t": "exited", "gen": self.gen, **self._exit}
        traceback = "\n".join(self.pump.tail()) if self.pump is not None else ""
        failure = {"kind": "exit", "message": self._exit_message(), "file": None, "line": None, "traceback": traceback}
        return {"t": "failed", "gen": self.gen, **failure}

    def _exit_message(self) -> str:
        if self._exit["signal"] is not None:
            name = signal.Signals(self._exit["signal"]).name
            hint = " (out of memory?)" if name == "SIGKILL" else ""
            return f"it was ended by {name}{hint} before it was ready"
        code = self._exit["code"]
        return "it ended before it was ready" + (f", with exit code {code}" if code is not None else "")

    def _run_out_of_time(self) -> None:
        if self.state == STARTING:
            self.out_of_time()

    def out_of_time(self) -> None:
        self.fail("timeout", f"it was not ready within {self.timeout_s:g} s")

    def _kill_if_late(self) -> None:
        if self._kill_at is None or time.monotonic() < self._kill_at - 0.001:
            return
        if self.pid is not None:
            self.signal_group(signal.SIGKILL)
        elif not self._gone:
            self.force_abandon()

    def force_abandon(self) -> None:
        """The grace time is over and there is still no process."""
        self.finish()

    def _sweep(self, give_up_at: float) -> None:
        """Wait until the last process of the group is gone."""
        now = time.monotonic()
        if self._group_is_gone() or now > max(give_up_at, (self._kill_at or 0.0) + _SWEEP_LIMIT_S):
            self.finish()
            return
        self.loop.call_later(0.005, lambda: self._sweep(give_up_at))

    def _group_is_gone(self) -> bool:
        assert self.pid is not None
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


def bind(host: str, port: int) -> socket.socket:
    """A bound socket, not yet listening. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return sock


def program_environment(program: Program) -> Dict[str, str]:
    """The environment a program sees: the sandbox's own without the agent's settings, then the API's, then the port."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("APIMARKET_")}
    env["PYTHONUNBUFFERED"] = "1"
    env.update(program.user_env)
    env["HOST"] = program.host
    env["PORT"] = str(program.port)
    return env
