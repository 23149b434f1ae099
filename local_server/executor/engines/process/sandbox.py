"""An agent as a child process, and the pipes to it.

There is no isolation. What there is: a process group of its own, an environment without the server's, a limit on
memory, and the promise that nothing of it outlives its end.
"""

import asyncio
import logging
import shutil
import signal
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local_server.domain.executor_errors import SandboxFailed
from local_server.domain.ids import ApiId
from local_server.executor.engine import Message, SandboxExit, SandboxUsage
from local_server.executor.engines.lines import LineBuffer, Mailbox, log_message, read_message, write_message
from local_server.executor.engines.process.children import close_pipes, ended
from local_server.executor.engines.process.family import end_marked, signal_group
from local_server.executor.engines.process.memory import end_the_largest, read_usage, share_of
from local_server.executor.engines.process.views import View

log = logging.getLogger(__name__)

SIGKILL: int = getattr(signal, "SIGKILL", signal.SIGTERM)
_BACK_OFF_S = (0.5, 1.0, 2.0)
_CRASHES, _CRASH_WINDOW_S = 3, 10.0
_CHUNK = 64 << 10
_LAST_WORDS_S = 0.2
_MEMORY_LOOK_S = 0.5
_MEMORY_NEAR = 0.5


@dataclass(frozen=True, slots=True)
class Program:
    """What a sandbox of processes runs."""

    id: str
    """Also the mark in the environment by which its processes are found."""
    api_id: ApiId
    layer_key: str
    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    """Its own, for HOME and temporary files; deleted at the end."""
    memory_mb: int | None = None
    view: View | None = None
    version: str = ""
    replica: int = 1


