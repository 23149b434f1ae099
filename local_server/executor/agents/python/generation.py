"""What runs in the forked child: takes on the API's environment, loads the entry and serves it."""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import signal
import site
import socket
import sys
import time
import types
from typing import Any, Dict, List, Optional

from . import bytecode, entry, failure, imports, serve
from .loop import json_line


def set_paths() -> None:
    """Put the dependency layers behind the standard library, and the serving packages at the very end, so that what a
    user's own layer brings always wins. Done in the template; a generation puts its directory in front."""
    for place in os.environ.get("APIMARKET_LAYER", "").split(os.pathsep):
        if os.path.isdir(place):
            site.addsitedir(place)  # as site-packages: `.pth` files count
    support = os.environ.get("APIMARKET_SUPPORT")
    if support:
        sys.path.append(support)
    imports.remember_roots(support)


class Reporter:
    """The child's end of the control socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    @property
    def sock(self) -> socket.socket:
        return self._sock

    def say(self, t: str, **fields: Any) -> None:
        try:
            self._sock.sendall(json_line({"t": t, **fields}))
        except OSError:
            # The supervisor is gone, or took this start back; either way nobody wants this process.
            os._exit(1)


def run(control_fd: int, listen_fd: int, out_fd: int, err_fd: int) -> None:
    """Returns when the API ended in good order; the process then ends as any Python program does."""
    control = socket.socket(fileno=control_fd)
    request = _read_request(control)
    _take_over_streams(out_fd, err_fd)
    _take_on(request)
    gc.enable()
    reporter = Reporter(control)
    clock = imports.Clock(request["dir"])
    # When the time is over the supervisor asks with this signal where the program hangs; see `forked.py`. It stays
    # registered: a signal that crosses with `ready` must not kill what just became ready.
    faulthandler.register(signal.SIGUSR2, file=control_fd, all_threads=False)
    try:
        served = entry.load(request["entry"], request["dir"])
    except BaseException as error:
        _fail(reporter, failure.describe(error, request["dir"]))
        return
    loaded_at = time.monotonic()

    def ready() -> None:
        now = time.monotonic()
        reporter.say(
            "ready",
            kind=served.kind,
            import_ms=(loaded_at - request["received_at"]) * 1000,
            ready_ms=(now - loaded_at) * 1000,
            costs=clock.costs_ms(),
            modules=clock.new_modules(),
        )

    def settled() -> None:
        modules = clock.new_modules()
        if modules:
            reporter.say("modules", modules=modules)

    clock.stop()
    try:
        startup_error = serve.serve(served, socket.socket(fileno=listen_fd), control, ready, settled)
    except BaseException as error:
        startup_error = error
    if startup_error is not None:
        _fail(reporter, failure.describe_start(startup_error, request["dir"]))


def _read_request(control: socket.socket) -> Dict[str, Any]:
    data = b""
    while not data.endswith(b"\n"):
        # Byte by byte would be slow and a peek may be partial: only one line is ever sent before the answer, save for
        # a stop, and then SIGTERM has ended this process already.
        part = control.recv(65536)
        if not part:
            os._exit(1)
        data += part
    request: Dict[str, Any] = json.loads(data.partition(b"\n")[0])
    return request


def _take_over_streams(out_fd: int, err_fd: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (out_fd, 1), (err_fd, 2)):
        os.dup2(source, target)
        os.close(source)
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = _open_for_lines(1)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _open_for_lines(2)  # type: ignore[misc]


def _open_for_lines(fd: int) -> Any:
    return open(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _take_on(request: Dict[str, Any]) -> None:
    try:
        os.setpgid(0, 0)
    except OSError:
        pass  # the template was quicker
    directory = request["dir"]
    os.environ.clear()
    os.environ.update(request["env"])
    if "TZ" in request["env"]:
        time.tzset()
    os.chdir(directory)
    sys.argv = [request["entry"]]
    own, fallback = imports.own_places(directory, request["entry"])
    sys.path[:0] = [*own, *_python_path(request["env"])]
    sys.path += fallback
    # Whoever asks for `__main__` (multiprocessing, pickle) must not find the agent.
    sys.modules["__main__"] = types.ModuleType("__main__")
    for place in own:
        imports.give_way(place)
    if request["bytecode"]:
        bytecode.install(directory, request["bytecode"])
    _reseed()


def _python_path(env: Dict[str, str]) -> List[str]:
    return [place for place in env.get("PYTHONPATH", "").split(os.pathsep) if place]


def _reseed() -> None:
    # `random` reseeds itself after a fork; numpy's global generator does not, and every generation would draw the same.
    numpy_random: Optional[Any] = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def _fail(reporter: Reporter, described: Dict[str, Any]) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    reporter.say("failed", **described)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
    # Not `sys.exit`: threads and exit handlers of a program that never started must not keep it.
    os._exit(1)
