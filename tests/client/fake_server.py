"""A small server that speaks the contract: wire models in, wire models out, no engine behind it.

It keeps every request it got, so that a test can say what a client sent. What stands behind its gateway path is an
echo.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import BaseModel

from local_server.wire.analytics import HistoryView, StatsView
from local_server.wire.apis import (
    ApiView,
    ExecutionView,
    FailureView,
    GenerationView,
    LogLineView,
    RegisterApi,
    ScaffoldApi,
    TemplateView,
)
from local_server.wire.events import WireEvent
from local_server.wire.files import (
    ApiFileView,
    FilesView,
    FileView,
    LeftOutView,
    ManifestProblemView,
    ManifestView,
)
from local_server.wire.server import Ack, Check, Health, ServerView

TOKEN = "t0ken"
START = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def api_view(name: str, **changes: Any) -> ApiView:
    """A running Python API; a test names only what it is about."""
    values: dict[str, Any] = {
        "id": f"id-{name}",
        "name": name,
        "owner": "me",
        "runtime": "python",
        "state": "running",
        "engine": "process",
        "isolated": False,
        "url": "",
        "host_url": f"http://{name}.localhost:8080",
        "version": "0.1.0",
        "serving": 1,
        "generation": generation(1),
        "directory": f"/srv/{name}",
        "revision": 1,
        "created_at": START,
        "updated_at": START,
    }
    return ApiView.model_validate(values | changes)


def generation(number: int, outcome: str = "serving", **timings_ms: Any) -> GenerationView:
    return GenerationView(
        number=number, digest="d" * 64, outcome=outcome, started_at=START, timings_ms=timings_ms or {"total": 68.0}
    )


def failure(headline: str, kind: str = "syntax", hint: str = "") -> FailureView:
    return FailureView(kind=kind, message=headline, headline=headline, hint=hint)


def log_line(text: str, second: int = 0, stream: str = "out", api: str = "hello") -> LogLineView:
    return LogLineView(api=api, generation=1, stream=stream, text=text, at=START.replace(second=second))


class Got(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Refusal(Exception):
    def __init__(self, status: int, code: str, detail: str, hint: str = "", **extra: Any) -> None:
        self.document: dict[str, Any] = {"title": code, "status": status, "detail": detail, "code": code}
        self.document |= {"type": "about:blank", "hint": hint, **extra}
        super().__init__(detail)


def some_files(**fields: Any) -> FilesView:
    """Two files, one of them saved since what serves was read, and one that is left out."""
    values: dict[str, Any] = {
        "directory": "/home/me/hello",
        "running": 14,
        "digest": "c0ffee",
        "files": [
            ApiFileView(path="apimarket.toml", bytes=52, mode="644", change="same"),
            ApiFileView(path="run.sh", bytes=1410, mode="755", change="changed"),
        ],
        "left_out": [LeftOutView(path="dist", directory=True, why=".gitignore line 3: dist/")],
        "manifest": ManifestView(rows=[], problems=[]),
    }
    return FilesView.model_validate(values | fields)


def a_mistake() -> ManifestView:
    problem = ManifestProblemView(line=3, key="run.memory_mb", message='found "a lot"; allowed: a whole number')
    return ManifestView(rows=[], problems=[problem])


class FakeServer:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.apis: dict[str, ApiView] = {}
        self.logs: list[LogLineView] = []
        self.files = some_files()
        self.stats: StatsView | None = None
        self.requests: list[ExecutionView] = []
        """Newest first; history has them in pages of two."""
        self.checks = [Check(name="engine", status="ok", detail="process")]
        self.got: list[Got] = []
        self.refusal: Refusal | None = None
        self.broken_templates: set[str] = set()
        self.gateway: Callable[[Got], tuple[int, dict[str, str], bytes]] = _echo
        self.stopped = threading.Event()
        self._frames: list[tuple[int, str]] = []
        self._changed = threading.Condition()
        self._epoch = 0
        self.streams = 0
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def add(self, name: str, **changes: Any) -> ApiView:
        view = api_view(name, **({"url": f"{self.url}/me/{name}"} | changes))
        self.apis[name] = view
        return view

    # -- Events ------------------------------------------------------------------------------------------------

    def emit(self, event: WireEvent) -> None:
        with self._changed:
            self._frames.append((len(self._frames) + 1, f"event: {event.topic}\ndata: {event.model_dump_json()}\n"))
            self._changed.notify_all()

    def emit_raw(self, topic: str, data: str) -> None:
        with self._changed:
            self._frames.append((len(self._frames) + 1, f"event: {topic}\ndata: {data}\n"))
            self._changed.notify_all()

    def break_streams(self) -> None:
        """End every event stream in the middle, as a restart does."""
        with self._changed:
            self._epoch += 1
            self._changed.notify_all()

    def wait_for(self, path: str, count: int = 1, timeout_s: float = 10.0) -> None:
        """Until that many requests whose path begins so have come."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while sum(got.path.startswith(path) for got in self.got) < count:
                if not self._changed.wait(deadline - time.monotonic()):
                    raise AssertionError(f"no {path} within {timeout_s} s; got {[got.path for got in self.got]}")

    def note(self, got: Got) -> None:
        with self._changed:
            self.got.append(got)
            self._changed.notify_all()

    def frames_after(self, last_id: int) -> Iterator[str]:
        """Frames as they come, until the streams are broken."""
        with self._changed:
            epoch = self._epoch
        while True:
            with self._changed:
                while len(self._frames) <= last_id and self._epoch == epoch:
                    self._changed.wait(5)
                if self._epoch != epoch:
                    return
                frames = self._frames[last_id:]
            for number, frame in frames:
                last_id = number
                yield f"id: {number}\n{frame}\n"

    def open_stream(self) -> int:
        """The id after which a stream that opens now begins."""
        with self._changed:
            self.streams += 1
            self._changed.notify_all()
            return len(self._frames)

    def wait_for_stream(self, count: int = 1, timeout_s: float = 10.0) -> None:
        """Until that many streams without a `Last-Event-ID` stand: what is emitted from then on reaches them."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.streams >= count, timeout_s)

    # -- Life --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "token").write_text(TOKEN)
        (self.home / "server.json").write_text(json.dumps({"url": self.url, "pid": os.getpid(), "version": "0.1.0"}))

    def close(self) -> None:
        self.break_streams()
        self._http.shutdown()
        self._http.server_close()


@contextmanager
def running(home: Path) -> Iterator[FakeServer]:
    server = FakeServer(home)
    server.start()
    try:
        yield server
    finally:
        server.close()


def _echo(got: Got) -> tuple[int, dict[str, str], bytes]:
    told = {"method": got.method, "path": got.path, "headers": got.headers, "body": got.body.decode("latin-1")}
    return 200, {"Content-Type": "application/json", "X-Apimarket-Generation": "d" * 8}, json.dumps(told).encode()


def _handler(server: FakeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Tests read `got`, not a log."""

        def serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            got = Got(self.command, self.path, dict(self.headers.items()), body)
            server.note(got)
            try:
                self.route(got)
            except Refusal as refusal:
                self.answer(refusal.document["status"], "application/problem+json", json.dumps(refusal.document))

        do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = serve  # noqa: N815

        def route(self, got: Got) -> None:
            path = urlsplit(got.path).path
            if path == "/health":
                health = Health(status="ok", version="0.1.0", profile="local", engine="process", storage="sqlite")
                self.answer(200, "application/json", health.model_dump_json())
            elif path.startswith("/api/v1/"):
                if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    raise Refusal(401, "token_required", "The request carries no valid bearer token")
                if server.refusal:
                    raise server.refusal
                if path == "/api/v1/events":
                    self.stream()
                else:
                    self.json(_control(server, got, path.removeprefix("/api/v1")))
            else:
                status, headers, content = server.gateway(got)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def json(self, told: BaseModel | list[Any] | None) -> None:
            if told is None:
                self.send_response(204)
                self.end_headers()
            elif isinstance(told, list):
                self.answer(200, "application/json", f"[{','.join(item.model_dump_json() for item in told)}]")
            else:
                self.answer(200, "application/json", told.model_dump_json())

        def answer(self, status: int, kind: str, text: str) -> None:
            content = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def stream(self) -> None:
            self.close_connection = True
            last_id = int(self.headers.get("Last-Event-ID") or server.open_stream())
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b": hello\n\n")
            try:
                for frame in server.frames_after(last_id):
                    self.wfile.write(frame.encode())
            except OSError:
                # The client has gone: what a stream ends with.
                return

    return Handler


