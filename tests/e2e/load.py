"""Clients of every kind, in threads of their own, that notice everything that goes wrong."""

import hashlib
import http.client
import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

# What the clients call. An event or an echo says which save its generation is, and so does every answer.
APP = """
import asyncio, hashlib, json

SAVE = {save}


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await echo(receive, send)
    elif scope["type"] == "http" and scope["path"].endswith("/events"):
        await events(scope, send)
    elif scope["type"] == "http":
        await answer(receive, send)
    else:
        raise RuntimeError("no lifespan here")


async def answer(receive, send):
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    said = {{"save": SAVE, "sha256": hashlib.sha256(body).hexdigest()}}
    headers = [(b"content-type", b"application/json")]
    await send({{"type": "http.response.start", "status": 200, "headers": headers}})
    await send({{"type": "http.response.body", "body": json.dumps(said).encode()}})


async def events(scope, send):
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
    await send({{"type": "http.response.start", "status": 200, "headers": headers}})
    for number in range(int(scope["query_string"] or b"20")):
        event = b"id: %d\\ndata: %d\\n\\n" % (number, SAVE)
        await send({{"type": "http.response.body", "body": event, "more_body": True}})
        await asyncio.sleep(0.05)
    await send({{"type": "http.response.body", "body": b""}})


async def echo(receive, send):
    await receive()
    await send({{"type": "websocket.accept"}})
    while (message := await receive())["type"] == "websocket.receive":
        await send({{"type": "websocket.send", "text": "%d %s" % (SAVE, message["text"])}})
"""


# Of a stream or a conversation, each part of which takes a twentieth of a second.
LENGTHS = (5, 20, 60, 140)


@dataclass
class Client:
    """Calls until it is told to stop. `done` counts what went well; `failures` says what did not, and when."""

    url: str
    random: random.Random
    stopping: threading.Event
    done: int = 0
    failures: list[str] = field(default_factory=list)

    kind = ""

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                self.once()
                self.done += 1
            except (OSError, http.client.HTTPException, WebSocketException, AssertionError, ValueError) as error:
                self.failures.append(f"{self.kind} at {time.strftime('%X')}: {error!r}"[:500])
        self.close()

    def once(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what is kept from one call to the next."""

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=20)

    @property
    def path(self) -> str:
        return urlsplit(self.url).path


@dataclass
class Caller(Client):
    """Requests with and without a body, one after the other on a connection that is kept."""

    has_body: bool = False
    first_seen: dict[int, float] = field(default_factory=dict)
    """Save -> when it answered first, by `time.time`."""
    newest: int = -1

    @property
    def kind(self) -> str:  # type: ignore[override]
        return "POST" if self.has_body else "GET"

    def __post_init__(self) -> None:
        self._kept = self.connection()

    def once(self) -> None:
        body = self.random.randbytes(self.random.choice([10, 1_000, 200_000])) if self.has_body else b""
        try:
            self._kept.request(self.kind, self.path, body or None)
            response = self._kept.getresponse()
            text = response.read()
        except BaseException:
            self._kept.close()
            raise
        assert response.status == 200, (response.status, text)
        said = json.loads(text)
        assert said["sha256"] == hashlib.sha256(body).hexdigest()
        assert said["save"] >= self.newest, f"save {said['save']} answered after {self.newest} had"
        if said["save"] not in self.first_seen:
            self.first_seen[said["save"]] = time.time()
        self.newest = said["save"]
        self.stopping.wait(0.004 if not self.has_body else 0.02)

    def close(self) -> None:
        self._kept.close()


class Listener(Client):
    """Server-sent events: every one of a stream must come, all from one generation, and then its proper end."""

    kind = "SSE"

    def once(self) -> None:
        count = self.random.choice(LENGTHS)
        connection = self.connection()
        try:
            connection.request("GET", f"{self.path}events?{count}")
            response = connection.getresponse()
            assert response.status == 200, (response.status, response.read())
            blocks = response.read().decode().split("\n\n")
        finally:
            connection.close()
        assert [block.partition("\n")[0] for block in blocks] == [*(f"id: {number}" for number in range(count)), ""]
        assert len({block.partition("\n")[2] for block in blocks[:-1]}) == 1, "events of two generations in a stream"


class Talker(Client):
    """WebSockets: every message comes back, all from one generation, and the end is the client's own."""

    kind = "WebSocket"

    def once(self) -> None:
        parts = urlsplit(self.url)
        sock = socket.create_connection((parts.hostname or "", parts.port or 80), 20)
        with connect(f"ws://{parts.netloc}{parts.path}ws", sock=sock, proxy=None) as websocket:
            saves = set()
            for number in range(self.random.choice(LENGTHS)):
                websocket.send(str(number))
                save, _, echoed = str(websocket.recv(20)).partition(" ")
                assert echoed == str(number)
                saves.add(save)
                time.sleep(0.05)
            websocket.close()
            assert websocket.close_code == 1000, websocket.close_code
        assert len(saves) == 1, "echoes of two generations on one WebSocket"


@contextmanager
def load(url: str, seed: int) -> Iterator[list[Client]]:
    """Two clients that read, two that write, three streams and three WebSockets, until the block ends."""
    stopping = threading.Event()
    made = iter(range(100))

    def rng() -> random.Random:
        return random.Random(f"{seed}/{next(made)}")

    clients: list[Client] = [
        *(Caller(url, rng(), stopping, has_body=has_body) for has_body in (False, False, True, True)),
        *(Listener(url, rng(), stopping) for _ in range(3)),
        *(Talker(url, rng(), stopping) for _ in range(3)),
    ]
    with ExitStack() as stack:
        for client in clients:
            thread = threading.Thread(target=client.run, name=f"load-{client.kind}")
            thread.start()
            stack.callback(thread.join, 30)
        stack.callback(stopping.set)
        yield clients
