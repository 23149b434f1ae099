"""Starts one generation in a box: finds what to run, compiles it if need be, starts it, asks whether it answers."""

import asyncio
import time
from dataclasses import dataclass, replace
from pathlib import Path

from local_server.domain.deployments import Failure, Generation, Phase
from local_server.domain.manifest import Manifest, Runtime
from local_server.domain.registry import Api
from local_server.domain.trees import Tree
from local_server.executor import health
from local_server.executor.box import Box, Program, Ready, StartFailed
from local_server.executor.engine import BuildRequest, Engine, Progress
from local_server.executor.workshop import Workshop
from local_server.registry.detect import detect_entry

PHASES: tuple[Phase, ...] = ("detect", "snapshot", "prepare", "build", "announce", "import", "ready", "swap", "total")
HEALTH_S = 10.0


@dataclass(slots=True)
class Launch:
    """A generation on its way."""

    generation: Generation
    tree: Tree
    manifest: Manifest
    directory: Path
    """Where the tree is laid out."""
    timings: dict[str, float]
    program: Program | None = None
    """What is started, once it is known."""
    entry: str | None = None
    """The entry point, when none is named: first the one that served last, then the one that was found."""
    started: float | None = None
    """When it began anew (time.perf_counter), after a wait for its box."""
    tried: bool = False
    """It was started in some box; another try needs another number."""
    served: bool = False

    def phases(self) -> dict[Phase, float]:
        """The timings so far, in order, in milliseconds."""
        return {phase: round(self.timings[phase], 2) for phase in PHASES if phase in self.timings}


async def launch(shop: Workshop, api: Api, launching: Launch, box: Box, progress: Progress) -> Ready:
    """Bring a generation to the point where it can take traffic. Cancelling ends it.

    Raises StartFailed, BuildFailed, SandboxFailed, SecretsMissing, SecretsSealed and what else Engine.build raises."""
    await prepare(shop, api, launching, progress)
    return await start(api, launching, box)


async def prepare(shop: Workshop, api: Api, launching: Launch, progress: Progress) -> None:
    """Find out what to start, and compile it if need be. Raises what `launch` does."""
    program = await _program(shop.engine, launching, progress)
    secrets = await shop.secrets.values(api, launching.manifest.run.secrets)
    # The same for every generation: agents keep processes warm that were started with it.
    env = {**launching.manifest.run.env, **secrets, "APIMARKET_API": api.full_name}
    launching.program = replace(program, env=env, start_timeout_s=shop.pace.start_s)


async def start(api: Api, launching: Launch, box: Box) -> Ready:
    """Start what was prepared, and see whether it answers. Cancelling ends it. Raises StartFailed, SandboxFailed."""
    assert launching.program is not None
    announced = time.perf_counter()
    number = launching.generation.number
    ready = await box.start(number, launching.program)
    waited_ms = (time.perf_counter() - announced) * 1000
    launching.timings["import"] = ready.import_ms
    launching.timings["ready"] = ready.ready_ms
    launching.timings["announce"] = max(0.0, waited_ms - ready.import_ms - ready.ready_ms)
    checking = time.perf_counter()
    try:
        problem = await _check(api, launching.manifest, box, ready)
    except asyncio.CancelledError:
        box.end(number)
        raise
    if problem:
        await box.stop(number)
        raise StartFailed(Failure("health", problem, hint="Correct it, or change [run] health in apimarket.toml."))
    launching.timings["ready"] += (time.perf_counter() - checking) * 1000
    return ready


def unmet(manifest: Manifest, isolated: bool) -> list[str]:
    """What the manifest asks for and does not get, in words for the log: nothing is left out in silence."""
    run = manifest.run
    words = []
    if not run.egress and not isolated:
        words.append("egress = false holds under Docker only; here the program can reach the network")
    return words


async def _check(api: Api, manifest: Manifest, box: Box, ready: Ready) -> str:
    if manifest.run.health is None and ready.kind != "command":
        return ""  # the agent has seen it accept, and its server is known to speak HTTP
    return await health.answers(
        box.sandbox.address(ready.port),
        manifest.run.health or "/",
        f"{api.slug}.localhost",
        HEALTH_S,
        any_status=manifest.run.health is None,
    )


async def _program(engine: Engine, launching: Launch, progress: Progress) -> Program:
    manifest = launching.manifest
    entry, command = manifest.run.entry, manifest.run.command
    if command is None and entry is None:
        # Code that is broken enough shows no entry point; starting the one from before tells what is wrong with it.
        known = launching.entry if _exists(launching.directory, launching.entry) else None
        # Reading and parsing files would hold up the gateway, which lives on the same event loop.
        found = await asyncio.to_thread(detect_entry, launching.directory, manifest.runtime)
        entry = launching.entry = found or known
        if entry is None:
            raise StartFailed(
                Failure(
                    "entry",
                    f"No entry point for {manifest.runtime} was found",
                    hint="Name it in apimarket.toml: [run] entry = …  or  command = […]",
                )
            )
    if command is None and manifest.runtime is Runtime.GO:
        built = await _compile(engine, manifest, launching, entry or ".", progress)
        return Program(launching.directory, None, None, built)
    return Program(launching.directory, entry, command)


def _exists(directory: Path, entry: str | None) -> bool:
    """Whether the file of an entry point like `main:app`, `pkg.main:app` or `src/index.js` is there."""
    name = (entry or "").partition(":")[0]
    module = name.replace(".", "/")
    files = (name, f"{module}.py", module, f"src/{module}.py", f"src/{module}")
    return bool(name) and any((directory / file).exists() for file in files)


async def _compile(engine: Engine, manifest: Manifest, launching: Launch, package: str, progress: Progress) -> Path:
    started = time.perf_counter()
    output = launching.directory.with_name(f"{launching.directory.name}.build") / "app"
    output.parent.mkdir(exist_ok=True)
    await engine.build(BuildRequest(manifest.runtime_version, launching.directory, package, output), progress)
    launching.timings["build"] = (time.perf_counter() - started) * 1000
    return output
