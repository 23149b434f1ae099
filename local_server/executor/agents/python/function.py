"""Serves a plain function: `def handler(request)`, sync (in a thread) or async, with or without the argument.

The request has `method`, `path`, `query` (the last value of each name), `headers` (lower-case names), `body` (bytes),
`text()` and `json()`. What the function returns becomes the response:

    dict, list, number, bool    JSON
    str                         text/plain; text/html when it begins with <!doctype or <html
    bytes                       application/octet-stream
    None                        204
    (body, status)              any of the above with a status
    (body, status, headers)     and with headers (a dict)

A raised exception answers 500 and prints the traceback; `request.json()` on something else answers 400.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import json
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Awaitable, Callable, Dict, List, Mapping, Optional, Tuple
from urllib.parse import parse_qsl

_BODY_LIMIT_BYTES = 32 * 1024 * 1024
_THREADS = 32

Scope = Dict[str, Any]
Receive = Callable[[], Awaitable[Dict[str, Any]]]
Send = Callable[[Dict[str, Any]], Awaitable[None]]
Response = Tuple[int, List[Tuple[bytes, bytes]], bytes]


class BadBody(ValueError):
    """The body is not what the function asked it to be; answered with 400."""


class _BodyTooLarge(Exception):
    pass


class Request:
    """One HTTP request, whole."""

    __slots__ = ("body", "client", "headers", "method", "path", "query", "query_list")

    def __init__(self, scope: Scope, body: bytes) -> None:
        root: str = scope.get("root_path") or ""
        path: str = scope["path"]
        self.method: str = scope["method"]
        self.path = path[len(root) :] if root and path.startswith(root) else path
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        self.query: Dict[str, str] = dict(pairs)
        self.query_list: List[Tuple[str, str]] = pairs
        """Every pair, in order, for names that come more than once."""
        self.headers = _join_headers(scope["headers"])
        self.client: Optional[str] = (scope.get("client") or (None,))[0]
        self.body = body

    def text(self) -> str:
        """The body as UTF-8. Raises BadBody."""
        try:
            return self.body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadBody(f"The body is not UTF-8: {error.reason} at byte {error.start}.") from error

    def json(self) -> Any:
        """The body as JSON. Raises BadBody."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise BadBody(f"The body is not JSON: {error}.") from error

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path}>"


def _join_headers(raw: List[Tuple[bytes, bytes]]) -> Dict[str, str]:
    headers: Dict[str, str] = {}
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name in headers:
            value = headers[name] + ("; " if name == "cookie" else ", ") + value
        headers[name] = value
    return headers


class FunctionApp:
    """The ASGI application around a function."""

    def __init__(self, handler: Callable[..., Any]) -> None:
        call = handler if inspect.isroutine(handler) else getattr(handler, "__call__", handler)  # noqa: B004
        self._handler = handler
        self._is_async = inspect.iscoroutinefunction(call)
        self._wants_request = bool(inspect.signature(handler).parameters)
        self._threads: Optional[ThreadPoolExecutor] = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _answer_lifespan(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        try:
            status, headers, body = await self._respond(Request(scope, await _read_body(receive)))
        except _BodyTooLarge:
            status, headers, body = _problem(413, "Body too large", f"The limit is {_BODY_LIMIT_BYTES} bytes.")
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _respond(self, request: Request) -> Response:
        try:
            return to_response(await self._call(request))
        except BadBody as error:
            return _problem(400, "Bad request", str(error))
        except Exception:
            # The traceback is the author's to see, in the log; the caller learns only that it failed.
            traceback.print_exc(file=sys.stderr)
            return _problem(500, "Internal server error", "The function failed. Its log has the reason.")

    async def _call(self, request: Request) -> Any:
        arguments = (request,) if self._wants_request else ()
        if self._is_async:
            return await self._handler(*arguments)
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="function")
        call = functools.partial(contextvars.copy_context().run, self._handler, *arguments)
        result = await asyncio.get_running_loop().run_in_executor(self._threads, call)
        return await result if inspect.isawaitable(result) else result


async def _answer_lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _read_body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > _BODY_LIMIT_BYTES:
            raise _BodyTooLarge
        if not message.get("more_body"):
            return bytes(body)


def to_response(result: Any) -> Response:
    """Raises TypeError for what is no response."""
    body, status = result, 200
    extra: Mapping[str, Any] = {}
    if isinstance(result, tuple):
        if len(result) not in (2, 3) or isinstance(result[1], bool) or not isinstance(result[1], int):
            raise TypeError(f"a returned tuple must be (body, status) or (body, status, headers), not {result!r:.200}")
        body, status = result[0], result[1]
        extra = result[2] if len(result) == 3 else {}
    if not 200 <= status <= 599:
        raise TypeError(f"status {status} is none a response can have (200 to 599)")
    if body is None and not isinstance(result, tuple):
        status = 204
    content, content_type = _encode(body)
    return status, _headers(status, content, content_type, extra), content


def _encode(body: Any) -> Tuple[bytes, Optional[str]]:
    if body is None:
        return b"", None
    if isinstance(body, str):
        is_html = body.lstrip()[:9].lower().startswith(("<!doctype", "<html"))
        return body.encode("utf-8"), "text/html; charset=utf-8" if is_html else "text/plain; charset=utf-8"
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body), "application/octet-stream"
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8"), "application/json"


def _headers(
    status: int, content: bytes, content_type: Optional[str], extra: Mapping[str, Any]
) -> List[Tuple[bytes, bytes]]:
    headers = {str(name).lower(): str(value) for name, value in dict(extra).items()}
    if content_type is not None:
        headers.setdefault("content-type", content_type)
    if status not in (204, 304):
        headers["content-length"] = str(len(content))
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def _problem(status: int, title: str, detail: str) -> Response:
    """RFC 9457."""
    content = json.dumps({"title": title, "status": status, "detail": detail}).encode()
    return status, _headers(status, content, "application/problem+json", {}), content
