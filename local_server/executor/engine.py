"""What an engine is: the thing that holds a program apart and runs an agent in it.

Three pass the same contract suite (`tests/contracts/test_engine.py`): Docker, local processes, and the fake of the
tests. An engine knows nothing of saves, generations in service, or the gateway; `reload.py` does.

The words, outside in: an *engine* starts a *sandbox* (a container, or a process group) for one API on one dependency
*layer*; the sandbox's first process is an *agent*, which starts and ends *generations* on messages
(docs/agent-protocol.md). Trees reach the sandbox as a read-only directory, so code changes never restart it.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from local_server.domain.ids import ApiId
from local_server.domain.manifest import Runtime

Message = Mapping[str, Any]
"""One line of the agent protocol; `t` names its type."""
Progress = Callable[[str], None]
"""Takes one line of what long work says. May be called from any thread."""


@dataclass(frozen=True, slots=True)
class EngineHealth:
    available: bool
    version: str
    detail: str
    """Why it is not available, or what there is to know; for people."""


@dataclass(frozen=True, slots=True)
class LayerRequest:
    """Asks for the dependencies of one source directory."""

    runtime: Runtime
    runtime_version: str | None
    source: Path
    """A laid-out tree: holds requirements.txt, pyproject.toml, package.json, go.mod ... or none of them."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Installed dependencies, immutable once made, shared by every API with the same key."""

    key: str
    path: Path
    """On the host; may be an empty directory."""
    image: str
    """The image it was made for, or the interpreter's path for the process engine."""


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    api_id: ApiId
    name: str
    """`owner/slug`, or `owner/slug@1.2.0`, for labels and logs."""
    runtime: Runtime
    runtime_version: str | None
    layer: Layer
    trees: Path
    """Host directory whose children are the laid-out trees (and compiled builds) of this API. Read-only inside."""
    memory_mb: int = 512
    cpus: float = 1.0
    egress: bool = True
    version: str = ""
    """The immutable version that runs in it; empty: the working directory."""
    replica: int = 1
    """Which of the API's replicas it is, counted from 1."""


@dataclass(frozen=True, slots=True)
class SandboxExit:
    """How a sandbox ended."""

    code: int | None
    out_of_memory: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SandboxUsage:
    memory_bytes: int
    cpu_seconds: float
    """Counts up since the sandbox started."""


class Sandbox(Protocol):
    """One running sandbox and the channel to its agent."""

    id: str
    api_id: ApiId
    version: str
    replica: int
    layer_key: str

    async def send(self, message: Message) -> None:
        """Pass one message to the agent. Raises SandboxFailed when the sandbox has ended."""

    def messages(self) -> AsyncIterator[Message]:
        """What the agent says, in order, beginning with `hello`; `hello` comes again when the engine restarted the
        sandbox by itself. Ends when the sandbox is gone for good. One reader at a time."""

    def inside(self, host_path: Path) -> str:
        """The path under which the agent sees a child of `trees` or of the layer."""

    def lease_port(self) -> int:
        """A port for a new generation to listen on; 0 leaves the choice to the agent. Raises SandboxFailed when all
        are leased."""

    def release_port(self, port: int) -> None:
        """Give a leased port back, once the generation that had it is gone."""

    def address(self, port: int) -> tuple[str, int]:
        """(host, port) under which the gateway reaches what listens on `port` inside."""

    async def usage(self) -> SandboxUsage | None:
        """Memory and CPU in use; None when it cannot be told."""

    @property
    def exit(self) -> SandboxExit | None:
        """Set once `messages()` has ended."""

    async def stop(self, grace_s: float = 10.0) -> None:
        """End the sandbox and everything in it. May be called twice."""

    async def detach(self) -> None:
        """Let go of the channel. Under Docker the sandbox runs on, to be adopted by the next server."""


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """Asks for a compiled program (Go)."""

    runtime_version: str | None
    source: Path
    """A laid-out tree."""
    package: str
    """The package directory in it, as `.` or `./cmd/server`."""
    output: Path
    """Host path of the program to write; its directory exists and lies under `trees`."""


class Engine(Protocol):
    @property
    def name(self) -> Literal["docker", "process", "none", "fake"]: ...

    @property
    def isolated(self) -> bool:
        """Whether what runs in a sandbox is kept from the rest of the machine."""

    async def health(self) -> EngineHealth:
        """Whether the engine answers now. Never raises; takes at most 5 s."""

    async def prepare(self, request: LayerRequest, progress: Progress) -> Layer:
        """The layer for a source directory: from the cache, else installed now. Two calls for one key install once.
        Cancelling the call ends the installation and leaves nothing half made.
        Raises DependenciesFailed, ImageMissing, ToolchainMissing, EngineUnavailable, StorageFull."""

    def layer_key(self, request: LayerRequest) -> str:
        """The key `prepare` would use; reads a few small files, never the network. Blocking."""

    async def build(self, request: BuildRequest, progress: Progress) -> None:
        """Compile. Raises BuildFailed (with file and line), ImageMissing, ToolchainMissing, EngineUnavailable.
        Cancelling the call ends the compiler."""

    async def start(self, spec: SandboxSpec) -> Sandbox:
        """Start a sandbox; returns as soon as its channel is open (the agent's `hello` follows in `messages`).
        Raises SandboxFailed, ImageMissing, EngineUnavailable."""

    async def adopt(self) -> list[Sandbox]:
        """Sandboxes of this installation that an earlier server left running, each with an open channel. Those that
        cannot be attached are removed. The process engine always answers with none."""

    async def close(self) -> None:
        """Let go of everything without ending sandboxes that can run on by themselves. May be called twice."""


def keeper_of_sandboxes(install_id: str, home: Path) -> str:
    """What one server's sandboxes are known by. An installation alone does not tell: a backup that is restored beside
    the server it was taken of has its id, and so have servers that share a database. They would take each other's."""
    return hashlib.sha256(f"{install_id}\0{home.resolve()}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Where an engine keeps its files, and how it tells its own sandboxes from another server's."""

    home: Path
    """The data directory; layers lie in `home/layers`, package caches in `home/cache`."""
    install_id: str
    """Of `keeper_of_sandboxes`."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The user's environment, for index addresses, proxies and CA bundles."""
    for_others: bool = False
    """Other people's code is run: what cannot be held apart in every way is not run at all."""
