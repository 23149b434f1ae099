"""A server that is all in memory: ten lively APIs in every state, events on demand, refusals on demand."""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from local_server.client.errors import ApimarketClientError, ServerUnreachableError
from local_server.client.results import CallResult
from local_server.wire.accounts import AccountView, CreateKey, KeyView, NewKeyView, SessionView, SignUp
from local_server.wire.analytics import StatsView
from local_server.wire.apis import (
    ApiView,
    ExecutionView,
    FailureView,
    GenerationView,
    LogLineView,
    RegisterApi,
    ScaffoldApi,
    TemplateView,
    TrafficView,
    UsageView,
)
from local_server.wire.events import Resync, WireEvent
from local_server.wire.exchanges import BodyView, CompareView, ExchangeView, HeaderChangeView, ReplayView
from local_server.wire.market import MarketSearchView, WrittenPlanView
from local_server.wire.outbox import PulledView, PullVersion
from local_server.wire.secrets import SecretChanged, SecretView, VariableView
from local_server.wire.server import Check, ServerView

from .fake_files import FakeFiles
from .fake_market import NOW, FakeMarket, Remote, search_copy, some_written_plans
from .fake_outbox import FakeOutbox
from .fake_versions import FakeVersions

URL = "http://127.0.0.1:8080"


def a_minute(seed: int, level: float) -> list[int]:
    """Sixty seconds of traffic that look alive and are the same every time."""
    wave = [0.55 + 0.4 * math.sin(second / (4 + seed % 5)) + 0.25 * math.sin(second * seed / 3) for second in range(60)]
    return [max(0, round(level * height)) for height in wave]


def a_generation(number: int, outcome: str = "serving", seconds_ago: float = 3, **fields: object) -> GenerationView:
    values: dict[str, object] = {
        "number": number,
        "digest": f"{number * 2654435761 % 2**32:08x}c0ffee",
        "outcome": outcome,
        "started_at": NOW - timedelta(seconds=seconds_ago),
        "timings_ms": {
            "detect": 12.1,
            "snapshot": 4.2,
            "announce": 0.3,
            "import": 31.0,
            "ready": 14.2,
            "swap": 0.6,
            "total": 62.4,
        },
    }
    return GenerationView.model_validate(values | fields)


def an_api(name: str, **fields: object) -> ApiView:
    values: dict[str, object] = {
        "id": f"api_{name}",
        "name": name,
        "owner": "ana",
        "runtime": "python3.12",
        "state": "running",
        "engine": "docker",
        "isolated": True,
        "url": f"{URL}/ana/{name}",
        "host_url": f"http://{name}.localhost:8080",
        "version": "0.1.0",
        "generation": a_generation(3, seconds_ago=640),
        "serving": 3,
        "directory": f"/home/ana/code/{name}",
        "revision": 1,
        "entry": "main:app",
        "created_at": NOW - timedelta(days=3),
        "updated_at": NOW - timedelta(seconds=3),
        "usage": UsageView(memory_bytes=48_400_000, cpu_percent=0.4),
    }
    return ApiView.model_validate(values | fields)


def some_traffic(rate: float, p95_ms: float, errors: float = 0.0, seed: int = 3) -> TrafficView:
    return TrafficView(requests_per_s=rate, p95_ms=p95_ms, error_rate=errors, history=a_minute(seed, rate))


SYNTAX = FailureView(
    kind="syntax",
    message="SyntaxError: Unexpected token ')'",
    headline="SyntaxError: Unexpected token ')' (app.js:12)",
    file="app.js",
    line=12,
    traceback="app.js:12\n  res.end(JSON.stringify({ lat: 1, lon: 2 ));\n"
    + " " * 40
    + "^\nSyntaxError: Unexpected token ')'",
    hint="Correct app.js line 12 and save.",
)
EXIT = FailureView(
    kind="exit",
    message="The program ended with status 1 before it listened on $PORT",
    headline="The program ended with status 1 before it listened on $PORT",
    hint="See what it said: press l",
)


