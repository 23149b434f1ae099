"""How uvicorn is to be run under the gateway."""

from typing import Any

from local_server.gateway.protocol import HardenedProtocol
from local_server.gateway.websocket import MAX_MESSAGE_BYTES

KEEP_ALIVE_S = 60


def uvicorn_options() -> dict[str, Any]:
    """Arguments for `uvicorn.Config` that the gateway relies on."""
    return {
        "http": HardenedProtocol,
        "ws": "websockets-sansio",
        "ws_max_size": MAX_MESSAGE_BYTES,
        "ws_per_message_deflate": False,
        # Else uvicorn believes an X-Forwarded-For that any program on this machine may send.
        "proxy_headers": False,
        # The gateway passes on the API's own Server and Date, and gives a Date to what it says itself.
        "server_header": False,
        "date_header": False,
        "access_log": False,
        "timeout_keep_alive": KEEP_ALIVE_S,
    }
