"""The template process: imports third-party modules once, then forks one generation a request.

It must stay single-threaded: a fork copies only the calling thread, and locks the others hold stay locked for ever. A
module that starts a thread while it is imported is therefore told to the supervisor, which starts another template
without it.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
from importlib.machinery import ModuleSpec
from typing import Any, Dict, List, NoReturn, Optional, Sequence, Set

from . import generation
from .loop import json_line

# What serving needs in any case; imported before the first request, from the user's layer when it brings its own.
_SERVING = (
    "asyncio",
    "inspect",
    "logging.config",
    "uvicorn",
    "uvicorn.config",
    "uvicorn.server",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
)


class _NotHere(BaseException):
    """A shunned module is wanted. No `Exception`: a module that merely prefers another one (`except ImportError`) must
    not settle for less in the template than it would get in a generation."""


class _Gate:
    """A finder that keeps shunned modules out of the template."""

    def __init__(self, shunned: Sequence[str]) -> None:
        self._shunned = set(shunned)
        self.hits = 0

    def find_spec(self, name: str, path: object = None, target: object = None) -> Optional[ModuleSpec]:
        if name.partition(".")[0] in self._shunned:
            self.hits += 1
            raise _NotHere(name)
        return None


def main(channel_fd: int) -> None:
    channel = socket.socket(fileno=channel_fd)
    channel.set_inheritable(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order = _read_order(channel)
    generation.set_paths()
    gc.disable()  # a collection now would only move garbage into pages the generations share
    loaded = _preload(channel, order["modules"], order["shunned"])
    gc.collect()
    gc.freeze()
    _say(channel, {"t": "up", "modules": loaded})
    descriptors = _Forker(channel).run()
    generation.run(*descriptors)


def _read_order(channel: socket.socket) -> Dict[str, Any]:
    data = b""
    while not data.endswith(b"\n"):
        part = channel.recv(65536)
        if not part:
            os._exit(0)
        data += part
    order: Dict[str, Any] = json.loads(data)
    return order


def _say(channel: socket.socket, message: Dict[str, Any]) -> None:
    try:
        channel.sendall(json_line(message))
    except OSError:
        os._exit(0)  # the supervisor is gone


def _preload(channel: socket.socket, modules: List[str], shunned: List[str]) -> List[str]:
    gate = _Gate(shunned)
    sys.meta_path.insert(0, gate)
    loaded: List[str] = []
    for name in (*_SERVING, *modules):
        _say(channel, {"t": "loading", "module": name})
        hits = gate.hits
        try:
            importlib.import_module(name)
            loaded.append(name)
        except _NotHere:
            continue
        except BaseException:
            # It fails in the generation too, and is told there, or it is happier there. Not an error here.
            continue
        if count_threads() > 1 or gate.hits != hits:
            _say(channel, {"t": "threads", "module": name})
            os._exit(3)
    sys.meta_path.remove(gate)
    return loaded


def count_threads() -> int:
    """Threads of this process, those of extension modules too where the system tells."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return threading.active_count()


class _Forker:
    """Serves fork requests until it is told to go; returns only in a child, with its descriptors."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._children: Set[int] = set()
        self._wakeup = socket.socketpair()
        for sock in self._wakeup:
            sock.setblocking(False)

    def run(self) -> List[int]:
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakeup[1].fileno(), warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        poll.register(self._wakeup[0], select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._wakeup[0].fileno() in ready:
                self._wakeup[0].recv(4096)
                self._reap()
            if self._channel.fileno() in ready:
                descriptors = self._serve()
                if descriptors is not None:
                    return descriptors

    def _serve(self) -> Optional[List[int]]:
        """One request; the child's descriptors in the child, None in the template."""
        word, descriptors, _, _ = socket.recv_fds(self._channel, 1, 4)
        if word == b"R":
            self._leave()
        if not word:
            self._end_all()
        try:
            pid = os.fork()
        except OSError as error:
            _say(self._channel, {"t": "not-forked", "reason": f"no process could be started: {error.strerror}"})
            pid = -1
        if pid == 0:
            self._close_in_child()
            return descriptors
        if pid > 0:
            self._adopt(pid)
        for fd in descriptors:
            os.close(fd)
        return None

    def _adopt(self, pid: int) -> None:
        self._children.add(pid)
        try:
            # Both sides set the group: whoever comes first, a signal to the group never misses.
            os.setpgid(pid, pid)
        except OSError:
            pass
        _say(self._channel, {"t": "forked", "pid": pid})

    def _reap(self) -> None:
        while self._children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._children:
                self._children.discard(pid)
                _say(self._channel, {"t": "exit", "pid": pid, "status": status})

    def _leave(self) -> None:
        """Another template serves from now on. The generations become children of the supervisor; where the system
        would give them to somebody else, wait for their end here."""
        self._reap()
        while self._children and not sys.platform.startswith("linux"):
            pid, status = os.waitpid(-1, 0)
            self._children.discard(pid)
            _say(self._channel, {"t": "exit", "pid": pid, "status": status})
        os._exit(0)

    def _end_all(self) -> NoReturn:
        """The supervisor is gone without a word."""
        for pid in self._children:
            try:
                os.killpg(pid, signal.SIGKILL)
            except OSError:
                continue
        os._exit(1)

    def _close_in_child(self) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for sock in (self._channel, *self._wakeup):
            sock.close()
