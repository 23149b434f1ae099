"""Every engine with every runtime it can run: what the engine contract is tested on."""

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import httpx2
import psutil

from local_server.domain.ids import ApiId
from local_server.domain.manifest import Runtime
from local_server.executor.engine import (
    BuildRequest,
    Engine,
    EngineSettings,
    Layer,
    LayerRequest,
    Message,
    Sandbox,
    SandboxSpec,
)
from local_server.executor.engines.docker import DockerEngine
from local_server.executor.engines.process import ProcessEngine
from local_server.executor.engines.process.family import marked
from tests.executor.fake_engine import FakeEngine, FakeMachine, FakeSandbox

PATIENCE_S = 60.0

PYTHON = """
import os
ANSWER = open(os.path.join(os.path.dirname(__file__), "answer.txt"), "rb").read()

async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": ANSWER})
"""
NODE = """
import { readFileSync } from "node:fs";
const answer = readFileSync(new URL("answer.txt", import.meta.url));
export default { fetch: () => new Response(answer) };
"""
GO = """package main

import (
	_ "embed"
	"net/http"
	"os"
)

//go:embed answer.txt
var answer []byte

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { w.Write(answer) })
	http.ListenAndServe(os.Getenv("HOST")+":"+os.Getenv("PORT"), nil)
}
"""
SOURCES: Mapping[Runtime, tuple[str, str, str]] = {
    Runtime.PYTHON: ("main.py", PYTHON, "main:app"),
    Runtime.NODE: ("index.mjs", NODE, "index.mjs"),
    Runtime.GO: ("main.go", GO, ""),
}
DEPENDENCIES: Mapping[Runtime, tuple[str, str, str]] = {
    Runtime.PYTHON: ("requirements.txt", "idna==3.10\n", "nonesuch-apimarket==9\n"),
    Runtime.NODE: (
        "package.json",
        '{"dependencies": {"is-odd": "3.0.1"}}',
        '{"dependencies": {"nonesuch-apimarket-nonesuch": "9.0.0"}}',
    ),
}


def nothing(_line: str) -> None:
    """Progress the test is not about."""


class Reader:
    """Reads a sandbox's messages, and waits for those a test is about."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._messages = aiter(sandbox.messages())
        self.seen: list[Message] = []

    async def until(self, *kinds: str, gen: int | None = None) -> Message:
        async with asyncio.timeout(PATIENCE_S):
            async for message in self._messages:
                self.seen.append(message)
                if message["t"] in kinds and (gen is None or message.get("gen") == gen):
                    return message
        raise AssertionError(f"the messages ended without {kinds}: {self.seen}")

    async def rest(self) -> list[Message]:
        async with asyncio.timeout(PATIENCE_S):
            return [message async for message in self._messages]


@dataclass
class EngineCase:
    """One engine, one runtime, one API, and trees for it."""

    engine: Engine
    runtime: Runtime
    home: Path
    reopen: Callable[[], Engine]
    """Another engine of the same installation, as after a restart of the server."""
    kill_agent: Callable[[Sandbox], Awaitable[None]]
    remains: Callable[[Sandbox], list[Any]]
    """What is left of a sandbox on this machine."""
    api_id: ApiId = field(default_factory=lambda: ApiId(f"api-{secrets.token_hex(6)}"))
    readers: dict[str, Reader] = field(default_factory=dict)

    @property
    def trees(self) -> Path:
        return self.home / "apis" / self.api_id / "trees"

    def tree(self, number: int, answer: str, extra: Mapping[str, str] | None = None) -> Path:
        """Lay out a tree that answers with `answer`."""
        tree = self.trees / f"{number}-{secrets.token_hex(4)}"
        name, source, _ = SOURCES[self.runtime]
        for path, text in {name: source, "answer.txt": answer, **(extra or {})}.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(text)
        return tree

    def broken_tree(self, number: int) -> Path:
        name, source, _ = SOURCES[self.runtime]
        return self.tree(number, "", {name: source + "\n)oops(\n", "syntax-error": "SyntaxError: oops"})

    def request(self, source: Path) -> LayerRequest:
        return LayerRequest(self.runtime, None, source)

    async def layer(self, source: Path) -> Layer:
        return await self.engine.prepare(self.request(source), nothing)

    async def sandbox(self, source: Path, **limits: Any) -> tuple[Sandbox, Reader]:
        layer = await self.layer(source)
        spec = SandboxSpec(self.api_id, "ada/case", self.runtime, None, layer, self.trees, **limits)
        sandbox = await self.engine.start(spec)
        self.readers[sandbox.id] = Reader(sandbox)
        return sandbox, self.readers[sandbox.id]

    async def announce(self, sandbox: Sandbox, number: int, tree: Path) -> int:
        """Compile if need be and tell the agent to start; the leased port."""
        port = sandbox.lease_port()
        message = {"t": "start", "gen": number, "dir": sandbox.inside(tree), "host": "0.0.0.0", "port": port}
        what: dict[str, Any] = {"entry": SOURCES[self.runtime][2], "command": None}
        if self.runtime is Runtime.GO:
            output = self.trees / f"{tree.name}.build" / "app"
            output.parent.mkdir(exist_ok=True)
            await self.engine.build(BuildRequest(None, tree, ".", output), nothing)
            what = {"entry": None, "command": [sandbox.inside(output)]}
        await sandbox.send({**message, **what, "env": {}, "timeout_s": 30})
        return port

    async def serve(self, sandbox: Sandbox, reader: Reader, number: int, tree: Path) -> str:
        """Start a generation; the URL it answers at."""
        await self.announce(sandbox, number, tree)
        message = await reader.until("ready", "failed", gen=number)
        assert message["t"] == "ready", message
        host, port = sandbox.address(int(message["port"]))
        return f"http://{host}:{port}/"


async def get(url: str) -> str:
    async with httpx2.AsyncClient(trust_env=False, timeout=10) as client:
        return (await client.get(url)).text


async def is_gone(url: str, answer: str) -> bool:
    """Whether the program no longer answers there. Somebody else may: the address of a container that ended leads
    where the machine's routes lead."""
    try:
        return await get(url) != answer
    except httpx2.TransportError:
        return True


