"""A generation that is any program: started as it is, ready when its port accepts a connection."""

from __future__ import annotations

import errno
import os
import re
import socket
import subprocess
import time
from typing import Any, Dict, List, Optional

from .processes import can_see_files_of_group, listeners_of_group
from .program import STARTING, Program, Supervising, bind, program_environment
from .pump import Pump

_FIRST_POLL_S = 0.003
_SLOWEST_POLL_S = 0.02
_ELSEWHERE_LIMIT_S = 2.0
_WILDCARDS = ("0.0.0.0", "::", "")
_VARIABLE = re.compile(r"\$(?:\{(PORT|HOST)\}|(PORT|HOST)\b)", re.ASCII)


class CommandProgram(Program):
    def __init__(self, supervisor: Supervising, message: Dict[str, Any]) -> None:
        super().__init__(supervisor, message)
        command = message["command"]
        self.argv: List[str] = [command] if isinstance(command, str) else [str(part) for part in command]
        self._poll_s = _FIRST_POLL_S
        self._probe: Optional[socket.socket] = None
        self._started_at = 0.0
        self._elsewhere_since: Optional[float] = None
        self._next_look_at = 0.0

    def launch(self) -> None:
        try:
            # Proves the port free, and with port 0 finds one. The program itself binds it a moment later.
            with bind(self.host, self.port) as sock:
                self.port = sock.getsockname()[1]
        except OSError as error:
            self.fail("port", f"port {self.port} on {self.host} cannot be had: {error.strerror}")
            return
        self.argv = filled_in(self.argv, {"PORT": str(self.port), "HOST": self.host})
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        self.pump = Pump(self.loop, self.supervisor.outlet, self.gen, out_read, err_read)
        try:
            process = subprocess.Popen(
                self.argv,
                cwd=self.directory,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=out_write,
                stderr=err_write,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            self.fail("exit", f"cannot run {self.argv[0]!r}: {reason}")
            return
        finally:
            os.close(out_write)
            os.close(err_write)
        process.returncode = 0  # the supervisor reaps; nothing must wait for this process a second time
        self._started_at = time.monotonic()
        self.has_pid(process.pid)
        self.later(self._poll_s, self._poll)

    def _environment(self) -> Dict[str, str]:
        """As for an entry; besides, `python`, `flask` and `gunicorn` find the dependency layer."""
        env = program_environment(self)
        layers = list(self.supervisor.layers)
        places = layers + ([self.supervisor.support] if self.supervisor.support else [])
        if places:
            inherited = [env["PYTHONPATH"]] if env.get("PYTHONPATH") else []
            env["PYTHONPATH"] = os.pathsep.join(inherited + places)
        programs = [os.path.join(layer, "bin") for layer in layers]
        env["PATH"] = os.pathsep.join([*programs, env.get("PATH", os.defpath)])
        return env

    def release(self) -> None:
        self._close_probe()

    def _close_probe(self) -> None:
        if self._probe is not None:
            self.loop.watch(self._probe.fileno())
            self._probe.close()
            self._probe = None

    def _poll(self) -> None:
        if self.state != STARTING:
            return
        self._poll_s = min(self._poll_s * 1.5, _SLOWEST_POLL_S)
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)
        self._probe = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        self._probe.setblocking(False)
        result = self._probe.connect_ex((host, self.port))
        if result == errno.EINPROGRESS:
            self.loop.watch(self._probe.fileno(), write=self._probe_answered)
        else:
            self._probed(result)

    def _probe_answered(self) -> None:
        assert self._probe is not None
        self._probed(self._probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def _met_itself(self) -> bool:
        """A connection to a free port of this machine may get that very port for its own end: TCP then connects it to
        itself, and nobody listens."""
        assert self._probe is not None
        try:
            return bool(self._probe.getsockname() == self._probe.getpeername())
        except OSError:
            return False

    def _probed(self, result: int) -> None:
        if result == 0 and self._met_itself():
            result = errno.ECONNREFUSED
        self._close_probe()
        if self.state != STARTING:
            return
        if result == 0 and self._is_served_here():
            now = time.monotonic()
            self.mark_ready(
                "command", (self._started_at - self.received_at) * 1000, (now - self._started_at) * 1000, []
            )
            return
        if self._is_elsewhere_for_good():
            self.fail("port", self._port_message())
            return
        self.later(self._poll_s, self._poll)

    def _is_served_here(self) -> bool:
        """Something accepts on the port; is it this program, and can the gateway reach it? The port was free a moment
        ago, but without a sandbox around it anybody may have taken it since; and a program that listens on the loopback
        address of a sandbox hears nothing from outside."""
        assert self.pid is not None
        if not can_see_files_of_group(self.pid):
            return True
        mine = [listener for listener in listeners_of_group(self.pid) if listener.port == self.port]
        return any(not listener.loopback_only or self.host not in _WILDCARDS for listener in mine)

    def _is_elsewhere_for_good(self) -> bool:
        now = time.monotonic()
        if now < self._next_look_at or self.pid is None:
            return False
        # Reading /proc costs a millisecond or more: now and then is enough.
        self._next_look_at = now + 0.25
        if not listeners_of_group(self.pid):
            self._elsewhere_since = None
            return False
        if self._elsewhere_since is None:
            self._elsewhere_since = now
        return now - self._elsewhere_since >= _ELSEWHERE_LIMIT_S

    def _port_message(self) -> str:
        listeners = listeners_of_group(self.pid) if self.pid is not None else []
        if any(listener.port == self.port for listener in listeners):
            return f"it listens on 127.0.0.1:{self.port} only; it must listen on $HOST ({self.host})"
        ports = " and ".join(str(port) for port in sorted({listener.port for listener in listeners}))
        word = "ports" if " " in ports else "port"
        return f"it listens on {word} {ports} and not on $PORT ({self.port})"

    def out_of_time(self) -> None:
        if self.pid is not None and listeners_of_group(self.pid):
            self.fail("port", self._port_message())
            return
        tail = "\n".join(self.pump.tail()) if self.pump is not None else ""
        message = f"nothing listened on $PORT ({self.port}) within {self.timeout_s:g} s"
        self.fail("timeout", message, traceback=tail)


def filled_in(words: List[str], variables: Dict[str, str]) -> List[str]:
    """Many programs take their port as an argument only, and there is no shell to put it there. Nothing else is
    replaced: `$PORTAL` stays, and so does every other variable."""
    return [_VARIABLE.sub(lambda found: variables[found.group(1) or found.group(2)], word) for word in words]
