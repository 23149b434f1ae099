"""Serves a loaded entry with uvicorn on the inherited socket."""

from __future__ import annotations

import asyncio
import inspect
import json
import signal
import socket
import sys
from typing import Any, Awaitable, Callable, Dict, List, Optional, Tuple

from .entry import Served
from .failure import NotServable
from .function import FunctionApp

Scope = Dict[str, Any]
Receive = Callable[[], Awaitable[Dict[str, Any]]]
Send = Callable[[Dict[str, Any]], Awaitable[None]]

# The gateway keeps connections open and closes idle ones itself; were the server to close one first, a request could
# meet the closing and fail.
_KEEP_ALIVE_S = 3600
_DEFAULT_GRACE_S = 8.0
_SETTLED_AFTER_S = 2.0


def serve(
    served: Served,
    sock: socket.socket,
    control: socket.socket,
    ready: Callable[[], None],
    settled: Callable[[], None],
) -> Optional[BaseException]:
    """Run until told to end. Answers the error that kept the start-up from completing, else None."""
    app = GatewayLayer(_as_asgi(served))
    config = _configure(app)
    server = _make_server(config, control, ready, settled)
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        # uvicorn raises the signal again once it is done; the program then ends in order, with its exit handlers.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        server.run(sockets=[sock])
    except SystemExit as error:
        if server.started:
            return None
        return app.startup_error or error
    return None if server.started else app.startup_error or RuntimeError("the server did not start")


def _as_asgi(served: Served) -> Any:
    if served.kind == "asgi":
        return _single_call(served.target) if served.style == "asgi2" else served.target
    if served.kind == "function":
        return FunctionApp(served.target)
    try:
        from a2wsgi import WSGIMiddleware
    except ImportError as error:
        raise NotServable(f"a WSGI application needs a2wsgi: {error}. Add a2wsgi to requirements.txt") from error
    return WSGIMiddleware(_with_bodies_of_any_length(served.target), workers=32)


def _with_bodies_of_any_length(target: Any) -> Any:
    """Frameworks take a request without a length (a chunked one) for empty, unless they are told that the end of its
    body can be read as the end of a file: which is so here."""

    def app(environ: Dict[str, Any], start_response: Any) -> Any:
        environ["wsgi.input_terminated"] = True
        return target(environ, start_response)

    return app


def _single_call(target: Any) -> Any:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await target(scope)(receive, send)

    return app


def _configure(app: Any) -> Any:
    try:
        from uvicorn.config import Config
    except Exception as error:
        version = ".".join(str(part) for part in sys.version_info[:2])
        raise NotServable(
            f"the built-in server cannot be imported on Python {version}: {type(error).__name__}: {error}. "
            f"Add uvicorn to requirements.txt"
        ) from error
    wanted: Dict[str, Any] = {
        "interface": "asgi3",
        "log_level": "warning",
        "access_log": False,
        "lifespan": "auto",
        "ws": "auto",
        "proxy_headers": False,  # GatewayLayer does it: only the gateway connects
        "server_header": False,
        "date_header": True,
        "timeout_keep_alive": _KEEP_ALIVE_S,
        "timeout_graceful_shutdown": _DEFAULT_GRACE_S,
    }
    # A user's own uvicorn may be older than some of these.
    known = inspect.signature(Config.__init__).parameters
    return Config(app, **{name: value for name, value in wanted.items() if name in known})


def _make_server(config: Any, control: socket.socket, ready: Callable[[], None], settled: Callable[[], None]) -> Any:
    from uvicorn.server import Server

    class TellingServer(Server):  # type: ignore[misc, unused-ignore]
        """Says when it accepts connections, and listens for how long it has to end."""

        async def startup(self, sockets: Optional[List[socket.socket]] = None) -> None:
            await super().startup(sockets=sockets)
            if not self.started:
                return
            loop = asyncio.get_running_loop()
            control.setblocking(False)
            loop.add_reader(control.fileno(), self._hear)
            control.setblocking(True)
            ready()
            loop.call_later(_SETTLED_AFTER_S, settled)

        def _hear(self) -> None:
            data = control.recv(65536, socket.MSG_DONTWAIT)
            if not data:
                # The agent is gone, and with it the only way to be told to end.
                asyncio.get_running_loop().remove_reader(control.fileno())
                self.should_exit = True
            for line in data.splitlines():
                grace_s = float(json.loads(line)["grace_s"])
                # Some of the grace time is for the API's own shutdown.
                config.timeout_graceful_shutdown = max(0.1, grace_s * 0.8)

    return TellingServer(config)


class GatewayLayer:
    """What the gateway says of the outer request, as an ASGI server would have seen it itself: the path prefix as
    `root_path`, the scheme, the client. Also keeps the error that ended the start-up, which servers only log."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.startup_error: Optional[BaseException] = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        else:
            await self._app(_as_outside(scope), receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = False

        async def watch(message: Dict[str, Any]) -> None:
            nonlocal refused
            if message["type"] == "lifespan.startup.failed":
                refused = True
                self.startup_error = RuntimeError(str(message.get("message") or "lifespan.startup.failed"))
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except BaseException as error:
            # Without `startup.failed` it only means that the application has no lifespan.
            if refused:
                self.startup_error = error
            raise


def _as_outside(scope: Scope) -> Scope:
    headers = {name: value for name, value in scope["headers"] if name.startswith(b"x-forwarded-")}
    if not headers:
        return scope
    scope = dict(scope)
    prefix = headers.get(b"x-forwarded-prefix", b"").rstrip(b"/")
    if prefix.startswith(b"/"):
        scope["root_path"] = prefix.decode("latin-1")
        scope["path"] = scope["root_path"] + scope["path"]
        scope["raw_path"] = prefix + (scope.get("raw_path") or b"")
    scheme = headers.get(b"x-forwarded-proto", b"").decode("latin-1").lower()
    if scheme in ("http", "https"):
        is_socket = scope["type"] == "websocket"
        scope["scheme"] = scheme.replace("http", "ws") if is_socket else scheme
    client = _client(headers.get(b"x-forwarded-for", b""))
    if client is not None:
        scope["client"] = client
    return scope


def _client(value: bytes) -> Optional[Tuple[str, int]]:
    """The last address: the one the gateway itself saw. What stands before it is anybody's word."""
    address = value.rpartition(b",")[2].strip().decode("latin-1")
    return (address, 0) if address else None
