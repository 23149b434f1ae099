"""One page: what the browser says goes to its terminal, and what the terminal shows goes to the browser.

The browser's half is textual-serve's: text frames `[what, value]`, and from us bytes for the terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocketDisconnect

from local_server.web.packets import DATA, META, NotGreeted, read_greeting, read_packet
from local_server.web.terminal import Terminal

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

CELLS = range(2, 2000)
"""A size that a terminal may have, either way."""


async def show(websocket: WebSocket) -> None:
    """Until the page is closed or the terminal UI ends."""
    width, height = (_cells(websocket.query_params.get(name, "")) for name in ("width", "height"))
    async with await Terminal.start(width or 80, height or 24) as terminal:
        both = [
            asyncio.create_task(_from_page(websocket, terminal), name="from-page"),
            asyncio.create_task(_to_page(websocket, terminal), name="to-page"),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # the page is gone
        await websocket.close()


async def _from_page(websocket: WebSocket, terminal: Terminal) -> None:
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            what, value = _said(await websocket.receive_text())
            if what == "stdin":
                await terminal.type(str(value))
            elif what == "resize" and isinstance(value, dict):
                width, height = (_cells(value.get(name)) for name in ("width", "height"))
                if width and height:
                    await terminal.resize(width, height)
            elif what in ("focus", "blur"):
                await terminal.look(focused=what == "focus")
            elif what == "ping":
                await websocket.send_text(json.dumps(["pong", value]))


async def _to_page(websocket: WebSocket, terminal: Terminal) -> None:
    with contextlib.suppress(WebSocketDisconnect, asyncio.IncompleteReadError, NotGreeted):
        await read_greeting(terminal.output)
        while True:
            kind, payload = await read_packet(terminal.output)
            if kind == DATA:
                await websocket.send_bytes(payload)
            elif kind == META and (url := _opened(json.loads(payload))):
                await websocket.send_text(json.dumps(["open_url", {"url": url, "new_tab": True}]))
    if words := await terminal.last_words():
        with contextlib.suppress(WebSocketDisconnect):
            await websocket.send_bytes(_told(words))


def _said(text: str) -> tuple[str, Any]:
    """What a frame says; nothing, where it is none of ours."""
    try:
        said = json.loads(text)
    except ValueError:
        return "", None
    if isinstance(said, list) and said and isinstance(said[0], str):
        return said[0], said[1] if len(said) > 1 else None
    return "", None


def _opened(said: dict[str, Any]) -> str:
    """The address that the browser is to open. Only of the web: `javascript:` would run in our page, and what a
    README links to is anybody's."""
    url = str(said.get("url"))
    return url if said.get("type") == "open_url" and url.startswith(("http://", "https://")) else ""


def _cells(value: object) -> int:
    """0 where it is no size of a terminal."""
    try:
        cells = int(value) if isinstance(value, (str, int)) else 0
    except ValueError:
        return 0
    return cells if cells in CELLS else 0


def _told(words: str) -> bytes:
    """The words on an empty screen, without what could move the cursor."""
    lines = ("".join(c for c in line if c.isprintable()) for line in words.splitlines())
    return ("\x1b[?1049l\x1b[?25l\x1b[0m\x1b[2J\x1b[H" + "\r\n".join(lines)).encode()