def _control(server: FakeServer, got: Got, path: str) -> BaseModel | list[Any] | None:
    fixed: dict[tuple[str, str], Callable[[], BaseModel | list[Any]]] = {
        ("GET", "/server"): lambda: _server_view(server),
        ("POST", "/server/stop"): lambda: _stop(server),
        ("GET", "/doctor"): lambda: server.checks,
        ("GET", "/templates"): lambda: [_template("python"), _template("node"), _template("go")],
        ("GET", "/apis"): lambda: _search(server, got.path),
        ("POST", "/apis"): lambda: _register(server, RegisterApi.model_validate_json(got.body)),
        ("POST", "/apis/scaffold"): lambda: _scaffold(server, ScaffoldApi.model_validate_json(got.body)),
    }
    if act := fixed.get((got.method, path)):
        return act()
    if path.startswith("/apis/"):
        return _of_one(server, got, path.removeprefix("/apis/"))
    raise Refusal(404, "not_found", f"There is no {path}")


def _of_one(server: FakeServer, got: Got, rest: str) -> BaseModel | list[Any] | None:
    name, _, act = unquote(rest).partition("/")
    if name == "me" and act:
        name, _, act = act.partition("/")
    view = next((v for v in server.apis.values() if name in (v.name, v.id)), None)
    if view is None:
        raise Refusal(404, "api_not_found", f"No API is registered under {name!r}", "List them with: apimarket ls")
    if got.method == "DELETE":
        del server.apis[view.name]
        return None
    lists: dict[str, Callable[[], list[Any]]] = {
        "logs": lambda: _logs(server, got.path),
        "generations": lambda: [api_view(name).generation],
        "requests": list,
    }
    if act in lists:
        return lists[act]()
    if act == "files":
        return server.files
    if act == "file":
        return _file(server, got.path)
    if act == "stats":
        return server.stats
    if act == "history":
        return _history(server, got.path)
    if got.method == "POST":
        stopped = act == "stop"
        changes = {"state": "stopped" if stopped else "running", "desired_state": "stopped" if stopped else "running"}
        server.apis[view.name] = view = view.model_copy(update=changes)
    return view


