"""`apimarket web` on a port of its own, and a process that stands for the terminal UI."""

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from local_server.gateway.serving import uvicorn_options
from local_server.web import terminal
from local_server.web.door import Door
from local_server.web.links import Links
from local_server.web.room import Room
from tests.gateway.conftest import serving

# Speaks as Textual's web driver does: shows what it is sent, and obeys a few words.
STAND_IN = """
import json, os, sys, time

def packet(kind, payload):
    os.write(1, kind + len(payload).to_bytes(4, "big") + payload)

def meta(**said):
    packet(b"M", json.dumps(said).encode())

os.write(1, b"__GANGLION__\\n")
packet(b"D", f"{os.environ['COLUMNS']}x{os.environ['ROWS']}".encode())
packet(b"D", f"pid {os.getpid()}".encode())
while head := sys.stdin.buffer.read(5):
    said = sys.stdin.buffer.read(int.from_bytes(head[1:], "big"))
    if head[:1] == b"M":
        packet(b"D", b"meta " + said)
        if json.loads(said)["type"] == "quit" and "STAYS" not in os.environ:
            break
    elif said.startswith(b"open "):
        meta(type="open_url", url=said[5:].decode(), new_tab=True)
    elif said == b"crash":
        sys.exit("it broke\\x1b[2J at line 7")
    else:
        packet(b"D", b"typed " + said)
if "STAYS" in os.environ:
    time.sleep(600)
"""


@dataclass
class House:
    port: int
    client: httpx2.AsyncClient
    links: list[str] = field(default_factory=list)

    async def enter(self) -> str:
        """Come in by the link; returns the cookie as a browser sends it."""
        answer = await self.client.get(self.links[-1])
        assert answer.status_code == 200
        self.client.cookies.clear()
        return str(answer.headers["set-cookie"]).partition(";")[0]


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[House]:
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    monkeypatch.setattr(terminal, "COMMAND", (sys.executable, str(tmp_path / "stand_in.py")))
    links: list[str] = []
    app: Any = None

    async def door(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    async with (
        serving(door, **uvicorn_options() | {"ws": "wsproto"}) as port,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as client,
    ):
        app = Door(Room(limit=2).app(), Links(port, links.append))
        yield House(port, client, links)