class ProcessSandbox:
    def __init__(self, program: Program) -> None:
        self.id = program.id
        self.api_id = program.api_id
        self.version = program.version
        self.replica = program.replica
        self.layer_key = program.layer_key
        self._program = program
        self._process: asyncio.subprocess.Process | None = None
        self._mailbox = Mailbox()
        self._pump: asyncio.Task[None] | None = None
        self._exit: SandboxExit | None = None
        self._stopping = asyncio.Event()
        self._ending = asyncio.Lock()
        self._crashes: deque[float] = deque(maxlen=_CRASHES)
        self._out_of_memory = False
        self.on_end: Callable[[ProcessSandbox], None] = lambda sandbox: None
        """Called once, when the sandbox has ended."""

    async def start(self) -> None:
        """Raises SandboxFailed."""
        await asyncio.to_thread(self._make_directories)
        try:
            self._process = await self._spawn()
        except OSError as error:
            await asyncio.to_thread(self._remove_directories)
            raise SandboxFailed(f"{self._program.command[0]} does not run: {error.strerror}") from error
        self._pump = asyncio.create_task(self._run(self._process), name=f"sandbox-{self.id[-12:]}")

    def _make_directories(self) -> None:
        self._program.directory.mkdir(parents=True, exist_ok=True)
        if self._program.view is not None:
            self._program.view.make()

    def _remove_directories(self) -> None:
        shutil.rmtree(self._program.directory, ignore_errors=True)
        if self._program.view is not None:
            self._program.view.remove()

    async def _spawn(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._program.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(self._program.environment),
            cwd=self._program.directory,
            start_new_session=True,
        )

    # -- the channel -----------------------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        process = self._process
        if self._exit is not None or process is None or process.stdin is None or process.returncode is not None:
            reason = self._exit.detail if self._exit else "it is being started again"
            raise SandboxFailed(f"The processes of {self._program.name} cannot be told anything: {reason}")
        if message["t"] == "start":
            # Nothing stands between a process and the network it binds, so it is never more than this machine.
            message = {**message, "host": "127.0.0.1"}
            if self._program.view is not None:
                await asyncio.to_thread(self._program.view.lay_out, int(message["gen"]), str(message["dir"]))
        try:
            process.stdin.write(write_message(message))
            await process.stdin.drain()
        except (OSError, RuntimeError) as error:
            raise SandboxFailed(f"The agent of {self._program.name} does not listen: {error}") from error

    def messages(self) -> AsyncIterator[Message]:
        return self._mailbox.messages()

    async def _run(self, process: asyncio.subprocess.Process) -> None:
        outcome = SandboxExit(None, detail="the server let go of it")
        try:
            while True:
                await self._live(process)
                outcome = self._how_it_ended(process)
                if not await self._may_start_again():
                    break
                self._process = process = await self._spawn()
        except Exception as error:
            outcome = SandboxExit(None, detail=f"the channel failed: {error}")
            log.exception("sandbox %s: the channel failed", self.id)
        finally:
            signal_group(process.pid, SIGKILL)
            await asyncio.to_thread(self._leave_nothing)
            self._exit = outcome
            self._mailbox.close()
            self.on_end(self)

    async def _live(self, process: asyncio.subprocess.Process) -> None:
        """Pass on what a process says until it ends, and end what it leaves behind."""
        words = asyncio.create_task(self._hear_all(process), name=f"pipes-{self.id[-12:]}")
        watch = asyncio.create_task(self._watch_memory(process), name=f"memory-{self.id[-12:]}")
        try:
            await ended(process)
            # What it said last may still be in the pipe; and a child of it may hold the pipe open for ever.
            await asyncio.wait({words}, timeout=_LAST_WORDS_S)
            while not words.done() and self._mailbox.is_full:
                await asyncio.wait({words}, timeout=_LAST_WORDS_S)
        finally:
            for task in (words, watch):
                task.cancel()
            await asyncio.wait({words, watch})
            signal_group(process.pid, SIGKILL)
            await asyncio.to_thread(end_marked, self.id)
            await ended(process)
            close_pipes(process)

    async def _hear_all(self, process: asyncio.subprocess.Process) -> None:
        await asyncio.gather(self._hear(process), self._hear_errors(process))

    async def _hear(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        lines = LineBuffer()
        while data := await process.stdout.read(_CHUNK):
            for line in lines.feed(data):
                if (message := read_message(line)) is not None:
                    await self._pass_on(message)

    async def _hear_errors(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        lines = LineBuffer()
        while data := await process.stderr.read(_CHUNK):
            for line in lines.feed(data):
                await self._mailbox.put(log_message("err", line))
        for line in lines.rest():
            await self._mailbox.put(log_message("err", line))

    async def _pass_on(self, message: Message) -> None:
        kind = message["t"]
        if kind in {"exited", "failed"} and self._out_of_memory:
            self._out_of_memory = False
            message = {**message, "out_of_memory": True}
        if kind in {"exited", "failed", "stopped"} and self._program.view is not None:
            # Before anybody hears of it: it may be started again under its number.
            await asyncio.to_thread(self._program.view.clear, int(message["gen"]))
        await self._mailbox.put(message)

    # -- its end ---------------------------------------------------------------------------------------------------

    def _how_it_ended(self, process: asyncio.subprocess.Process) -> SandboxExit:
        code = process.returncode
        if self._out_of_memory:
            return SandboxExit(code, True, f"out of memory: the limit is {self._program.memory_mb} MB")
        return SandboxExit(code, detail=f"the agent ended with {code}")

    async def _may_start_again(self) -> bool:
        """Wait before another try; False when it was told to stop, or crashed too often."""
        if self._stopping.is_set():
            return False
        self._crashes.append(time.monotonic())
        if len(self._crashes) == _CRASHES and self._crashes[-1] - self._crashes[0] < _CRASH_WINDOW_S:
            return False
        self._out_of_memory = False
        try:
            async with asyncio.timeout(_BACK_OFF_S[min(len(self._crashes), len(_BACK_OFF_S)) - 1]):
                await self._stopping.wait()
        except TimeoutError:
            return True
        return False

    async def _watch_memory(self, process: asyncio.subprocess.Process) -> None:
        limit_mb, share = self._program.memory_mb, 1.0
        while limit_mb is not None:
            # A program far below its limit is seldom looked at: nothing grows by half a limit unseen for long.
            await asyncio.sleep(_MEMORY_LOOK_S if share > _MEMORY_NEAR else _MEMORY_LOOK_S * 4)
            share = await asyncio.to_thread(share_of, process.pid, limit_mb << 20)
            if share > 1.0 and await asyncio.to_thread(end_the_largest, process.pid):
                self._out_of_memory = True
                words = f"a program was ended: out of memory, the limit is {limit_mb} MB"
                await self._mailbox.put(log_message("err", words))

    def _leave_nothing(self) -> None:
        end_marked(self.id)
        self._remove_directories()

    @property
    def exit(self) -> SandboxExit | None:
        return self._exit

    async def stop(self, grace_s: float = 10.0) -> None:
        pump = self._pump
        if pump is None:
            return
        async with self._ending:
            if not pump.done() and not self._stopping.is_set():
                self._stopping.set()
                try:
                    await self.send({"t": "shutdown", "grace_s": grace_s})
                except SandboxFailed as error:
                    log.debug("sandbox %s ended before it was told to: %s", self.id, error.detail)
                await asyncio.wait({pump}, timeout=grace_s + 1)
            if self._process is not None and self._process.returncode is None:
                signal_group(self._process.pid, SIGKILL)
            await asyncio.wait({pump}, timeout=2)
            # Nobody may be reading: a full mailbox must not keep a stopped sandbox alive.
            pump.cancel()
            await asyncio.wait({pump})

    async def detach(self) -> None:
        """A process without its server would be an orphan: it ends."""
        await self.stop(grace_s=5.0)

    # -- ports, paths, figures -------------------------------------------------------------------------------------

    def inside(self, host_path: Path) -> str:
        return self._program.view.inside(host_path) if self._program.view is not None else str(host_path)

    def lease_port(self) -> int:
        return 0

    def release_port(self, port: int) -> None:
        """Ports are the kernel's to give and to take."""

    def address(self, port: int) -> tuple[str, int]:
        return ("127.0.0.1", port)

    async def usage(self) -> SandboxUsage | None:
        if self._process is None or self._exit is not None:
            return None
        return await asyncio.to_thread(read_usage, self._process.pid)
