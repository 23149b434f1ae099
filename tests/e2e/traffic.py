"""A steady stream of requests beside a test, each answer of which counts."""

import http.client
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Answer:
    status: int
    body: str
    generation: str


@dataclass
class Traffic:
    """Calls a URL again and again until the block ends; failed requests are kept."""

    url: str
    method: str = "GET"
    body: bytes | None = None
    answers: list[Answer] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> "Traffic":
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
        while not self._stop.is_set():
            try:
                self.answers.append(call(connection, self.method, parts.path or "/", self.body))
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
            else:
                if self.answers[-1].status != 200:
                    self.failures.append(f"{self.answers[-1].status}: {self.answers[-1].body[:300]}")
            time.sleep(0.002)
        connection.close()


def call(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    connection.request(method, path, body, dict(headers or {}))
    response = connection.getresponse()
    text = response.read().decode(errors="replace")
    return Answer(response.status, text, response.headers.get("x-apimarket-generation", ""))


def ask(url: str, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Answer:
    """One request on a connection of its own."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        return call(connection, method, parts.path + (f"?{parts.query}" if parts.query else "") or "/", body, headers)
    finally:
        connection.close()
