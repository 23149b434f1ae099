"""A generation with an entry: forked from the template, speaking over a control socket of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from typing import Any, Dict, List, Optional

from .loop import Channel, json_line
from .processes import is_running
from .program import STARTING, Program, Supervising, bind, program_environment
from .pump import Pump
from .templates import Forking, Templates

_BACKLOG = 2048
_STATUS_LIMIT_S = 1.0
_STACK_LIMIT_S = 0.1
_STACK_LIMIT_LINES = 200
_COSTLY_MS = 150.0


class ForkedProgram(Program, Forking):
    def __init__(self, supervisor: Supervising, templates: Templates, message: Dict[str, Any]) -> None:
        super().__init__(supervisor, message)
        self.entry: str = str(message["entry"])
        self._templates = templates
        self._socket: Optional[socket.socket] = None
        self._control: Optional[Channel] = None
        self._handoff: List[int] = []
        """The child's ends, kept open until the fork is reported so that another template can have them."""
        self._child_control: Optional[socket.socket] = None
        self.forks = 0
        self._is_late = False
        self._stack: List[str] = []
        """What the faulthandler said: lines that are no JSON."""

    def launch(self) -> None:
        try:
            self._socket = bind(self.host, self.port)
            self._socket.listen(_BACKLOG)
        except OSError as error:
            self.fail("port", f"port {self.port} on {self.host} cannot be had: {error.strerror}")
            return
        self.port = self._socket.getsockname()[1]
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        self._handoff = [out_write, err_write]
        self.pump = Pump(self.loop, self.supervisor.outlet, self.gen, out_read, err_read)
        self._templates.request(self)

    def is_wanted(self) -> bool:
        return self.state == STARTING and self.pid is None

    def descriptors(self) -> List[int]:
        assert self._socket is not None
        self._close_control()
        self.forks += 1
        ours, self._child_control = socket.socketpair()
        self._control = Channel(self.loop, ours, self._hear, self._control_ended)
        self._control.write(
            json_line(
                {
                    "gen": self.gen,
                    "dir": self.directory,
                    "entry": self.entry,
                    "env": program_environment(self),
                    "bytecode": self.supervisor.bytecode,
                    "received_at": self.received_at,
                }
            )
        )
        return [self._child_control.fileno(), self._socket.fileno(), *self._handoff]

    def forked(self, pid: int) -> None:
        if self._gone:
            os.kill(pid, signal.SIGKILL)  # too late: it was given up meanwhile
            return
        self._close_handoff()
        self.has_pid(pid)

    def cannot_fork(self, reason: str) -> None:
        self.fail("exit", reason)
        if not self._gone:
            self.force_abandon()

    def ask_to_end(self, grace_s: float) -> None:
        if self._control is not None:
            self._control.write(json_line({"t": "stop", "grace_s": grace_s}))
        self.signal_group(signal.SIGTERM)

    def abandon(self) -> None:
        # In a template's hands already it will get a pid, and then a signal.
        if not self._gone and self._templates.withdraw(self):
            self._gone = True
            self.finish()

    def force_abandon(self) -> None:
        if not self._templates.withdraw(self):
            self._templates.kill_current()
        self._gone = True
        self.finish()

    def out_of_time(self) -> None:
        if self.pid is None:
            super().out_of_time()
            if not self._gone:
                self.force_abandon()
            return
        self._is_late = True
        os.kill(self.pid, signal.SIGUSR2)
        self.later(_STACK_LIMIT_S, self._tell_late)

    def _tell_late(self) -> None:
        """With the place where it hangs, as far as the program could still tell."""
        prefix = self.directory.rstrip(os.sep) + os.sep
        frames = [line for line in self._stack if f'File "{prefix}' in line]
        place = re.search(r'File "(.+)", line (\d+)', frames[0][:4096].replace(prefix, "", 1)) if frames else None
        message = f"it was not ready within {self.timeout_s:g} s"
        if place is None:
            self.fail("timeout", message)
            return
        file, line = place.group(1), int(place.group(2))
        stack = [frame.replace(prefix, "", 1) for frame in self._stack[1 : self._stack.index(frames[-1]) + 1]]
        traceback = "\n".join(["It was here (most recent call first):", *stack])
        self.fail("timeout", f"{message}; it was at {file} line {line}", file=file, line=line, traceback=traceback)

    def before_end(self) -> None:
        if self._control is not None:
            self._control.read_rest()
        if self._is_late:
            self._tell_late()

    def release(self) -> None:
        self._close_handoff()
        self._close_control()

    def _close_control(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._child_control is not None:
            self._child_control.close()
            self._child_control = None

    def _close_handoff(self) -> None:
        for fd in self._handoff:
            os.close(fd)
        self._handoff = []
        for sock in (self._socket, self._child_control):
            if sock is not None:
                sock.close()
        self._socket = self._child_control = None

    def _hear(self, line: bytes) -> None:
        if not line.startswith(b"{"):
            if self.state == STARTING and len(self._stack) < _STACK_LIMIT_LINES:
                self._stack.append(line.decode("utf-8", "replace").rstrip())
            return
        message: Dict[str, Any] = json.loads(line)
        if message["t"] == "ready":
            self.mark_ready(message["kind"], message["import_ms"], message["ready_ms"], self._advice(message["costs"]))
            self._templates.learn(message["modules"], self.user_env)
        elif message["t"] == "modules" and self.state != STARTING:
            self._templates.learn(message["modules"], self.user_env)
        elif message["t"] == "failed":
            self.fail(
                message["kind"],
                message["message"],
                file=message["file"],
                line=message["line"],
                traceback=message["traceback"],
            )

    def _advice(self, costs: Dict[str, float]) -> List[str]:
        advice = []
        for name, ms in sorted(costs.items(), key=lambda item: -item[1]):
            if ms < _COSTLY_MS:
                continue
            if name in self._templates.shunned:
                why = "at every save: it starts threads or fails when it is preloaded"
            else:
                why = "this time; it is preloaded for the next save"
            advice.append(f"{name} costs {ms:.0f} ms {why}")
        return advice

    def _control_ended(self) -> None:
        self._control = None
        if self.pid is not None and not self._gone:
            self.later(_STATUS_LIMIT_S, self._look_for_it)

    def _look_for_it(self) -> None:
        """Its control socket is closed and nobody reported its end: where orphans are not the supervisor's to reap
        (no subreaper), or where the template hangs and reaps nobody, an end shows only so."""
        assert self.pid is not None
        if is_running(self.pid):
            self.later(_STATUS_LIMIT_S, self._look_for_it)
        else:
            self.leader_ended(None, None)
