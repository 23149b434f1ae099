"""Go without Docker: the agent compiled once with the machine's Go, and one builder process."""

import asyncio
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from local_server.domain.executor_errors import BuildFailed, DependenciesFailed
from local_server.domain.ids import ApiId
from local_server.domain.manifest import Runtime
from local_server.executor.agents.support import agent_directory
from local_server.executor.engine import BuildRequest, EngineSettings, Progress
from local_server.executor.engines.builder import Builder
from local_server.executor.engines.go_agent import COMPILE, build_environment, sources_digest
from local_server.executor.engines.process.family import MARK
from local_server.executor.engines.process.installer import installer_environment, run_lines
from local_server.executor.engines.process.sandbox import ProcessSandbox, Program
from local_server.executor.engines.process.toolchains import Toolchain, Toolchains


class ProcessGo:
    def __init__(self, settings: EngineSettings, toolchains: Toolchains) -> None:
        self._home = settings.home
        self._install_id = settings.install_id
        self._environment = settings.environment
        self._toolchains = toolchains
        self._lock = asyncio.Lock()
        self._running: Builder | None = None

    async def agent(self, version: str | None, progress: Progress) -> Path:
        """The compiled agent: compiled now unless it was once. Raises ToolchainMissing, DependenciesFailed."""
        go = await asyncio.to_thread(self._toolchains.find, Runtime.GO, version)
        source = agent_directory(Runtime.GO)
        directory = self._home / "cache" / "agents" / await asyncio.to_thread(sources_digest, source, go.made_for)
        async with self._lock:
            if not (directory / "agent").exists():
                progress("compiling the Go agent, once")
                await self._compile(go, source, directory)
        return directory / "agent"

    async def _compile(self, go: Toolchain, source: Path, directory: Path) -> None:
        unfinished = directory.with_name(f"{directory.name}.{secrets.token_hex(4)}")
        unfinished.mkdir(parents=True)
        command = (go.program, *COMPILE, "-o", str(unfinished / "agent"), ".")
        log: list[str] = []
        try:
            code = await run_lines(command, self._go_environment(), str(source), log.append)
            if code != 0:
                raise DependenciesFailed("the Go agent", log[-1] if log else f"go ended with {code}", "\n".join(log))
            os.replace(unfinished, directory)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _go_environment(self) -> dict[str, str]:
        own = installer_environment(self._environment, self._toolchains.search_path)
        cache = self._home / "cache"
        return {**own, **build_environment(own, str(cache / "go-build"), str(cache / "go-mod"))}

    async def build(self, request: BuildRequest, progress: Progress) -> None:
        builder = await self._builder(request.runtime_version, progress)
        unfinished = request.output.with_name(f".{request.output.name}.{secrets.token_hex(4)}")
        message: Mapping[str, object] = {
            "dir": str(request.source),
            "package": request.package,
            "output": str(unfinished),
            "env": {"GOFLAGS": self._go_environment()["GOFLAGS"]},
        }
        try:
            await builder.build(message, progress)
            await asyncio.to_thread(os.replace, unfinished, request.output)
        except FileNotFoundError as error:
            raise BuildFailed(
                "the compiler wrote no program: is there a `package main` in it?", None, None, ""
            ) from error
        finally:
            unfinished.unlink(missing_ok=True)

    async def _builder(self, version: str | None, progress: Progress) -> Builder:
        agent = await self.agent(version, progress)
        go = await asyncio.to_thread(self._toolchains.find, Runtime.GO, version)
        async with self._lock:
            if self._running is None or self._running.ended:
                self._running = await self._start_builder(str(agent), go.program)
            return self._running

    async def _start_builder(self, agent: str, go: str) -> Builder:
        identity = f"{self._install_id}.builder-{secrets.token_hex(6)}"
        environment = self._go_environment()
        environment["PATH"] = f"{os.path.dirname(go)}{os.pathsep}{environment['PATH']}"
        environment |= {"APIMARKET_EXIT_ON_EOF": "1", MARK: identity}
        directory = self._home / "run" / identity
        program = Program(identity, ApiId("go-builder"), "", "the Go builder", [agent], environment, directory)
        sandbox = ProcessSandbox(program)
        await sandbox.start()
        return Builder(sandbox, "process")

    async def close(self) -> None:
        builder, self._running = self._running, None
        if builder is not None:
            await builder.close()
