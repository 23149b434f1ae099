"""What an installation is, and the thing that carries one out: a container, or a process."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from local_server.domain.manifest import Runtime

LineSink = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Places:
    """The directories of an installation, as the installing programs see them."""

    layer: str
    source: str
    """The dependency files; read-only."""
    settings: str
    """The user's own settings for package indexes; read-only."""
    cache: str


@dataclass(frozen=True, slots=True)
class Work:
    """One installation, as the host sees it."""

    runtime: Runtime
    runtime_version: str | None
    layer: Path
    """To be filled."""
    source: Path
    """Holds the dependency files, and nothing else."""
    settings: Path
    """An empty directory for the settings of package indexes; deleted when the installation has ended."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Commands to run in order, until one fails."""

    commands: Sequence[Sequence[str]]
    environment: Mapping[str, str]
    workdir: str


class Installer(Protocol):
    async def made_for(self, runtime: Runtime, version: str | None, progress: LineSink) -> str:
        """What layers are made for now: an image's id, or an interpreter. Gets the image when it is missing.
        Raises ImageMissing, ToolchainMissing, EngineUnavailable."""

    async def install(self, work: Work, line: LineSink) -> int:
        """Run the installation, passing on every line it prints; its exit code. Cancelling ends every process of it.
        Raises EngineUnavailable."""

    async def install_nothing(self, work: Work) -> None:
        """Make the layer of sources that declare nothing usable, where an empty directory is not enough."""
