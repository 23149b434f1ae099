"""The supervisor's side of the template: which one forks, which one is being warmed, and what must not be preloaded.

There is always a template without preload to fall back on, so a generation never waits for a preload, and a template
that crashes, hangs or starts threads costs nothing but itself.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from typing import Any, Callable, Dict, List, Optional, Set

from .loop import Channel, json_line
from .program import Supervising
from .pump import Pump

_PRELOAD_LIMIT_S = 30.0
_RETIRE_LIMIT_S = 2.0
_MAX_TRIES = 12
_MAX_FORKS = 3
_PLAIN_TRIES = 3


class Template:
    """One template process."""

    def __init__(self, owner: Templates, modules: List[str], env: Optional[Dict[str, str]]) -> None:
        self.modules = modules
        self.env = env
        """The API's environment it was started in; None for a plain one, which fits any."""
        self.up = False
        self.closed = False
        self.unwanted = False
        """Killed because a better one is wanted, not because of what it loaded."""
        self.loading: Optional[str] = None
        self.loaded: Set[str] = set()
        self.waiting: List[Forking] = []
        """Asked to be forked here, and not yet reported."""
        self._owner = owner
        ours, theirs = socket.socketpair()
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        loop = owner.supervisor.loop
        self.pump = Pump(loop, owner.supervisor.outlet, 0, out_read, err_read)
        agent = os.path.join(os.path.dirname(os.path.abspath(__file__)), "agent.py")
        process = subprocess.Popen(
            [sys.executable, agent, "--template", str(theirs.fileno())],
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=out_write,
            stderr=err_write,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        process.returncode = 0  # the supervisor reaps
        self.pid = process.pid
        theirs.close()
        os.close(out_write)
        os.close(err_write)
        self.channel = Channel(loop, ours, self._hear, lambda: None)
        self.channel.write(json_line({"modules": modules, "shunned": sorted(owner.shunned)}))

    def fork(self, forking: Forking) -> bool:
        """Whether the request could be passed on."""
        if self.channel.sock is None:
            return False
        try:
            socket.send_fds(self.channel.sock, [b"F"], forking.descriptors())
        except OSError:
            return False
        self.waiting.append(forking)
        return True

    def retire(self) -> None:
        """Let it go: its generations live on, as children of the supervisor."""
        if self.channel.sock is not None:
            self.channel.write(b"R")

    def kill_if_there(self) -> None:
        if not self.closed:
            self.kill()

    def kill(self) -> None:
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def close(self) -> None:
        self.closed = True
        self.channel.close()
        self.pump.finish()

    def _hear(self, line: bytes) -> None:
        message: Dict[str, Any] = json.loads(line)
        kind = message["t"]
        if kind == "loading":
            self.loading = message["module"]
        elif kind == "threads":
            self._owner.shun(message["module"])
        elif kind == "up":
            self.loading = None
            self.up = True
            self.loaded = set(message["modules"])
            self._owner.is_up(self)
        elif kind == "forked":
            self.waiting.pop(0).forked(message["pid"])
        elif kind == "not-forked":
            self.waiting.pop(0).cannot_fork(message["reason"])
        elif kind == "exit":
            self._owner.reaped(message["pid"], message["status"])


class Forking:
    """A generation that waits to be forked."""

    user_env: Dict[str, str]
    forks: int
    """How many templates were asked."""

    def is_wanted(self) -> bool:
        """Whether a process is still to be started for it."""
        raise NotImplementedError

    def descriptors(self) -> List[int]:
        """What goes to the child, in order: control, listening socket, standard output, standard error. Called anew for
        every try."""
        raise NotImplementedError

    def forked(self, pid: int) -> None:
        raise NotImplementedError

    def cannot_fork(self, reason: str) -> None:
        raise NotImplementedError


class Templates:
    def __init__(self, supervisor: Supervising, reaped: Callable[[int, int], None]) -> None:
        self.supervisor = supervisor
        self.reaped = reaped
        self.shunned: Set[str] = set()
        """Top-level names that must be imported in the generation: they start threads, crash or hang."""
        self._current: Optional[Template] = None
        self._warming: Optional[Template] = None
        self._wanted: List[str] = []
        self._wanted_env: Dict[str, str] = {}
        self._tries = 0
        self._plain_failures = 0
        self._queue: List[Forking] = []
        self._closed = False

    def begin(self) -> None:
        """Start the plain template, so that the first generation finds it up."""
        self._current = self._spawn([], None)

    def request(self, forking: Forking) -> None:
        """Fork it as soon as a template that fits is up: now, as a rule."""
        self._queue.append(forking)
        self._serve_queue()

    def withdraw(self, forking: Forking) -> bool:
        """False when a template has it in hand already: then it will get a process all the same."""
        if forking in self._queue:
            self._queue.remove(forking)
        return self._current is None or forking not in self._current.waiting

    def kill_current(self) -> None:
        if self._current is not None:
            self._current.kill()

    def learn(self, modules: List[str], env: Dict[str, str]) -> None:
        """A generation is ready and used these modules beyond those it found: preload them for the next."""
        current = self._warming or self._current
        known = set(current.modules) if current is not None and current.env == env else set()
        wanted = [name for name in modules if name not in known and name.partition(".")[0] not in self.shunned]
        if not wanted or self._closed:
            return
        if current is not None and current.env == env:
            wanted = current.modules + wanted
        self._wanted, self._wanted_env, self._tries = wanted, env, 0
        self._warm()

    def shun(self, module: str) -> None:
        self.shunned.add(module.partition(".")[0])

    def owns(self, pid: int) -> bool:
        return any(template is not None and template.pid == pid for template in (self._current, self._warming))

    def ended(self, pid: int) -> None:
        """A template process was reaped."""
        for template in (self._current, self._warming):
            if template is not None and template.pid == pid:
                self._bury(template)

    def is_up(self, template: Template) -> None:
        if template is self._warming:
            old, self._current, self._warming = self._current, template, None
            if old is not None:
                self._retire(old)
        self._serve_queue()

    def close(self) -> None:
        self._closed = True
        for template in (self._warming, self._current):
            if template is not None:
                template.kill()

    def _retire(self, template: Template) -> None:
        template.retire()
        if sys.platform.startswith("linux"):
            # Elsewhere it has to stay until its generations have ended, see `template.py`.
            self.supervisor.loop.call_later(_RETIRE_LIMIT_S, template.kill_if_there)
        # It tells the last exits it saw, then its own end; what comes after that comes to the supervisor by itself.
        self.supervisor.adopt(template.pid, lambda code, number: self._bury_retired(template))

    def _bury_retired(self, template: Template) -> None:
        template.channel.read_rest()
        template.close()
        self._take_back(template)
        self._serve_queue()

    def _take_back(self, template: Template) -> None:
        """What a dead template had in hand goes to another, a few times."""
        for forking in reversed(template.waiting):
            if not forking.is_wanted():
                forking.cannot_fork("its template was ended")
            elif forking.forks < _MAX_FORKS:
                self._queue.insert(0, forking)
            else:
                forking.cannot_fork(f"the template process ended {forking.forks} times while it started this program")
        template.waiting = []

    def _spawn(self, modules: List[str], env: Optional[Dict[str, str]]) -> Template:
        template = Template(self, modules, env)
        if modules:
            self.supervisor.loop.call_later(_PRELOAD_LIMIT_S, lambda: None if template.up else template.kill_if_there())
        return template

    def _warm(self) -> None:
        if self._warming is not None:
            # The one under way lacks a module; it would only be thrown away later.
            self._warming.unwanted = True
            self._warming.kill()
            return
        modules = [name for name in self._wanted if name.partition(".")[0] not in self.shunned]
        if modules and self._tries < _MAX_TRIES and not self._closed:
            self._tries += 1
            self._warming = self._spawn(modules, self._wanted_env)

    def _bury(self, template: Template) -> None:
        template.channel.read_rest()
        if not template.up and not template.unwanted and template.loading is not None:
            self.shun(template.loading)
        template.close()
        if template is self._warming:
            self._warming = None
            self._warm()
            return
        self._current = None
        self._take_back(template)
        if self._closed:
            return
        self._plain_failures = 0 if template.up else self._plain_failures + 1
        if self._plain_failures < _PLAIN_TRIES:
            self._current = self._spawn([], None)
        else:
            self._give_up()
        if template.modules and self._warming is None:
            self._wanted, self._wanted_env = template.modules, template.env or {}
            self._tries += 1
            self._warm()

    def _give_up(self) -> None:
        waiting, self._queue = self._queue, []
        for forking in waiting:
            forking.cannot_fork("the Python interpreter of the sandbox does not start; see the agent's log")

    def _serve_queue(self) -> None:
        for forking in list(self._queue):
            template = self._fitting(forking)
            if template is not None and template.up and template.fork(forking):
                self._queue.remove(forking)

    def _fitting(self, forking: Forking) -> Optional[Template]:
        """The template to fork from, up or not yet. Modules may have read the environment they were imported in, so a
        changed environment asks for a plain template."""
        if self._current is None:
            if self._plain_failures >= _PLAIN_TRIES:
                self._plain_failures = 0
            self._current = self._spawn([], None)
        elif self._current.env is not None and self._current.env != forking.user_env:
            self._retire(self._current)
            self._current = self._spawn([], None)
        return self._current
