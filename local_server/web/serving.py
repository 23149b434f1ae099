"""The small server of `apimarket web`, from its port to its end."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import uvicorn

from local_server.domain.server_errors import PortTaken
from local_server.gateway.serving import uvicorn_options
from local_server.listening import listen
from local_server.web.door import Door
from local_server.web.links import Links
from local_server.web.room import Room
from local_server.web.terminal import QUIT_S

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

HOST = "127.0.0.1"
PORTS = range(8090, 8100)
"""Tried in this order, so that it is mostly the same one; after them any that is free."""
_MESSAGE_BYTES = 4 * 1024 * 1024
"""The most that can be pasted at once."""


def serve(port: int | None, told: Callable[[str], None]) -> None:
    """Until Ctrl-C, whose pages and processes end with it. `told` is given the link, and a new one whenever a browser
    has used it. Raises PortTaken, WebMissing."""
    room = Room().app()
    with _listen(port) as listener:
        door = Door(room, Links(listener.getsockname()[1], told))
        options = uvicorn_options() | {"ws": "wsproto", "ws_max_size": _MESSAGE_BYTES}  # it waits for a slow reader
        config = uvicorn.Config(
            door, lifespan="off", log_config=None, timeout_graceful_shutdown=int(QUIT_S) + 2, **options
        )
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def _listen(port: int | None) -> socket.socket:
    if port is not None:
        return listen(HOST, port, "web")
    for usual in PORTS:
        with contextlib.suppress(PortTaken):
            return listen(HOST, usual)
    return listen(HOST, 0)