def ten_apis() -> list[ApiView]:
    slow = {"detect": 11.0, "snapshot": 6.0, "build": 412.0, "announce": 0.4, "ready": 9.0, "swap": 0.5, "total": 438.9}
    return [
        an_api(
            "weather",
            version="0.3.1",
            generation=a_generation(14),
            serving=14,
            traffic=some_traffic(12, 41, 0.002),
            summary="Current weather for any city",
            tags=["geo", "weather"],
            health="/health",
        ),
        an_api(
            "fx-rates",
            runtime="go",
            state="building",
            progress="layer 4/6",
            generation=None,
            serving=None,
            usage=None,
            entry=None,
        ),
        an_api(
            "geocode",
            runtime="node18",
            error=SYNTAX.headline,
            failure=SYNTAX,
            serving=7,
            entry="app.js",
            generation=a_generation(8, "failed", 21, failure=SYNTAX, timings_ms={}),
            traffic=some_traffic(3, 12, seed=5),
        ),
        an_api(
            "billing",
            traffic=some_traffic(140, 88, 0.013, seed=11),
            generation=a_generation(201, seconds_ago=730),
            serving=201,
            usage=UsageView(memory_bytes=203_000_000, cpu_percent=22.0),
        ),
        an_api(
            "thumbnails",
            runtime="go1.21",
            traffic=some_traffic(46, 210, 0.081, seed=13),
            serving=31,
            generation=a_generation(31, seconds_ago=95, timings_ms=slow),
        ),
        an_api(
            "inbox",
            runtime="node20",
            state="starting",
            generation=a_generation(2, "starting", 1, timings_ms={}),
            serving=None,
            usage=None,
        ),
        an_api(
            "ledger",
            state="failed",
            error=EXIT.headline,
            failure=EXIT,
            serving=None,
            usage=None,
            desired_state="running",
            generation=a_generation(5, "failed", 3900, failure=EXIT, timings_ms={}),
        ),
        an_api("notes", state="stopped", desired_state="stopped", serving=None, usage=None),
        an_api("search", traffic=some_traffic(0.4, 6.4, seed=17), engine="process", isolated=False),
        an_api("translate", state="stopping", desired_state="stopped", serving=None, runtime="node20"),
    ]


def some_requests(api: str, count: int = 24) -> list[ExecutionView]:
    """Newest first, as the server answers."""
    paths = ("/now?", "/now", "/forecast/oslo", "/now", "/stations/412", "/health")
    return [
        ExecutionView(
            id=f"req_{api}_{number}",
            api=api,
            generation=14 if number < 9 else 13,
            path=paths[number % 6].rstrip("?"),
            method="POST" if number % 7 == 3 else "GET",
            status=500 if number == 5 else 404 if number % 11 == 4 else 200,
            outcome="server_error" if number == 5 else "client_error" if number % 11 == 4 else "ok",
            started_at=NOW - timedelta(seconds=2 + number * 1.7),
            total_ms=38 + number * 3.3 % 17,
            upstream_ms=36 + number * 3.3 % 17,
            bytes_in=0,
            bytes_out=412 + 37 * number,
            held=number == 8,
        )
        for number in range(count)
    ]


