"""Start the server in the background when none answers, and stop it: at most one for a data directory."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from local_server.client import discovery
from local_server.client.discovery import Endpoint
from local_server.client.errors import ApimarketClientError, ServerUnreachableError
from local_server.client.synchronous import Client
from local_server.domain.server_errors import DirectoryRefused

START_S = 15.0
STOP_S = 40.0
_LOG_LIMIT_BYTES = 5 * 1024 * 1024
_LAST_WORDS = 12

Progress = Callable[[str], None]


def answers(endpoint: Endpoint) -> bool:
    """Whether an apimarket server answers there. Raises ApimarketClientError when another program does."""
    try:
        health = Client(endpoint.url).health()
    except ServerUnreachableError:
        return False
    except ApimarketClientError as error:
        if error.code == "unexpected_answer":
            raise _another_program(endpoint.url) from error
        raise
    if "engine" not in health or "version" not in health:
        raise _another_program(endpoint.url)
    return True


def ensure_running(progress: Progress = lambda _: None) -> Endpoint:
    """The server of this user: the one that answers, else one started now. Raises ApimarketClientError with the
    reason when it does not come up or its data directory cannot be used, ServerUnreachableError when the URL was the
    user's choice."""
    endpoint = discovery.find()
    if endpoint.chosen or endpoint.pid is not None:
        if answers(endpoint):
            return endpoint
        if endpoint.chosen:
            raise ServerUnreachableError(endpoint.url, "connection refused (APIMARKET_URL chose this address)")
    home = endpoint.home
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        refused = DirectoryRefused(str(home), (error.strerror or str(error)).lower())
        raise ApimarketClientError(
            refused.detail, hint=refused.hint, code=refused.code, status=refused.status, title=refused.title
        ) from None
    with _only_one(home):
        endpoint = discovery.find()
        if endpoint.pid is not None and answers(endpoint):
            return endpoint
        progress("starting the local server")
        return _start(home, progress)


def stop(endpoint: Endpoint, *, apis: bool) -> bool:
    """Stop the server and wait until its process is gone. False when none was running."""
    client = Client(endpoint.url, endpoint.token)
    try:
        pid = client.server()["pid"]
        client.stop_server(apis=apis)
    except ServerUnreachableError:
        return False
    deadline = time.monotonic() + STOP_S
    while discovery.alive(pid):
        if time.monotonic() > deadline:
            raise ApimarketClientError(
                f"The server (process {pid}) is still there after {STOP_S:.0f} s",
                hint=f"See what it waits for in {endpoint.home / 'server.log'}, or end it: kill {pid}",
                code="stop_timeout",
                status=504,
                title="The server does not stop",
            )
        time.sleep(0.02)
    return True


def _start(home: Path, progress: Progress) -> Endpoint:
    # `-m` finds the package in the working directory; the child goes to the data directory afterwards. New projects
    # go where the user is, as they do with a server in the foreground.
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "local_server", "serve", "--background"]
    environment = {"APIMARKET_PROJECTS": os.getcwd(), **os.environ, "APIMARKET_HOME": str(home)}
    with _log(home) as log:
        before = log.tell()
        child = subprocess.Popen(
            command,
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    started = time.monotonic()
    told_s = 0.0
    while True:
        if (endpoint := _came_up(home, child)) is not None:
            # The server outlives this process: its Popen must not complain about that when it is collected.
            child.returncode = 0
            return endpoint
        waited_s = time.monotonic() - started
        if child.poll() is not None and (error := _last_error(home, before)).code != "already_running":
            raise error
        if waited_s > START_S:
            child.terminate()
            child.wait()
            raise _too_slow(home)
        if waited_s - told_s > 2.0:
            told_s = waited_s
            progress(f"still starting ({waited_s:.0f} s)")
        time.sleep(0.02)


def _came_up(home: Path, child: "subprocess.Popen[bytes]") -> Endpoint | None:
    """The endpoint, once the child (or a server that was quicker to take the data directory) answers."""
    endpoint = discovery.find(home)
    if endpoint.pid is None or (endpoint.pid != child.pid and child.poll() is None):
        return None
    return endpoint if answers(endpoint) else None


@contextlib.contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Two commands at once start one server: the second waits here and then finds it."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(home / "launch.lock", timeout=START_S + 5):
            yield
    except Timeout:
        raise _too_slow(home) from None


def _log(home: Path) -> IO[bytes]:
    path = home / "server.log"
    with contextlib.suppress(OSError):
        if path.stat().st_size > _LOG_LIMIT_BYTES:
            path.replace(home / "server.log.1")
    descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    log = os.fdopen(descriptor, "ab")
    log.seek(0, os.SEEK_END)
    return log


def last_problem(home: Path) -> ApimarketClientError | None:
    """What the last background start ended with, when the last line of server.log says so."""
    try:
        lines = (home / "server.log").read_bytes()[-65536:].decode("utf-8", "replace").splitlines()
    except OSError:
        return None
    return _problem(lines[-1]) if lines else None


def _last_error(home: Path, offset: int) -> ApimarketClientError:
    """Why the child ended: the problem it wrote as its last JSON line, else the end of what it said."""
    path = home / "server.log"
    with path.open("rb") as log:
        log.seek(offset)
        lines = log.read(_LOG_LIMIT_BYTES).decode("utf-8", "replace").splitlines()
    for line in reversed(lines):
        if (problem := _problem(line)) is not None:
            if problem.code == "internal":
                problem.hint = f"All of it is in {path}. Try in the foreground: apimarket serve"
            return problem
    words = "\n".join(lines[-_LAST_WORDS:])
    return ApimarketClientError(
        f"The server ended while it was starting{':' if words else '.'}\n{words}".rstrip(),
        hint=f"All of it is in {path}. Try in the foreground: apimarket serve",
        code="start_failed",
        status=503,
        title="The server did not start",
    )


def _problem(line: str) -> ApimarketClientError | None:
    try:
        written: Any = json.loads(line)
        return ApimarketClientError(
            written["detail"],
            hint=written.get("hint", ""),
            code=written["code"],
            status=written["status"],
            title=written["title"],
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _too_slow(home: Path) -> ApimarketClientError:
    return ApimarketClientError(
        f"The server did not answer within {START_S:.0f} s",
        hint=f"See what it waits for in {home / 'server.log'}, or start it in the foreground: apimarket serve",
        code="start_timeout",
        status=504,
        title="The server did not start",
    )


def _another_program(url: str) -> ApimarketClientError:
    return ApimarketClientError(
        f"Another program answers at {url}",
        hint="Use another port: apimarket serve --port 8081",
        code="another_program",
        status=503,
        title="That address is another program's",
    )
