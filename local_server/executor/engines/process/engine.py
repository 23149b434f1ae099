"""Processes as an engine: the same agents without a container. Trusted code only: nothing here isolates."""

import asyncio
import os
import secrets
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from local_server.domain.manifest import Runtime
from local_server.executor.agents.support import agent_directory, support_directory
from local_server.executor.engine import (
    BuildRequest,
    EngineHealth,
    EngineSettings,
    Layer,
    LayerRequest,
    Progress,
    Sandbox,
    SandboxSpec,
)
from local_server.executor.engines.process.family import MARK, end_marked
from local_server.executor.engines.process.go import ProcessGo
from local_server.executor.engines.process.installer import ProcessInstaller
from local_server.executor.engines.process.sandbox import ProcessSandbox, Program
from local_server.executor.engines.process.toolchains import Toolchains
from local_server.executor.engines.process.views import View
from local_server.executor.layers.declared import read_declared
from local_server.executor.layers.store import Layers, layer_key

_KEPT = ("LANG", "LC_ALL", "LC_CTYPE", "TZ", "SYSTEMROOT", "COMSPEC", "PATHEXT")
"""All that a program sees of the server's environment, besides PATH."""


def _silently(_line: str) -> None:
    """Progress nobody watches."""


class ProcessEngine:
    name: ClassVar[Literal["process"]] = "process"
    isolated = False

    def __init__(self, settings: EngineSettings) -> None:
        environment = settings.environment or dict(os.environ)
        self._settings = replace(settings, environment=environment, home=settings.home.resolve())
        self._home = self._settings.home
        self._toolchains = Toolchains(environment)
        installer = ProcessInstaller(self._toolchains, self._home / "cache", environment)
        self._layers = Layers(self._home, installer, _make)
        self._go = ProcessGo(self._settings, self._toolchains)
        self._sandboxes: dict[str, ProcessSandbox] = {}

    async def health(self) -> EngineHealth:
        version = f"{sys.platform}, Python {sys.version_info.major}.{sys.version_info.minor}"
        return EngineHealth(True, version, "no isolation: programs run as your user, on your files")

    # -- layers and builds -----------------------------------------------------------------------------------------

    def layer_key(self, request: LayerRequest) -> str:
        made_for = self._toolchains.find(request.runtime, request.runtime_version).made_for
        return layer_key(request.runtime, read_declared(request.runtime, request.source), made_for)

    async def prepare(self, request: LayerRequest, progress: Progress) -> Layer:
        toolchain = await asyncio.to_thread(self._toolchains.find, request.runtime, request.runtime_version)
        if request.runtime is Runtime.GO:
            await self._go.agent(request.runtime_version, progress)
        return await self._layers.prepare(request, toolchain.program, progress)

    async def build(self, request: BuildRequest, progress: Progress) -> None:
        await self._go.build(request, progress)

    # -- sandboxes -------------------------------------------------------------------------------------------------

    async def start(self, spec: SandboxSpec) -> Sandbox:
        agent = await self._go.agent(spec.runtime_version, _silently) if spec.runtime is Runtime.GO else None
        program = await asyncio.to_thread(self._program, spec, agent)
        sandbox = ProcessSandbox(program)
        sandbox.on_end = self._ended
        await sandbox.start()
        self._sandboxes[sandbox.id] = sandbox
        return sandbox

    def _ended(self, sandbox: ProcessSandbox) -> None:
        self._sandboxes.pop(sandbox.id, None)

    def _program(self, spec: SandboxSpec, go_agent: Path | None) -> Program:
        identity = f"{self._settings.install_id}.{secrets.token_hex(8)}"
        directory = self._home / "run" / identity
        command, extra = self._command(spec, go_agent)
        view = View(self._home / "views" / identity, spec.trees, spec.layer.path) if _needs_view(spec) else None
        kept = {name: self._settings.environment[name] for name in _KEPT if name in self._settings.environment}
        own = {
            "PATH": self._settings.environment.get("PATH", os.defpath),
            "HOME": str(directory),
            "TMPDIR": str(directory),
            "APIMARKET_EXIT_ON_EOF": "1",
            MARK: identity,
        }
        return Program(
            identity,
            spec.api_id,
            spec.layer.key,
            spec.name,
            command,
            {**kept, **own, **extra},
            directory,
            spec.memory_mb,
            view,
            spec.version,
            spec.replica,
        )

    def _command(self, spec: SandboxSpec, go_agent: Path | None) -> tuple[list[str], dict[str, str]]:
        if spec.runtime is Runtime.GO:
            return [str(go_agent)], {}
        agent = agent_directory(spec.runtime)
        if spec.runtime is Runtime.NODE:
            return [spec.layer.image, str(agent / "agent.mjs")], {}
        programs = spec.layer.path / ("Scripts" if os.name == "nt" else "bin")
        packages = "Lib/site-packages" if os.name == "nt" else "lib/python3*/site-packages"
        environment = {
            "APIMARKET_LAYER": os.pathsep.join(map(str, sorted(spec.layer.path.glob(packages)))),
            "APIMARKET_SUPPORT": str(support_directory(self._home / "cache")),
            "PATH": f"{programs}{os.pathsep}{self._settings.environment.get('PATH', os.defpath)}",
        }
        return [str(programs / "python"), "-u", str(agent / "agent.py")], environment

    async def adopt(self) -> list[Sandbox]:
        """None, ever. What a server that was killed together with an agent left behind is ended here."""
        await asyncio.to_thread(self._clear)
        return []

    def _clear(self) -> None:
        if self._sandboxes:
            return
        end_marked(f"{self._settings.install_id}.")
        for name in ("run", "views"):
            shutil.rmtree(self._home / name, ignore_errors=True)

    async def close(self) -> None:
        await self._layers.close()
        await self._go.close()
        await asyncio.gather(*(sandbox.stop(grace_s=5.0) for sandbox in list(self._sandboxes.values())))


def _needs_view(spec: SandboxSpec) -> bool:
    return spec.runtime is Runtime.NODE and (spec.layer.path / "node_modules").is_dir()


def _make(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
