"""An engine in memory, for tests: it passes the engine contract, starts nothing, and takes no time.

Its programs are trees with a file `answer.txt`, which every request is answered with over real HTTP on 127.0.0.1. A
file `syntax-error` makes the generation fail as a syntax error does, its text being the message; a file `never-ready`
keeps it starting until it is stopped; the text of a file `prints` is printed at the start. In all three `$NAME` is the
program's environment variable. A dependency named `nonesuch` cannot be installed; one named `slow` takes until
it is cancelled.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import ClassVar, Literal

from local_server.domain.executor_errors import BuildFailed, DependenciesFailed, SandboxFailed
from local_server.domain.ids import ApiId
from local_server.executor.engine import (
    BuildRequest,
    EngineHealth,
    EngineSettings,
    Layer,
    LayerRequest,
    Message,
    Progress,
    Sandbox,
    SandboxExit,
    SandboxSpec,
    SandboxUsage,
)
from local_server.executor.engines.lines import Mailbox, log_message
from local_server.executor.layers.declared import Declared, read_declared
from local_server.executor.layers.flights import Flights
from local_server.executor.layers.store import layer_key

_counter = itertools.count(1)


@dataclass
class FakeMachine:
    """What outlives an engine, as containers do: hand it to the next one to have its sandboxes adopted."""

    agents: dict[str, "FakeAgent"] = field(default_factory=dict)


class FakeGeneration:
    """One program, on a port of its own."""

    def __init__(self, tree: Path, env: Mapping[str, str]) -> None:
        self._tree = tree
        self._env = env
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def listen(self, port: int) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = next((int(line[15:]) for line in head.split("\r\n") if line.startswith("content-length:")), 0)
                await reader.readexactly(length)
                body = expanded(self._tree / "answer.txt", self._env).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        except (EOFError, OSError):
            return
        finally:
            self._writers.discard(writer)
            writer.close()

    async def end(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in tuple(self._writers):
                writer.transport.abort()
            await self._server.wait_closed()


def expanded(path: Path, env: Mapping[str, str]) -> str:
    return Template(path.read_text()).safe_substitute(env)


class FakeAgent:
    """Speaks docs/agent-protocol.md from inside the test's own process."""

    def __init__(self, spec: SandboxSpec) -> None:
        self.id = f"fake-{next(_counter)}"
        self.spec = spec
        self.mailbox = Mailbox()
        self.ready: dict[int, tuple[FakeGeneration, int]] = {}
        self.starting: set[int] = set()

    async def hello(self) -> None:
        gens = [{"gen": gen, "port": port} for gen, (_, port) in self.ready.items()]
        await self.mailbox.put({"t": "hello", "agent": 1, "runtime": f"{self.spec.runtime} 0", "pid": 1, "gens": gens})

    async def hear(self, message: Message) -> None:
        if message["t"] == "hello":
            await self.hello()
        elif message["t"] == "start":
            await self._start(message)
        elif message["t"] == "stop":
            await self._stop(int(message["gen"]))

    async def _start(self, message: Message) -> None:
        gen, tree = int(message["gen"]), Path(message["dir"])
        if gen in self.ready or gen in self.starting:
            return
        if (tree / "syntax-error").exists():
            text = expanded(tree / "syntax-error", message.get("env", {})) or "SyntaxError: invalid syntax"
            failure = {"kind": "syntax", "message": text, "file": "main.py", "line": 1, "traceback": text}
            await self.mailbox.put({"t": "failed", "gen": gen, **failure})
        elif (tree / "never-ready").exists():
            self.starting.add(gen)
        else:
            generation = FakeGeneration(tree, message.get("env", {}))
            self.starting.add(gen)
            if (tree / "prints").exists():
                await self.mailbox.put(log_message("out", expanded(tree / "prints", message.get("env", {}))))
            port = await generation.listen(int(message["port"]))
            if gen not in self.starting:  # stopped meanwhile
                await generation.end()
                return
            self.starting.discard(gen)
            self.ready[gen] = (generation, port)
            timings = {"import": 0.1, "ready": 0.1}
            await self.mailbox.put(
                {"t": "ready", "gen": gen, "port": port, "kind": "asgi", "ms": timings, "advice": []}
            )

    async def _stop(self, gen: int) -> None:
        self.starting.discard(gen)
        if found := self.ready.pop(gen, None):
            await found[0].end()
        await self.mailbox.put({"t": "stopped", "gen": gen})

    async def crash(self, gen: int, code: int = 1) -> None:
        """End a ready generation as if its program had."""
        await self.ready.pop(gen)[0].end()
        await self.mailbox.put({"t": "exited", "gen": gen, "code": code, "signal": None})

    async def end_all(self) -> None:
        for generation, _ in self.ready.values():
            await generation.end()
        self.ready.clear()
        self.starting.clear()


