"""What lies behind the door: the page, its files, and the WebSocket that it draws from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from local_server.domain.web_errors import NothingThere, TooManyPages, WebMissing
from local_server.web.links import HOME
from local_server.web.page import show
from local_server.web.refusal import refusal_page, wants_page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.websockets import WebSocket

    from local_server.domain.errors import ApimarketError

LIMIT = 8
"""Pages at once: each is a process of some 65 MB."""
_OWN = Path(__file__).parent / "static"


class Room:
    def __init__(self, limit: int = LIMIT) -> None:
        self._limit, self._open = limit, 0

    def app(self) -> Starlette:
        """Raises WebMissing."""
        return Starlette(
            routes=[
                Route(HOME, self._page),
                WebSocketRoute(f"{HOME}terminal", self._terminal),
                Mount(f"{HOME}own", StaticFiles(directory=_OWN)),
                Mount(f"{HOME}library", StaticFiles(directory=_library())),
            ],
            exception_handlers={404: _nothing_there},
        )

    async def _page(self, request: Request) -> Response:
        if self._open >= self._limit:
            return _refused(request, TooManyPages(self._limit))
        return FileResponse(_OWN / "page.html")

    async def _terminal(self, websocket: WebSocket) -> None:
        if self._open >= self._limit:
            await websocket.send_denial_response(_problem(TooManyPages(self._limit)))
            return
        self._open += 1
        try:
            await websocket.accept()
            await show(websocket)
        finally:
            self._open -= 1


def _library() -> Path:
    """xterm.js and its font; nothing of the package is imported but where it lies."""
    try:
        import textual_serve
    except ImportError as error:
        raise WebMissing from error
    return Path(str(textual_serve.__file__)).parent / "static"


async def _nothing_there(request: Request, _error: Exception) -> Response:
    return _refused(request, NothingThere(request.url.path[:200], HOME))


def _refused(request: Request, error: ApimarketError) -> Response:
    if wants_page(request.scope):
        return Response(refusal_page(error), error.status, media_type="text/html")
    return _problem(error)


def _problem(error: ApimarketError) -> Response:
    members = {"type": "about:blank", "title": error.title, "status": error.status, "detail": error.detail}
    members |= {"code": error.code, "hint": error.hint}
    return JSONResponse(members, error.status, media_type="application/problem+json")