def some_logs(api: str, count: int = 40) -> list[LogLineView]:
    """Oldest first."""
    said = (
        ("out", "GET /now 200 in 38 ms"),
        ("out", "cache hit oslo"),
        ("err", "WARNING: upstream slow: 1.8 s"),
        ("out", '{"event": "forecast", "city": "bergen", "hours": 48}'),
    )
    lines = [
        LogLineView(
            api=api,
            generation=13 if number < count // 2 else 14,
            stream=said[number % 4][0],
            text=said[number % 4][1],
            at=NOW - timedelta(seconds=(count - number) * 0.9),
        )
        for number in range(count)
    ]
    swap = LogLineView(
        api=api,
        generation=14,
        stream="apimarket",
        text="generation 14 serves · 62 ms after the save",
        at=NOW - timedelta(seconds=count * 0.45),
    )
    return [*lines[: count // 2], swap, *lines[count // 2 :]]


_WINDOWS = {
    "1h": (60, timedelta(minutes=1)),
    "24h": (24, timedelta(hours=1)),
    "7d": (168, timedelta(hours=1)),
    "30d": (30, timedelta(days=1)),
}


def some_stats(api: str, window: str, **fields: object) -> StatsView:
    """A day with its rush hour, and a bad quarter of an hour."""
    count, step = _WINDOWS[window]
    seconds = step.total_seconds()
    last = datetime.fromtimestamp(NOW.timestamp() - NOW.timestamp() % seconds, UTC)
    points = []
    for number in range(count):
        busy = 0.55 - 0.45 * math.cos(number * 2 * math.pi / count * 1.5) + 0.1 * math.sin(number * 1.7)
        bad = count * 0.6 <= number < count * 0.68
        requests = 0 if number == count // 5 else max(0, round(seconds * 9 * busy))
        if number == count - 1:
            requests = round(requests * (NOW - last).total_seconds() / seconds)
        failed = requests // 4 if bad else 0
        mistakes = requests // 25
        answers = {"2xx": requests - failed - mistakes, "4xx": mistakes, "5xx": failed}
        points.append(
            {
                "starts_at": last - (count - 1 - number) * step,
                "requests": requests,
                "errors": failed,
                "p50_ms": (12 + 9 * busy) * (3 if bad else 1) if requests else None,
                "p95_ms": (38 + 45 * busy) * (9 if bad else 1) if requests else None,
                "p99_ms": (120 + 260 * busy) * (7 if bad else 1) if requests else None,
                "statuses": {name: number for name, number in answers.items() if number},
            }
        )
    totals = {name: sum(point["statuses"].get(name, 0) for point in points) for name in ("2xx", "4xx", "5xx")}
    requests = sum(totals.values())
    group = {"last_at": NOW - timedelta(minutes=7), "last_id": "req_1"}
    values: dict[str, object] = {
        "api": api,
        "id": f"api_{api}",
        "window": window,
        "since": points[0]["starts_at"],
        "until": NOW,
        "requests": requests,
        "requests_per_s": requests / (seconds * count),
        "success_rate": totals["2xx"] / requests,
        "error_rate": totals["5xx"] / requests,
        "mean_ms": 24.0,
        "p50_ms": 17.0,
        "p95_ms": 92.0,
        "p99_ms": 840.0,
        "bytes_in": 3_200_000,
        "bytes_out": 812_000_000,
        "statuses": totals,
        "outcomes": {"ok": totals["2xx"], "client_error": totals["4xx"], "server_error": totals["5xx"]},
        "points": points,
        "generations": [{"number": 14, "requests": requests, "errors": totals["5xx"], "mean_ms": 24.0}],
        "paths": [
            {"path": "/now", "requests": 612, "mean_ms": 21.0},
            {"path": "/forecast/{id}", "requests": 290, "mean_ms": 44.0},
            {"path": "/stations/{id}", "requests": 98, "mean_ms": 9.0},
        ],
        "errors": [
            group | {"outcome": "server_error", "status": 500, "method": "GET", "path": "/now", "requests": 412},
            group
            | {"outcome": "client_error", "status": 404, "method": "GET", "path": "/stations/{id}", "requests": 71},
            group | {"outcome": "refused", "status": 429, "method": "POST", "path": "/forecast", "requests": 8},
        ],
        "popularity": {"rank": 2, "of": 10, "share": 0.31},
        "usage": {"memory_bytes": 48_400_000, "cpu_percent": 0.4},
    }
    return StatsView.model_validate(values | fields)


def a_body(text: str, media_type: str = "application/json", **fields: object) -> BodyView:
    values = {"media_type": media_type, "bytes": len(text), "text": text}
    return BodyView.model_validate(values | fields)


def an_exchange(request: ExecutionView, **fields: object) -> ExchangeView:
    values: dict[str, object] = request.model_dump() | {
        "query": "q=oslo",
        "request_headers": [
            ("accept", "application/json"),
            ("authorization", "[redacted]"),
            ("user-agent", "curl/8.5"),
        ],
        "request_body": a_body("", ""),
        "response_headers": [("content-type", "application/json"), ("etag", '"8d3c"')],
        "response_body": a_body('{"city": "oslo", "temperature": -3.5, "hours": [1, 2], "cloudy": true}'),
        "websocket": False,
        "messages_in": 0,
        "messages_out": 0,
        "replayable": True,
        "why_not": "",
        "curl": "curl -i -H \"Authorization: $AUTHORIZATION\" 'http://127.0.0.1:8080/ana/weather/now?q=oslo'",
    }
    return ExchangeView.model_validate(values | fields)


def a_replay(generation: int, status: int = 200, text: str = '{"temperature": -3.5}') -> ReplayView:
    return ReplayView(
        generation=generation,
        status=status,
        headers=[("content-type", "application/json")],
        body=a_body(text),
        total_ms=41.0,
        complete=True,
    )


def a_comparison(generation: int) -> CompareView:
    return CompareView(
        first=a_replay(generation),
        second=a_replay(14, 500, '{"error": "KeyError: temperature"}'),
        same=False,
        status_changed=True,
        headers_changed=[HeaderChangeView(name="etag", first='"8d3c"', second=None)],
        body_diff=["@ $", "- temperature: -3.5", '+ error: "KeyError: temperature"', '  city: "oslo"'],
    )


def a_key(name: str, **fields: object) -> KeyView:
    values: dict[str, object] = {
        "id": f"key_{name}",
        "api": "ana/weather",
        "name": name,
        "prefix": "am_7Qx2Lw9",
        "state": "active",
        "scopes": ["read", "write"],
        "cidrs": [],
        "created_at": NOW - timedelta(days=12),
        "last_used_at": NOW - timedelta(minutes=4),
    }
    return KeyView.model_validate(values | fields)


def some_keys() -> list[KeyView]:
    return [
        a_key("mobile app", rate_limit="600/min"),
        a_key("partner acme", scopes=["read"], expires_at=NOW + timedelta(hours=9), cidrs=["203.0.113.0/24"]),
        a_key("ci", prefix="am_Zt81cQa", state="grace", grace_until=NOW + timedelta(minutes=41), replaced_by="key_ci2"),
        a_key("trial", state="expired", expires_at=NOW - timedelta(days=2), last_used_at=None),
        a_key("leaked", state="revoked", revoked_at=NOW - timedelta(hours=5)),
    ]


def some_secrets() -> list[SecretView]:
    return [
        SecretView(name="API_TOKEN", updated_at=NOW - timedelta(days=3), used=True),
        SecretView(name="SMTP_PASSWORD", used=True),
        SecretView(name="OLD_TOKEN", updated_at=NOW - timedelta(days=90), used=False),
    ]


TEMPLATES = [
    TemplateView(
        name="python", runtime="python3.12", title="Python function", summary="One function, one file, no dependencies"
    ),
    TemplateView(name="fastapi", runtime="python3.12", title="FastAPI", summary="Typed JSON API with docs at /docs"),
    TemplateView(name="flask", runtime="python3.12", title="Flask", summary="The classic WSGI application"),
    TemplateView(name="node", runtime="node20", title="Node fetch handler", summary="export default { fetch }"),
    TemplateView(name="go", runtime="go1.21", title="Go net/http", summary="A main package that listens on $PORT"),
]
CHECKS = [
    Check(name="data directory", status="ok", detail="/home/ana/.local/share/apimarket is writable, 41 GB free"),
    Check(name="docker", status="ok", detail="Docker 27.1 answers in 3 ms"),
    Check(
        name="images",
        status="warning",
        detail="golang:1.21-alpine is not on this machine",
        fix="docker pull golang:1.21-alpine",
    ),
    Check(name="port 8080", status="ok", detail="ours"),
    Check(
        name="file watching",
        status="failed",
        detail="the system allows 8192 watches, 7901 are taken",
        fix="sudo sysctl fs.inotify.max_user_watches=524288",
    ),
    Check(name="node", status="ok", detail="v20.11.0"),
]


def a_server(**fields: object) -> ServerView:
    values: dict[str, object] = {
        "version": "0.1.0",
        "profile": "local",
        "pid": 4312,
        "url": URL,
        "home": "/home/ana/.local/share/apimarket",
        "owner": "ana",
        "engine": "docker",
        "engine_available": True,
        "engine_detail": "27.1",
        "isolated": True,
        "storage": "sqlite",
        "uptime_s": 8130.0,
        "memory_bytes": 92_000_000,
        "loop_stalls": 0,
        "executions_dropped": 0,
    }
    return ServerView.model_validate(values | fields)


JSON_ANSWER = (
    b'{"city": "oslo", "temperature": -3.5, "wind": {"speed": 4, "from": "NW"}, "cloudy": true, "rain": null,'
    b' "hours": [1, 2, 3], "note": "gr\\u00fc\\u00df dich"}'
)


def _an_older(number: int, newest: int, serving: bool) -> GenerationView:
    seconds_ago = 3.0 + 97.0 * (newest - number) ** 2
    if number % 5 == 0 and not serving:
        return a_generation(number, "failed", seconds_ago, failure=SYNTAX, timings_ms={})
    return a_generation(number, "serving" if serving else "drained", seconds_ago)


class FakeBackend(FakeMarket, FakeOutbox, FakeVersions, FakeFiles):
    url = URL

    def __init__(self, apis: Sequence[ApiView] | None = None) -> None:
        FakeMarket.__init__(self, Remote([]))
        FakeOutbox.__init__(self)
        FakeVersions.__init__(self)
        FakeFiles.__init__(self)
        self.elsewhere = Remote()
        """The marketplace of every other server."""
        self.pull_gate: asyncio.Event | None = None
        self.known = {api.name: api for api in (ten_apis() if apis is None else apis)}
        self.view = a_server()
        self.down = False
        self.closed = False
        self.token: str | None = None
        """None: it is not asked who one is."""
        self.did: list[tuple[str, str]] = []
        """Acts asked for, in order: (method, name)."""
        self.refusals: dict[str, ApimarketClientError] = {}
        """By method name: what it answers instead."""
        self.log_lines: list[LogLineView] | None = None
        self.older_lines: list[LogLineView] = []
        """What the server has beyond the lines it answers with: told only of one generation."""
        self.checks = CHECKS
        self.request_rows: list[ExecutionView] | None = None
        self.template_list = TEMPLATES
        self.answer = CallResult(
            200,
            "OK",
            [("content-type", "application/json"), ("x-apimarket-generation", "8d3cb1a09f2e")],
            JSON_ANSWER,
            38.2,
        )
        self.exchange_fields: dict[str, object] = {}
        self.comparison: CompareView | None = None
        self.key_list = some_keys()
        self.secret_list = some_secrets()
        self.variable_list = [
            VariableView(name="STATIONS_URL", value="https://stations.example/v2"),
            VariableView(name="UNITS", value="metric"),
        ]
        self.written_plans = some_written_plans()
        self.asked_once: list[tuple[CreateKey, str | None]] = []
        """Keys that were asked for, each with its Idempotency-Key."""
        self.rotated: list[tuple[str, str | None]] = []
        self.key_text = "4f9QmT2xLr8VwKc0JdYh6BnZs3Ea1GuP"
        self.wished: CreateKey | None = None
        self.gate: asyncio.Event | None = None
        """A Try-it call waits for it."""
        self.called: list[tuple[str, str, dict[str, str], bytes]] = []
        self._streams: list[tuple[frozenset[str], asyncio.Queue[WireEvent]]] = []

    # -- For tests

    def emit(self, event: WireEvent, version: str = "") -> None:
        """`version`: whose log it is, where it is not the directory's."""
        topic = event.topic
        of = getattr(event, "api_id", "") + (f"@{version}" if version else "")
        for topics, queue in self._streams:
            kind = f"{topic}:{of}" if topic in ("log", "requests") else topic
            if topic == "resync" or kind.removesuffix("-removed") in topics:
                queue.put_nowait(event)

    def listeners(self, topic: str) -> int:
        return sum(topic in topics for topics, _ in self._streams)

    def go_down(self) -> None:
        self.down = True

    def come_back(self) -> None:
        self.down = False
        self.emit(Resync())

    # -- Backend

    async def _reached(self, method: str, name: str = "") -> None:
        await asyncio.sleep(0)
        if name:
            self.did.append((method, name))
        if self.down:
            raise ServerUnreachableError(self.url, "connection refused")
        if self.token == "" and method not in ("login", "signup", "logout"):
            raise ApimarketClientError(
                "No token", hint="Give one.", code="missing_token", status=401, title="Who are you?"
            )
        if method in self.refusals:
            raise self.refusals[method]

    def use_token(self, token: str) -> None:
        self.token = token

    async def server(self) -> ServerView:
        await self._reached("server")
        return self.view

    async def apis(self) -> list[ApiView]:
        await self._reached("apis")
        return list(self.known.values())

    async def api(self, name: str) -> ApiView:
        await self._reached("api", name)
        return self.known[name]

    async def templates(self) -> list[TemplateView]:
        await self._reached("templates")
        return self.template_list

    async def register(self, request: RegisterApi) -> ApiView:
        await self._reached("register", request.directory)
        return self._put(an_api(request.name or request.directory.rsplit("/", 1)[-1], directory=request.directory))

    async def scaffold(self, request: ScaffoldApi) -> ApiView:
        await self._reached("scaffold", f"{request.name} from {request.template}")
        return self._put(an_api(request.name))

    def _put(self, api: ApiView) -> ApiView:
        self.known[api.name] = api
        return api

    async def deploy(self, name: str) -> ApiView:
        await self._reached("deploy", name)
        return self._put(self.known[name].model_copy(update={"state": "starting", "desired_state": "running"}))

    async def restart(self, name: str) -> ApiView:
        await self._reached("restart", name)
        return self._put(self.known[name].model_copy(update={"state": "starting"}))

    async def stop(self, name: str) -> ApiView:
        await self._reached("stop", name)
        return self._put(self.known[name].model_copy(update={"state": "stopping", "desired_state": "stopped"}))

    async def undo(self, name: str) -> ApiView:
        await self._reached("undo", name)
        return self.known[name]

    async def remove(self, name: str) -> None:
        await self._reached("remove", name)
        del self.known[name]

    async def generations(self, name: str) -> list[GenerationView]:
        await self._reached("generations")
        newest = self.known[name].generation
        if newest is None:
            return []
        older = [
            _an_older(number, newest.number, number == self.known[name].serving)
            for number in range(newest.number - 1, max(newest.number - 9, 0), -1)
        ]
        return [newest, *older]

    async def plans(self, name: str) -> list[WrittenPlanView]:
        await self._reached("plans", name)
        return self.written_plans

    async def variables(self, name: str) -> list[VariableView]:
        await self._reached("variables")
        return self.variable_list

    async def secrets(self, name: str) -> list[SecretView]:
        await self._reached("secrets")
        return self.secret_list

    async def put_secret(self, name: str, secret: str, value: str) -> SecretChanged:
        await self._reached("put_secret", f"{name} {secret}={value}")
        others = [one for one in self.secret_list if one.name != secret]
        self.secret_list = [SecretView(name=secret, updated_at=NOW, used=True), *others]
        return SecretChanged(name=secret, restarts=True)

    async def remove_secret(self, name: str, secret: str) -> SecretChanged:
        await self._reached("remove_secret", f"{name} {secret}")
        self.secret_list = [
            one.model_copy(update={"updated_at": None}) if one.name == secret else one for one in self.secret_list
        ]
        return SecretChanged(name=secret, restarts=False)

    async def logs(
        self, name: str, limit: int = 500, *, version: str = "", generation: int | None = None
    ) -> list[LogLineView]:
        await self._reached("logs", f"{name}@{version}" if version else "")
        lines = some_logs(name) if self.log_lines is None else self.log_lines
        if generation is not None:
            lines = [line for line in (*self.older_lines, *lines) if line.generation == generation]
        return lines[-limit:]

    async def requests(self, name: str, limit: int = 100) -> list[ExecutionView]:
        await self._reached("requests")
        if self.request_rows is not None:
            return self.request_rows
        return some_requests(name)[:limit] if self.known[name].traffic.history else []

    async def stats(self, name: str, window: str = "24h") -> StatsView:
        await self._reached("stats", f"{name} {window}")
        return some_stats(name, window)

    async def exchange(self, name: str, request_id: str) -> ExchangeView:
        await self._reached("exchange", request_id)
        request = next(one for one in await self.requests(name) if one.id == request_id)
        return an_exchange(request, **self.exchange_fields)

    async def replay_exchange(self, name: str, request_id: str, generation: int | None = None) -> ReplayView:
        await self._reached("replay_exchange", f"{request_id} to {generation}")
        return a_replay(14)

    async def compare_exchange(self, name: str, request_id: str, generation: int) -> CompareView:
        await self._reached("compare_exchange", f"{request_id} to {generation}")
        return a_comparison(generation) if self.comparison is None else self.comparison

    async def keys(self, name: str) -> list[KeyView]:
        await self._reached("keys")
        return self.key_list

    async def create_key(self, name: str, request: CreateKey, idempotency_key: str | None = None) -> NewKeyView:
        self.asked_once.append((request, idempotency_key))
        await self._reached("create_key", f"{name} {request.name}")
        self.wished = request
        info = a_key(request.name, scopes=request.scopes, rate_limit=request.rate_limit, last_used_at=None)
        self.key_list = [info, *self.key_list]
        return NewKeyView(key="am_" + self.key_text, info=info)

    async def rotate_key(self, key_id: str, grace_s: int = 3600, idempotency_key: str | None = None) -> NewKeyView:
        self.rotated.append((key_id, idempotency_key))
        await self._reached("rotate_key", key_id)
        return NewKeyView(key="am_" + self.key_text, info=a_key("again"))

    async def revoke_key(self, key_id: str) -> None:
        await self._reached("revoke_key", key_id)
        self.key_list = [
            key.model_copy(update={"state": "revoked", "revoked_at": NOW}) if key.id == key_id else key
            for key in self.key_list
        ]

    def connect(self, url: str, token: str) -> "FakeServer":
        """Another server, as `AsyncClient` would be."""
        return FakeServer(self, url, token)

    async def market_search(
        self, query: str = "", remote: str = "", **filters: str | int | float | None
    ) -> MarketSearchView:
        self.elsewhere.copies_searched.append(query)
        await self._reached("market_search")
        if query in self.elsewhere.copy_gates:
            await self.elsewhere.copy_gates[query].wait()
        return search_copy(self.elsewhere, remote, query, filters)

    async def pull_version(self, request: PullVersion) -> PulledView:
        await self._reached("pull_version", f"{request.name} from {request.remote}")
        if self.pull_gate is not None:
            await self.pull_gate.wait()
        name, _, version = request.name.partition("/")[2].partition("@")
        self._put(an_api(name))
        return PulledView(
            name=request.name,
            remote=request.remote or "",
            version=version or "1.4.0",
            version_id="v1",
            tree="0" * 64,
            fetched_bytes=14_200,
            new_versions=["1.4.0"],
            moved=False,
            written=True,
            conflict=False,
            directory=f"/home/ana/projects/{name}",
            api_id=f"api_{name}",
        )

    async def doctor(self) -> list[Check]:
        await self._reached("doctor")
        return self.checks

    async def events(self, topics: Sequence[str]) -> AsyncIterator[WireEvent]:
        stream = (frozenset(topics), asyncio.Queue[WireEvent]())
        self._streams.append(stream)
        try:
            while True:
                yield await stream[1].get()
        finally:
            self._streams.remove(stream)

    async def call(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> CallResult:
        self.called.append((method, url, dict(headers), body))
        if self.gate is not None:
            await self.gate.wait()
        await self._reached("call")
        return self.answer

    async def close(self) -> None:
        self.closed = True


class FakeServer(FakeMarket):
    """A server that knows everybody whose password is `correct horse`."""

    def __init__(self, backend: FakeBackend, url: str, token: str) -> None:
        super().__init__(backend.elsewhere)
        self._backend, self.url, self._token = backend, url, token

    async def _signed_in(self, method: str, handle: str) -> SessionView:
        await self._backend._reached(method, f"{handle} at {self.url}")
        account = AccountView(id="u1", handle=handle, role="developer", machine_owner=False, created_at=NOW)
        return SessionView(token="t0k3n", expires_at=NOW + timedelta(hours=24), account=account)

    async def login(self, login: str, password: str) -> SessionView:
        if password != "correct horse":
            raise ApimarketClientError(
                "Name or password is wrong", hint="Try again.", code="login_refused", status=401, title="Refused"
            )
        return await self._signed_in("login", login)

    async def signup(self, request: SignUp) -> SessionView:
        return await self._signed_in("signup", request.handle or "")

    async def logout(self) -> None:
        await self._backend._reached("logout", f"{self._token} at {self.url}")

    async def rotate_key(self, key_id: str, grace_s: int = 3600, idempotency_key: str | None = None) -> NewKeyView:
        self.remote.rotated.append((key_id, idempotency_key))
        await self._asked("rotate_key")
        return NewKeyView(key="am_rotated", info=a_key("again"))

    async def close(self) -> None:
        self._backend.did.append(("close", self.url))