class FakeSandbox:
    def __init__(self, machine: FakeMachine, agent: FakeAgent) -> None:
        self.id = agent.id
        self.api_id: ApiId = agent.spec.api_id
        self.version = agent.spec.version
        self.replica = agent.spec.replica
        self.layer_key = agent.spec.layer.key
        self.agent = agent
        self._machine = machine
        self._exit: SandboxExit | None = None

    async def send(self, message: Message) -> None:
        if self._exit is not None:
            raise SandboxFailed(f"The fake sandbox of {self.agent.spec.name} has ended")
        # What is on its way arrives, whether or not the sender still waits.
        await asyncio.shield(asyncio.ensure_future(self.agent.hear(message)))

    def messages(self) -> AsyncIterator[Message]:
        return self.agent.mailbox.messages()

    def inside(self, host_path: Path) -> str:
        return str(host_path)

    def lease_port(self) -> int:
        return 0

    def release_port(self, port: int) -> None:
        """The kernel chooses ports."""

    def address(self, port: int) -> tuple[str, int]:
        return ("127.0.0.1", port)

    async def usage(self) -> SandboxUsage | None:
        return None if self._exit else SandboxUsage(memory_bytes=1 << 20, cpu_seconds=0.01)

    @property
    def exit(self) -> SandboxExit | None:
        return self._exit

    async def kill(self) -> None:
        """The agent is killed, and started again as by a restart policy."""
        await self.agent.end_all()
        await self.agent.hello()

    async def vanish(self, code: int = 137, *, out_of_memory: bool = False) -> None:
        """The sandbox is gone for good, as after `docker rm --force`."""
        await self.agent.end_all()
        self._machine.agents.pop(self.id, None)
        self._exit = self._exit or SandboxExit(code, out_of_memory, "gone")
        self.agent.mailbox.close()

    async def stop(self, grace_s: float = 10.0) -> None:
        if self._exit is None:
            await self.vanish(0)

    async def detach(self) -> None:
        if self._exit is None:
            self._exit = SandboxExit(None, detail="detached")
            self.agent.mailbox.close()
            self.agent.mailbox = Mailbox()


class FakeEngine:
    name: ClassVar[Literal["fake"]] = "fake"
    isolated = False

    def __init__(self, settings: EngineSettings, machine: FakeMachine | None = None) -> None:
        self.settings = settings
        self.machine = machine or FakeMachine()
        self.sandboxes: list[FakeSandbox] = []
        """Every sandbox started or adopted, oldest first."""
        self.installed: list[str] = []
        """The key of every layer installed, in order."""
        self.trouble: Exception | None = None
        """Raised by the next `start` when set."""
        self._layers: dict[str, Layer] = {}
        self._flights: Flights[Layer] = Flights()

    async def health(self) -> EngineHealth:
        return EngineHealth(True, "0", "in memory")

    def layer_key(self, request: LayerRequest) -> str:
        return layer_key(request.runtime, read_declared(request.runtime, request.source), "fake")

    async def prepare(self, request: LayerRequest, progress: Progress) -> Layer:
        key = self.layer_key(request)
        if key in self._layers:
            return self._layers[key]

        async def install(tell: Progress) -> Layer:
            declared = read_declared(request.runtime, request.source)
            await self._install(declared, tell)
            path = self.settings.home / "layers" / key
            path.mkdir(parents=True, exist_ok=True)
            self.installed.append(key)
            self._layers[key] = Layer(key, path, "fake")
            return self._layers[key]

        return await self._flights.join(key, install, progress)

    async def _install(self, declared: Declared | None, tell: Progress) -> None:
        names: Mapping[str, bytes] = declared.files if declared else {}
        text = b"\n".join(names.values()).decode()
        if declared is not None and "nonesuch" in text:
            raise DependenciesFailed(declared.source, "No matching distribution found for nonesuch==9", text)
        for line in text.split():
            tell(f"Collecting {line}")
        if "slow" in text:
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    async def build(self, request: BuildRequest, progress: Progress) -> None:
        broken = request.source / "syntax-error"
        if broken.exists():
            raise BuildFailed(broken.read_text() or "syntax error", "main.go", 1, "")
        request.output.write_text(str(request.source))

    async def start(self, spec: SandboxSpec) -> Sandbox:
        if self.trouble is not None:
            trouble, self.trouble = self.trouble, None
            raise trouble
        agent = FakeAgent(spec)
        self.machine.agents[agent.id] = agent
        await agent.hello()
        return self._open(agent)

    def _open(self, agent: FakeAgent) -> FakeSandbox:
        sandbox = FakeSandbox(self.machine, agent)
        self.sandboxes.append(sandbox)
        return sandbox

    async def adopt(self) -> list[Sandbox]:
        held = {sandbox.id for sandbox in self.sandboxes if sandbox.exit is None}
        found: list[Sandbox] = []
        for agent in self.machine.agents.values():
            if agent.id not in held:
                await agent.hello()
                found.append(self._open(agent))
        return found

    async def close(self) -> None:
        await self._flights.close()
        for sandbox in self.sandboxes:
            await sandbox.detach()
