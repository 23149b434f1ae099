"""The wire models as typed JSON documents, for the command line.

Importing pydantic and the models takes about 110 ms, most of what a verb may take in all. A verb therefore reads the
JSON itself through these types; `tests/client/test_documents.py` holds every one of them to its model.
Times are ISO 8601 strings here.
"""

from typing import Any, Literal, TypedDict

JsonObject = dict[str, Any]


class FailureDocument(TypedDict):
    kind: str
    message: str
    headline: str
    file: str | None
    line: int | None
    traceback: str
    hint: str


class GenerationDocument(TypedDict):
    number: int
    digest: str
    outcome: str
    started_at: str
    deps_key: str
    timings_ms: dict[str, float]
    failure: FailureDocument | None


class TrafficDocument(TypedDict):
    requests_per_s: float
    p95_ms: float | None
    error_rate: float
    history: list[int]


class UsageDocument(TypedDict):
    memory_bytes: int
    cpu_percent: float


class ContainerDocument(TypedDict):
    id: str
    trees: str


class ReplicasDocument(TypedDict):
    serving: int
    wanted: int


class ApiDocument(TypedDict):
    id: str
    name: str
    owner: str
    runtime: str
    state: str
    engine: str
    isolated: bool
    url: str
    host_url: str
    version: str
    error: str | None
    failure: FailureDocument | None
    progress: str
    generation: GenerationDocument | None
    serving: int | None
    replicas: ReplicasDocument
    circuit: str
    shares: dict[str, int]
    directory: str
    summary: str
    tags: list[str]
    visibility: str
    desired_state: str
    entry: str | None
    health: str | None
    memory_mb: int
    cpus: float
    revision: int
    created_at: str
    updated_at: str
    traffic: TrafficDocument
    usage: UsageDocument | None
    container: ContainerDocument | None


class TemplateDocument(TypedDict):
    name: str
    runtime: str
    title: str
    summary: str


class LogLineDocument(TypedDict):
    api: str
    generation: int
    stream: str
    text: str
    at: str
    replica: int


class ExecutionDocument(TypedDict):
    id: str
    api: str
    generation: int
    method: str
    path: str
    status: int
    outcome: str
    started_at: str
    total_ms: float
    upstream_ms: float
    bytes_in: int
    bytes_out: int
    held: bool
    key_id: str | None
    version: str
    cached: bool


class StatsPointDocument(TypedDict):
    starts_at: str
    requests: int
    errors: int
    p95_ms: float | None
    p50_ms: float | None
    p99_ms: float | None
    statuses: dict[str, int]


class GenerationStatsDocument(TypedDict):
    number: int
    requests: int
    errors: int
    mean_ms: float


class VersionStatsDocument(TypedDict):
    version: str
    requests: int
    errors: int
    mean_ms: float


class PathStatsDocument(TypedDict):
    path: str
    requests: int
    mean_ms: float


class ErrorGroupDocument(TypedDict):
    outcome: str
    status: int
    method: str
    path: str
    requests: int
    last_at: str
    last_id: str


class PopularityDocument(TypedDict):
    rank: int
    of: int
    share: float


class StatsDocument(TypedDict):
    api: str
    id: str
    window: str
    since: str
    until: str
    requests: int
    requests_per_s: float
    success_rate: float | None
    error_rate: float | None
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    bytes_in: int
    bytes_out: int
    statuses: dict[str, int]
    outcomes: dict[str, int]
    points: list[StatsPointDocument]
    generations: list[GenerationStatsDocument]
    versions: list[VersionStatsDocument]
    paths: list[PathStatsDocument]
    errors: list[ErrorGroupDocument]
    popularity: PopularityDocument
    usage: UsageDocument | None


class HistoryDocument(TypedDict):
    requests: list[ExecutionDocument]
    next: str | None


class BodyDocument(TypedDict):
    media_type: str
    bytes: int
    text: str | None
    base64: str | None
    truncated: bool


class ExchangeSummaryDocument(TypedDict):
    id: str
    generation: int
    version: str
    method: str
    path: str
    query: str
    status: int
    outcome: str
    started_at: str
    total_ms: float
    bytes_in: int
    bytes_out: int


class ExchangeDocument(ExchangeSummaryDocument):
    request_headers: list[tuple[str, str]]
    request_body: BodyDocument
    response_headers: list[tuple[str, str]]
    response_body: BodyDocument
    websocket: bool
    messages_in: int
    messages_out: int
    replayable: bool
    why_not: str
    curl: str


class ReplayExchangeDocument(TypedDict):
    generation: int | None


class CompareExchangeDocument(TypedDict):
    generation: int


class ReplayDocument(TypedDict):
    generation: int
    version: str
    status: int
    headers: list[tuple[str, str]]
    body: BodyDocument
    total_ms: float
    complete: bool


class HeaderChangeDocument(TypedDict):
    name: str
    first: str | None
    second: str | None


class CompareDocument(TypedDict):
    first: ReplayDocument
    second: ReplayDocument
    same: bool
    status_changed: bool
    headers_changed: list[HeaderChangeDocument]
    body_diff: list[str]


class ForgottenDocument(TypedDict):
    forgotten: int


class HealthDocument(TypedDict):
    status: str
    version: str
    profile: str
    engine: str
    storage: str


class ServerDocument(TypedDict):
    version: str
    profile: str
    pid: int
    url: str
    home: str
    owner: str
    engine: str
    engine_available: bool
    engine_detail: str
    isolated: bool
    storage: str
    uptime_s: float
    memory_bytes: int
    loop_stalls: int
    executions_dropped: int


class CheckDocument(TypedDict):
    name: str
    status: Literal["ok", "warning", "failed"]
    detail: str
    fix: str


class AckDocument(TypedDict):
    accepted: bool
    detail: str


class RegisterDocument(TypedDict):
    directory: str
    name: str | None
    start: bool


class ScaffoldDocument(TypedDict):
    name: str
    template: str
    directory: str | None
    start: bool


class AccountDocument(TypedDict):
    id: str
    handle: str
    email: str | None
    role: str
    machine_owner: bool
    created_at: str


class SessionDocument(TypedDict):
    token: str
    token_type: str
    expires_at: str
    account: AccountDocument


class CreateKeyDocument(TypedDict):
    name: str
    scopes: list[str]
    cidrs: list[str]
    expires_at: str | None
    rate_limit: str | None
    quota: str | None
    plan: str | None


class KeyDocument(TypedDict):
    id: str
    api: str
    name: str
    prefix: str
    state: str
    scopes: list[str]
    cidrs: list[str]
    rate_limit: str | None
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    grace_until: str | None
    replaced_by: str | None
    last_used_at: str | None
    plan: str | None
    quota: str | None
    quota_overage: str | None
    quota_used: int | None
    quota_left: int | None
    quota_resets_at: str | None


class NewKeyDocument(TypedDict):
    key: str
    info: KeyDocument
