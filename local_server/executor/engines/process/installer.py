"""Installing dependencies with the machine's own tools, as child processes."""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from local_server.domain.executor_errors import ToolchainMissing
from local_server.domain.manifest import Runtime
from local_server.executor.engines.lines import LineBuffer
from local_server.executor.engines.process.children import close_pipes, ended
from local_server.executor.engines.process.family import signal_group
from local_server.executor.engines.process.toolchains import Toolchains
from local_server.executor.layers.installer import LineSink, Places, Work
from local_server.executor.layers.steps import install_steps

_HIDDEN = ("APIMARKET_", "PYTHON", "VIRTUAL_ENV", "CONDA_", "__PYVENV")
_CHUNK = 64 << 10
_LAST_WORDS_S = 2.0


class ProcessInstaller:
    def __init__(self, toolchains: Toolchains, cache: Path, environment: Mapping[str, str]) -> None:
        self._toolchains = toolchains
        self._cache = cache
        self._environment = environment

    async def made_for(self, runtime: Runtime, version: str | None, progress: LineSink) -> str:
        return (await asyncio.to_thread(self._toolchains.find, runtime, version)).made_for

    async def install(self, work: Work, line: LineSink) -> int:
        toolchain = await asyncio.to_thread(self._toolchains.find, work.runtime, work.runtime_version)
        if not toolchain.installer:
            node = work.runtime is Runtime.NODE
            raise ToolchainMissing(work.runtime, "node" if node else None, "npm" if node else "pip")
        self._cache.mkdir(parents=True, exist_ok=True)
        places = Places(str(work.layer), str(work.source), "", str(self._cache))
        locked = (work.source / "package-lock.json").is_file()
        steps = install_steps(work.runtime, places, toolchain.program, toolchain.installer, locked=locked)
        environment = {**installer_environment(self._environment, self._toolchains.search_path), **steps.environment}
        for command in steps.commands:
            code = await run_lines(command, environment, steps.workdir, line)
            if code != 0:
                return code
        return 0

    async def install_nothing(self, work: Work) -> None:
        if work.runtime is not Runtime.PYTHON:
            return
        # Even without dependencies: an API must not see the packages of the machine's own Python.
        toolchain = await asyncio.to_thread(self._toolchains.find, work.runtime, work.runtime_version)
        environment = installer_environment(self._environment, self._toolchains.search_path)
        command = (toolchain.program, "-m", "venv", "--without-pip", str(work.layer))
        said: list[str] = []
        if await run_lines(command, environment, str(work.layer), said.append) != 0:
            raise ToolchainMissing("python", None, "python3-venv")


def installer_environment(environment: Mapping[str, str], search_path: str) -> dict[str, str]:
    """The user's own, for index addresses, proxies and certificates; without what belongs to the server."""
    kept = {name: value for name, value in environment.items() if not name.startswith(_HIDDEN)}
    return {**kept, "PATH": search_path}


async def run_lines(command: Sequence[str], environment: Mapping[str, str], workdir: str, line: LineSink) -> int:
    """Run a command and pass on each line of either stream; its exit code. Cancelling kills its process group."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(environment),
        cwd=workdir,
        start_new_session=True,
    )
    hearing = asyncio.create_task(_hear(process, line), name="installer-lines")
    try:
        code = await ended(process)
        await asyncio.wait({hearing}, timeout=_LAST_WORDS_S)
        return code
    finally:
        signal_group(process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        await ended(process)
        hearing.cancel()
        await asyncio.wait({hearing})
        close_pipes(process)


async def _hear(process: asyncio.subprocess.Process, line: LineSink) -> None:
    assert process.stdout is not None
    lines = LineBuffer()
    while data := await process.stdout.read(_CHUNK):
        for text in lines.feed(data):
            line(text.decode("utf-8", "replace"))
    for text in lines.rest():
        line(text.decode("utf-8", "replace"))