def _server_view(server: FakeServer) -> ServerView:
    return ServerView(
        version="0.1.0",
        profile="local",
        pid=os.getpid(),
        url=server.url,
        home=str(server.home),
        owner="me",
        engine="process",
        engine_available=True,
        engine_detail="",
        isolated=False,
        storage="sqlite",
        uptime_s=1.0,
        memory_bytes=1,
        loop_stalls=0,
        executions_dropped=0,
    )


def _stop(server: FakeServer) -> Ack:
    server.stopped.set()
    return Ack()


def _template(name: str) -> TemplateView:
    return TemplateView(name=name, runtime=name, title=name.title(), summary=f"A small {name} API")


def _search(server: FakeServer, path: str) -> list[ApiView]:
    query = parse_qs(urlsplit(path).query).get("q", [""])[0]
    return [view for view in server.apis.values() if query in view.name]


def _logs(server: FakeServer, path: str) -> list[LogLineView]:
    query = parse_qs(urlsplit(path).query)
    since = datetime.fromisoformat(query["since"][0]) if "since" in query else None
    lines = [line for line in server.logs if since is None or line.at >= since]
    if "generation" in query:
        lines = [line for line in lines if line.generation == int(query["generation"][0])]
    return lines[-int(query.get("limit", ["500"])[0]) :]


def _file(server: FakeServer, path: str) -> FileView:
    query = parse_qs(urlsplit(path).query)
    if query["path"][0] not in {one.path for one in server.files.files}:
        raise Refusal(404, "file_not_found", f"{query['path'][0]!r} is no file of me/hello", "List its files")
    of = query["of"][0]
    text = f"what {of} has\x1b[2J\n"
    return FileView(path=query["path"][0], of=of, bytes=len(text), mode="644", binary=False, text=text)  # type: ignore[arg-type]


def _history(server: FakeServer, path: str) -> HistoryView:
    query = parse_qs(urlsplit(path).query)
    start = int(query.get("before", ["0"])[0])
    end = start + min(2, int(query["limit"][0]))
    return HistoryView(requests=server.requests[start:end], next=str(end) if end < len(server.requests) else None)


def _register(server: FakeServer, body: RegisterApi) -> ApiView:
    name = body.name or Path(body.directory).name
    if name in server.apis:
        raise Refusal(409, "name_taken", f"An API named {name!r} is registered already", "Choose another", name=name)
    return server.add(name, directory=body.directory)


def _scaffold(server: FakeServer, body: ScaffoldApi) -> ApiView:
    if body.template in server.broken_templates:
        raise Refusal(
            503,
            "toolchain_missing",
            f"Running a {body.template} API needs {body.template}",
            "pip install 'apimarket[go]'",
        )
    directory = Path(body.directory or server.home / body.name)
    directory.mkdir(parents=True)
    (directory / "main.py").write_text("async def app(scope, receive, send): ...\n")
    return server.add(body.name, directory=str(directory))
