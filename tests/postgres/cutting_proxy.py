"""Stands between a storage and its server, and cuts the connection at a chosen word."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

Cut = Literal["before", "after"]


class CuttingProxy:
    """Carries everything until `arm` was called; then the next message with that word in it is lost with its connection
    (before), or arrives and its answer is lost (after). A context manager; `directory` is where it listens."""

    def __init__(self, server: Path, directory: Path) -> None:
        self._server = server
        self.directory = directory
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(directory / ".s.PGSQL.5432"))
        self._listener.listen(64)
        self._word = b""
        self._when: Cut = "before"
        self.cuts = 0
        self._sockets = [self._listener]
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> "CuttingProxy":
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._sockets:
            _end(one)
        for thread in self._threads:
            thread.join(10)
        for one in self._sockets:
            one.close()

    def arm(self, word: bytes, when: Cut) -> None:
        self._when, self._word = when, word

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._server / ".s.PGSQL.5432"))
                self._sockets += [client, server]
                self._start(self._forth, client, server)
                self._start(self._back, server, client)

    def _start(self, work: Callable[..., None], *sockets: socket.socket) -> None:
        self._threads.append(threading.Thread(target=work, args=sockets, daemon=True))
        self._threads[-1].start()

    def _forth(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while sent := client.recv(65536):
                if self._word and self._word in sent:
                    self._word = b""
                    self.cuts += 1
                    if self._when == "after":
                        client.shutdown(socket.SHUT_RDWR)  # nobody hears the answer any more
                        server.sendall(sent)
                        server.shutdown(socket.SHUT_WR)
                    break
                server.sendall(sent)
        _end(client)
        if self._when == "before" or not self.cuts:
            _end(server)

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while answer := server.recv(65536):
                with suppress(OSError):
                    client.sendall(answer)
        _end(client)
        _end(server)


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
