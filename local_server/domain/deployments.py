"""What should run, what does, and what became of every save."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from local_server.domain.ids import ApiId, Digest


class DesiredState(StrEnum):
    RUNNING = "running"
    STOPPED = "stopped"


class State(StrEnum):
    """What an API's deployment is doing. `running` with an error means: an older generation serves on."""

    STOPPED = "stopped"
    BUILDING = "building"
    """Getting the image, installing dependencies, compiling; nothing serves yet."""
    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"
    """Nothing serves, and trying the same again would not help: waits for a save or a restart."""
    STOPPING = "stopping"


ALLOWED: Mapping[State, frozenset[State]] = {
    State.STOPPED: frozenset({State.BUILDING, State.STARTING, State.RUNNING, State.FAILED}),
    State.BUILDING: frozenset({State.STARTING, State.FAILED, State.STOPPING}),
    State.STARTING: frozenset({State.BUILDING, State.RUNNING, State.FAILED, State.STOPPING}),
    State.RUNNING: frozenset({State.BUILDING, State.STARTING, State.FAILED, State.STOPPING}),
    State.FAILED: frozenset({State.BUILDING, State.STARTING, State.RUNNING, State.STOPPING}),
    State.STOPPING: frozenset({State.STOPPED, State.BUILDING, State.STARTING}),
}


class Outcome(StrEnum):
    """What became of one generation."""

    STARTING = "starting"
    SERVING = "serving"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    """A later save came before this one was ready."""
    DRAINED = "drained"
    """Served, then gave way to a later one."""


Phase = Literal["detect", "snapshot", "prepare", "build", "announce", "import", "ready", "swap", "total"]
"""The parts of a reload, in order; `prepare` only where dependencies are installed or a container is started, `build`
only where code is compiled; `total` from the save to the swap."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a generation did not come to serve. `file` is relative to the user's directory; `line` counts from 1."""

    kind: str
    """syntax, import, entry, exit, port, timeout, health, build, dependencies, image, toolchain, oom, sandbox,
    manifest, directory"""
    message: str
    file: str | None = None
    line: int | None = None
    traceback: str = ""
    hint: str = ""

    @property
    def headline(self) -> str:
        """One line: `SyntaxError: invalid syntax (app.py:12)`; of a list the first that stands in it."""
        first, *more = self.message.strip().splitlines() or [self.kind]
        if more and first.endswith(":"):
            first += " " + more[0].strip()
        where = f" ({self.file}:{self.line})" if self.file and self.line else ""
        said = where[2:-1] in first or f"line {self.line}:" in first
        return first if not where or said else first + where


@dataclass(frozen=True, slots=True)
class Generation:
    """One saved state of one API."""

    api_id: ApiId
    number: int
    """Counts from 1 for each API, never used twice."""
    tree: Digest
    deps_key: str
    outcome: Outcome
    started_at: datetime
    timings_ms: Mapping[Phase, float] = field(default_factory=dict)
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Deployment:
    api_id: ApiId
    desired_state: DesiredState
    state: State
    engine: str
    last_good: int | None
    """Number of the generation that served last: what comes back after a reboot."""
    last_error: str | None
    updated_at: datetime
    version: str = ""
    """The immutable version that it runs; empty: the working directory."""
