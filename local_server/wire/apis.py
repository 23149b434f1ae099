"""APIs, their state and their generations on the wire."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class FailureView(BaseModel):
    kind: str
    message: str
    headline: str
    file: str | None = None
    line: int | None = None
    traceback: str = ""
    hint: str = ""


class GenerationView(BaseModel):
    number: int
    digest: str
    outcome: str
    """starting, serving, failed, superseded, drained"""
    started_at: datetime
    deps_key: str = ""
    timings_ms: dict[str, float] = Field(default_factory=dict)
    """detect, snapshot, prepare, build, announce, import, ready, swap, total"""
    failure: FailureView | None = None


class TrafficView(BaseModel):
    """The last minute through the gateway."""

    requests_per_s: float = 0.0
    """Mean of the last 10 s."""
    p95_ms: float | None = None
    error_rate: float = 0.0
    """Share of answers 5xx and broken off, 0 to 1."""
    history: list[int] = Field(default_factory=list)
    """Requests in each of the last 60 seconds, oldest first."""


class UsageView(BaseModel):
    memory_bytes: int
    cpu_percent: float


class ContainerView(BaseModel):
    """Where an API runs under Docker: `docker exec -it ID sh` looks into it."""

    id: str
    trees: str
    """The directory in it where the files of its generations lie, each in one that is named NUMBER-DIGEST."""


class ReplicasView(BaseModel):
    """How many of what serves serve, of how many should."""

    serving: int = 0
    wanted: int = 1


class ApiView(BaseModel):
    """`status NAME --json`, and each row of `ls --json`."""

    id: str
    name: str
    owner: str
    runtime: str
    state: str
    """stopped, building, starting, running, failed, stopping"""
    engine: str
    isolated: bool
    url: str
    host_url: str
    version: str
    error: str | None = None
    """One line: why the newest save does not serve."""
    failure: FailureView | None = None
    progress: str = ""
    """What long work is doing now: `installing numpy`."""
    generation: GenerationView | None = None
    """The newest."""
    serving: int | None = None
    """Number of the generation that answers now."""
    replicas: ReplicasView = Field(default_factory=ReplicasView)
    circuit: str = "closed"
    """closed; open: it did not answer five requests in a row, and the gateway refuses others for it until it does;
    half_open: one is trying just now"""
    shares: dict[str, int] = Field(default_factory=dict)
    """Where the URL leads, in percent, by version, or `dev` for the directory; empty: all to the directory."""
    directory: str
    """Empty: it exists as versions only, published from elsewhere."""
    summary: str = ""
    tags: list[str] = Field(default_factory=list)
    visibility: str = "private"
    desired_state: str = "running"
    entry: str | None = None
    health: str | None = None
    memory_mb: int = 512
    cpus: float = 1.0
    revision: int
    created_at: datetime
    updated_at: datetime
    traffic: TrafficView = Field(default_factory=TrafficView)
    usage: UsageView | None = None
    container: ContainerView | None = None
    """Of what serves, of several replicas the first; None: nothing does, or it runs in no container."""


class RegisterApi(BaseModel):
    """POST /api/v1/apis: register an existing directory."""

    model_config = ConfigDict(extra="forbid")

    directory: str
    name: str | None = None
    """None: from its apimarket.toml, else from the directory's name."""
    start: bool = True


class ScaffoldApi(BaseModel):
    """POST /api/v1/apis/scaffold: write a template into a new directory and register it."""

    model_config = ConfigDict(extra="forbid")

    name: str
    template: str = "python"
    directory: str | None = None
    """None: `name` below the server's projects directory."""
    start: bool = True


class UploadView(BaseModel):
    """What an upload changed in the API's directory."""

    api: ApiView
    written: list[str]
    """Paths below the directory, by name."""
    removed: list[str]
    bytes: int
    """Of all that was written."""


class DeployApi(BaseModel):
    """POST /executor/deploy"""

    model_config = ConfigDict(extra="forbid")

    id: str
    """An id, a slug, or owner/slug."""


class PatchApi(BaseModel):
    """PATCH /api/v1/apis/{id}: only the named fields change; they are written to apimarket.toml too."""

    model_config = ConfigDict(extra="forbid")

    summary: str | None = None
    tags: list[str] | None = None
    visibility: Literal["private", "unlisted", "public"] | None = None


class TemplateView(BaseModel):
    name: str
    runtime: str
    title: str
    summary: str


class LogLineView(BaseModel):
    api: str
    """The API's name."""
    generation: int
    stream: str
    """out, err, apimarket"""
    text: str
    at: datetime
    replica: int = 0
    """Which of several wrote it, counted from 1; 0: there is one alone, or it was none of them."""


class ExecutionView(BaseModel):
    id: str
    api: str
    generation: int
    method: str
    path: str
    status: int
    outcome: str
    started_at: datetime
    total_ms: float
    upstream_ms: float
    bytes_in: int
    bytes_out: int
    held: bool
    key_id: str | None = None
    """The key it was made with."""
    version: str = ""
    """The immutable version that answered, if one did."""
    cached: bool = False
    """Answered from the response cache."""
