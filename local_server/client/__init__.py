"""The one typed client of the contract: what the command line, the terminal UI and sync talk to a server with.

`Client` is synchronous and imports nothing heavy; `AsyncClient` validates every answer into the wire models. Names are
imported when they are first used, so that taking one does not pay for the other (docs/decisions/0001).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local_server.client.asynchronous import AsyncClient
    from local_server.client.errors import ApimarketClientError, ServerUnreachableError
    from local_server.client.results import CallResult
    from local_server.client.synchronous import Client

__all__ = ["ApimarketClientError", "AsyncClient", "CallResult", "Client", "ServerUnreachableError"]

_HOMES = {
    "ApimarketClientError": "errors",
    "AsyncClient": "asynchronous",
    "CallResult": "results",
    "Client": "synchronous",
    "ServerUnreachableError": "errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