CaseMaker = Callable[[Path, Runtime], AsyncIterator[EngineCase]]


async def fake_case(home: Path, runtime: Runtime) -> AsyncIterator[EngineCase]:
    machine, settings = FakeMachine(), EngineSettings(home, "test")

    async def kill(sandbox: Sandbox) -> None:
        assert isinstance(sandbox, FakeSandbox)
        await sandbox.kill()

    def remains(sandbox: Sandbox) -> list[Any]:
        return [agent for agent in machine.agents.values() if agent.id == sandbox.id]

    engine = FakeEngine(settings, machine)
    yield EngineCase(engine, runtime, home, lambda: FakeEngine(settings, machine), kill, remains)
    await engine.close()
    for agent in machine.agents.values():
        await agent.end_all()


async def process_case(home: Path, runtime: Runtime) -> AsyncIterator[EngineCase]:
    settings = EngineSettings(home, f"test-{secrets.token_hex(6)}", dict(os.environ))

    async def kill(sandbox: Sandbox) -> None:
        own = psutil.Process()
        agents = [process for process in marked(sandbox.id) if process.ppid() == own.pid]
        assert agents
        for agent in agents:
            agent.kill()

    engine = ProcessEngine(settings)
    yield EngineCase(engine, runtime, home, lambda: ProcessEngine(settings), kill, lambda sandbox: marked(sandbox.id))
    await engine.close()
    assert marked(settings.install_id) == []


async def docker_case(home: Path, runtime: Runtime) -> AsyncIterator[EngineCase]:
    settings = EngineSettings(home, f"test-{secrets.token_hex(6)}", dict(os.environ))
    client = docker.from_env()
    killed: set[int] = set()
    ours: dict[str, str | list[str] | bool] = {"label": f"dev.apimarket.install={settings.install_id}"}

    async def kill(sandbox: Sandbox) -> None:
        async with asyncio.timeout(PATIENCE_S):
            # 0 while the container is being started again; and no process is killed twice.
            while (pid := client.containers.get(sandbox.id).attrs["State"]["Pid"]) in {0, *killed}:
                await asyncio.sleep(0.05)
        killed.add(pid)
        os.kill(pid, signal.SIGKILL)

    def remains(sandbox: Sandbox) -> list[Any]:
        return client.containers.list(all=True, filters={"id": sandbox.id})

    engine = DockerEngine(settings)
    yield EngineCase(engine, runtime, home, lambda: DockerEngine(settings), kill, remains)
    await engine.close()
    left = client.containers.list(all=True, filters=ours)
    for container in left:
        container.remove(force=True)
    networks = client.networks.list(filters=ours)
    for network in networks:
        network.remove()
    client.close()
