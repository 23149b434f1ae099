"""One API on the fake engine, of one server after the other on the same data."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_server.domain.deployments import Generation, Outcome
from local_server.domain.executor_errors import EngineUnavailable
from local_server.domain.registry import Api
from local_server.domain.storage_errors import StorageFull
from local_server.executor.engine import EngineHealth, EngineSettings, Sandbox, SandboxSpec
from local_server.executor.secrets import Secrets
from local_server.executor.service import Executor, Status
from local_server.executor.watch import Watcher
from local_server.executor.workshop import Pace, Workshop
from local_server.gateway.asgi import Gateway
from local_server.gateway.hosts import SERVER
from local_server.registry.service import Registry
from local_server.storage.blobs import BlobStore
from local_server.storage.sqlite import SqliteStorage
from local_server.system import RealSystem
from tests.executor.fake_engine import FakeEngine, FakeMachine, FakeSandbox
from tests.storage.factories import ALICE

MANIFEST = '[api]\nname = "weather"\nruntime = "python"\n[run]\nentry = "main:app"\n'
PACE = Pace(
    drain_s=1, warm_s=0.3, start_s=5, scan_s=0.25, crash_backoff_s=(0.01, 0.02), crash_limit=3, engine_retry_s=0.05
)


class Engine(FakeEngine):
    """A fake engine that can be away, as a daemon that was stopped."""

    away = False

    async def health(self) -> EngineHealth:
        return EngineHealth(not self.away, "0", "away" if self.away else "in memory")

    async def start(self, spec: SandboxSpec) -> Sandbox:
        if self.away:
            raise EngineUnavailable("fake", "it is away")
        return await super().start(spec)


class Blobs(BlobStore):
    """Blobs on a disk that can be full."""

    full = False

    def put(self, content: bytes) -> tuple[str, int]:
        if self.full:
            raise StorageFull(str(self.root))
        return super().put(content)


@dataclass
class World:
    """One API of one server, and the server's next lives on the same data."""

    home: Path
    project: Path
    machine: FakeMachine = field(default_factory=FakeMachine)
    hosts: bool = True
    trouble: list[Any] = field(default_factory=list)
    """What the event loop was told of that nobody caught."""

    async def open(self) -> None:
        self.stack = contextlib.AsyncExitStack()
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: self.trouble.append(context))
        system = RealSystem()
        self.storage = await SqliteStorage.open(self.home / "registry.db", lambda event: None)
        self.stack.push_async_callback(self.storage.close)
        if not await self.storage.read(lambda tx: tx.accounts.all()):
            await self.storage.write(lambda tx: tx.accounts.add(ALICE))
        self.registry = Registry(self.storage, system, self.home, ALICE)
        self.blobs = Blobs(self.home / "blobs")
        self.secrets = Secrets(self.storage, system, b"k" * 32)
        await self.secrets.open()
        self.watcher = Watcher(lambda api_id: self.executor.changed(api_id))
        self.stack.push_async_callback(self.watcher.close)
        self.engine = Engine(EngineSettings(self.home, self.storage.install_id), self.machine)
        self.gateway = Gateway(lambda execution: None, system)
        shop = Workshop(
            self.engine,
            self.gateway.routing,
            self.storage,
            self.blobs,
            self.registry,
            self.secrets,
            system,
            self.home,
            lambda event: None,
            self.watcher.watch,
            PACE,
            self.hosts,
        )
        self.executor = Executor(shop)
        watching = asyncio.create_task(self.executor.watch_engine())
        self.stack.callback(watching.cancel)
        await self.executor.open()

    async def close(self) -> None:
        await self.executor.close()
        await self.gateway.close()
        await self.stack.aclose()
        assert not self.trouble

    async def power_off(self) -> None:
        """Nothing that runs in a sandbox outlives this."""
        for agent in self.machine.agents.values():
            await agent.end_all()
        self.machine.agents.clear()

    async def register(self) -> Api:
        self.api = await self.registry.register(self.project)
        await self.executor.deploy(self.api)
        return self.api

    # -- acts of a user ----------------------------------------------------------------------------------------------

    def save(self, answer: str, **files: str) -> None:
        """Write the answer and, under names with `_` for `-`, the files that command the fake agent."""
        for name, text in files.items():
            (self.project / name.replace("_", "-")).write_text(text)
        (self.project / "answer.txt").write_text(answer)

    def remove(self, name: str) -> None:
        (self.project / name).unlink()

    # -- questions ---------------------------------------------------------------------------------------------------

    @property
    def status(self) -> Status:
        return self.executor.status(self.api.id)

    @property
    def error(self) -> str:
        return self.status.failure.message if self.status.failure else ""

    async def answer(self) -> str:
        """What the URL without a pin leads to says; empty when nothing is there."""
        return await self.answer_at("")

    async def answer_at(self, pin: str, caller: bytes = b"") -> str:
        """What a pin leads to says: `1.0.0`, `latest`; empty: what the URL without one does."""
        name = f"/{self.api.full_name}" + (f"@{pin}" if pin else "") + "/"
        entry, _ = self.gateway.routing.find(SERVER, name.encode())
        entry = entry.of(caller) if entry is not None else None
        if entry is None or entry.lane is None:
            return ""
        try:
            reader, writer = await asyncio.open_connection(*entry.lane.address)
        except OSError:
            return ""
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            return (await reader.readexactly(length)).decode()
        except (OSError, EOFError):
            return ""
        finally:
            writer.close()

    async def generations(self) -> list[Generation]:
        return list(await self.executor.generations(self.api))

    async def outcomes(self) -> list[Outcome]:
        """Of the generations, newest first."""
        return [generation.outcome for generation in await self.generations()]

    def log(self) -> str:
        return "\n".join(line.text for line in self.executor.log(self.api).tail(1000))

    @property
    def sandbox(self) -> FakeSandbox:
        return self.engine.sandboxes[-1]

    async def crash(self) -> int:
        """End the program that serves now; returns its generation."""
        number = await until(lambda: self.status.serving)
        await self.sandbox.agent.crash(number)
        await until(lambda: self.status.serving != number)
        return int(number)

    async def until_answer(self, text: str) -> None:
        async with asyncio.timeout(30):
            while await self.answer() != text:
                await asyncio.sleep(0.005)


async def until(question: Callable[[], Any], patience_s: float = 30) -> Any:
    async with asyncio.timeout(patience_s):
        while not (answer := question()):
            await asyncio.sleep(0.005)
    return answer
