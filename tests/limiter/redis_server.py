"""A Redis of a test's own, on a Unix socket alone, which can be killed, paused and started again."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

START_S = 30


class RedisServer:
    def __init__(self, directory: Path, password: str, options: Sequence[str]) -> None:
        self._socket = directory / "redis.sock"
        self._password = password
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://:{self._password}@{self._socket}" if self._password else f"unix://{self._socket}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @classmethod
    @contextmanager
    def started(cls, password: str = "", options: Sequence[str] = ()) -> "Iterator[RedisServer]":
        """In a new directory below /tmp: the way to a socket must be short. `options` are redis-server's."""
        directory = Path(tempfile.mkdtemp(prefix="redis-", dir="/tmp"))
        server = cls(directory, password, options)
        try:
            server.start()
            yield server
        finally:
            server.kill()
            shutil.rmtree(directory, ignore_errors=True)

    def start(self) -> None:
        command = ["redis-server", "--port", "0", "--unixsocket", str(self._socket), "--save", "", "--dir", "/tmp"]
        if self._password:
            command += ["--requirepass", self._password]
        self._process = subprocess.Popen([*command, *self._options], stdout=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("redis-server did not start")
            time.sleep(0.01)

    def _answers(self) -> bool:
        """Any answer, also one that wants a password."""
        with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self._socket))
            connection.sendall(b"PING\r\n")
            return bool(connection.recv(64))
        return False

    def kill(self) -> None:
        """With all that it counted."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None

    def pause(self) -> None:
        """It takes connections, and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
