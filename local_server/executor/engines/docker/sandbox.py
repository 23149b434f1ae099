"""A container and the channel to its agent.

The channel is the container's attached standard streams. It is taken up again when the container was restarted by its
policy and when the daemon comes back; it ends when the container is gone for good.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

from local_server.domain.executor_errors import EngineUnavailable, SandboxFailed
from local_server.executor.engine import Message, SandboxExit, SandboxUsage
from local_server.executor.engines.docker.attach import Attached, attach
from local_server.executor.engines.docker.containers import (
    SIGKILL_CODE,
    ContainerState,
    inspect_container,
    never_restart,
    remove_container,
)
from local_server.executor.engines.docker.daemon import Daemon, Refused
from local_server.executor.engines.docker.identity import ContainerIdentity
from local_server.executor.engines.docker.links import CLOSED
from local_server.executor.engines.docker.usage import container_usage
from local_server.executor.engines.lines import Mailbox, log_message
from local_server.executor.engines.ports import PortPool

log = logging.getLogger(__name__)

DAEMON_PATIENCE_S = 300.0
"""How long a sandbox waits for a daemon that went away: it restarts its containers when it is back."""
_POLL_S = 0.1
_SETTLE_S = 0.5
"""A container that ended may be restarted by its policy in the next moment."""
_CRASHES, _CRASH_WINDOW_S = 3, 10.0
_OOM_WAIT_S, _OOM_FRESH_S = 0.3, 2.0


class Guard(Protocol):
    """Puts up what holds user code apart, and lasts as long as the container runs."""

    @property
    def must(self) -> bool:
        """Without it nothing may run."""

    async def close_off(self, container: str) -> str:
        """Returns why it is not up; empty: it is."""


class DockerSandbox:
    def __init__(
        self, daemon: Daemon, identity: ContainerIdentity, *, dial: bool, guard: "Guard | None" = None
    ) -> None:
        """`guard` is told of each start of the container, and nothing is started in it before that is done."""
        self.id = identity.id
        self.api_id = identity.api_id
        self.version = identity.version
        self.replica = identity.replica
        self.layer_key = identity.layer_key
        self._identity = identity
        self._daemon = daemon
        self._ports = PortPool(identity.ports)
        self._dial = dial
        self._guard = guard
        self._guarded: asyncio.Task[str] | None = None
        self._state: ContainerState | None = None
        self._channel: Attached | None = None
        self._mailbox = Mailbox()
        self._pump: asyncio.Task[None] | None = None
        self._exit: SandboxExit | None = None
        self.detached = False
        self._stopping = False
        self._ending = asyncio.Lock()
        self._crashes: deque[float] = deque(maxlen=_CRASHES)
        self._oom = asyncio.Event()
        self._oom_at = 0.0
        self.on_end: Callable[[DockerSandbox], None] = lambda sandbox: None
        """Called once, when the sandbox has ended or was detached."""

    # -- opening ---------------------------------------------------------------------------------------------------

    async def start_new(self) -> None:
        """Attach to the created container, then start it: nothing the agent says is lost."""
        self._channel = await attach(self._daemon, self.id)
        await self._daemon.call(lambda client: client.start(self.id))
        self._begin_guard()
        self._state = await self._inspect()
        self._listen()

    async def adopt(self, state: ContainerState) -> None:
        """Attach to a container that an earlier server left running, and have its agent introduce itself."""
        self._channel = await attach(self._daemon, self.id)
        self._state = state
        self._begin_guard()  # it may have been restarted while nobody looked
        self._listen()
        await self.send({"t": "hello"})

    def _listen(self) -> None:
        self._pump = asyncio.create_task(self._run(), name=f"sandbox-{self.id[:12]}")

    def _begin_guard(self) -> None:
        """The namespaces of a container that was started are new."""
        if self._guard is not None:
            self._guarded = asyncio.create_task(self._guard.close_off(self.id), name=f"guard-{self.id[:12]}")

    async def _wait_for_guard(self) -> None:
        """Raises SandboxFailed where user code may not run without it."""
        if self._guard is None or self._guarded is None:
            return
        open_why = await asyncio.shield(self._guarded)
        if not open_why:
            return
        words = f"{CLOSED} cannot be closed off from it: {open_why}"
        if self._guard.must:
            self._begin_guard()
            raise SandboxFailed(words, hint="Set `egress = false` in apimarket.toml, or see server.log.")
        log.warning("sandbox %s: %s", self.id[:12], words)
        self._guarded = None
        await self._mailbox.put(log_message("err", words))

    # -- the channel -----------------------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        """Raises SandboxFailed when the container has ended, or cannot be reached just now."""
        if self._exit is not None or self._channel is None:
            reason = self._exit.detail if self._exit else "its channel is being opened again"
            raise SandboxFailed(f"The container of {self._identity.name} cannot be told anything: {reason}")
        if message["t"] in ("start", "build"):
            await self._wait_for_guard()
        if message["t"] == "start":
            message = {**message, "host": "0.0.0.0"}  # noqa: S104 - the network of this one container
        try:
            await self._channel.send(message)
        except (OSError, RuntimeError) as error:
            raise SandboxFailed(f"The channel to the container of {self._identity.name} broke: {error}") from error

    def messages(self) -> AsyncIterator[Message]:
        return self._mailbox.messages()

    def note_out_of_memory(self) -> None:
        """The daemon reported that the kernel killed something in this container."""
        self._oom.set()
        self._oom_at = time.monotonic()

    async def _run(self) -> None:
        ended = SandboxExit(None, detail="the server let go of it")
        try:
            while self._channel is not None:
                async for message in self._channel.messages():
                    await self._pass_on(message)
                await self._channel.close()
                self._channel = None
                ended = await self._take_up_again() or ended
        except Exception as error:
            ended = SandboxExit(None, detail=f"the channel failed: {error}")
            log.exception("sandbox %s: the channel failed", self.id[:12])
        finally:
            if self._channel is not None:
                await self._channel.close()
                self._channel = None
            self._exit = ended
            self._mailbox.close()
            self.on_end(self)

    async def _pass_on(self, message: Message) -> None:
        if message["t"] == "hello":
            self._ports.take(int(gen["port"]) for gen in message.get("gens", ()))
        if message["t"] in {"exited", "failed"} and await self._was_out_of_memory(message):
            message = {**message, "out_of_memory": True}
            await self._mailbox.put(log_message("err", self._memory_words("a program")))
        await self._mailbox.put(message)

    async def _was_out_of_memory(self, message: Message) -> bool:
        """Whether the kernel ended this generation for its memory. The daemon's word of it may come a moment later."""
        killed = message.get("signal") in {9, "SIGKILL", "KILL"}
        if not killed and time.monotonic() - self._oom_at > _OOM_FRESH_S:
            return False
        try:
            async with asyncio.timeout(_OOM_WAIT_S):
                await self._oom.wait()
        except TimeoutError:
            return False
        self._oom.clear()
        return True

    def _memory_words(self, what: str) -> str:
        return f"{what} was ended: out of memory, the limit is {self._identity.memory_mb} MB"

    # -- when the channel breaks -----------------------------------------------------------------------------------

    async def _take_up_again(self) -> SandboxExit | None:
        """Attach again where the container lives on; how it ended where it does not."""
        broken_at = time.monotonic()
        self._daemon.forget()
        while True:
            try:
                state = await self._inspect()
                ended = await self._judge(state, broken_at)
            except EngineUnavailable as error:
                if time.monotonic() - broken_at > DAEMON_PATIENCE_S:
                    return SandboxExit(None, detail=error.detail)
            except Refused:
                pass  # between two states; the next look tells
            else:
                if ended is not None or self._channel is not None:
                    return ended
            await asyncio.sleep(_POLL_S)

    async def _judge(self, state: ContainerState | None, broken_at: float) -> SandboxExit | None:
        if state is None:
            return SandboxExit(None, detail="the container was removed")
        if state.running:
            return None if self._stopping else await self._reattach(state)
        if state.restarting or (not self._stopping and time.monotonic() - broken_at < _SETTLE_S):
            return None
        return await self._bury(state)

    async def _reattach(self, state: ContainerState) -> SandboxExit | None:
        if self._state is None or state.restarts != self._state.restarts:
            self._crashes.append(time.monotonic())
        if len(self._crashes) == _CRASHES and self._crashes[-1] - self._crashes[0] < _CRASH_WINDOW_S:
            await self._daemon.call(lambda client: remove_container(client, self.id))
            return SandboxExit(
                state.exit_code, detail=f"the container crashed {_CRASHES} times in {_CRASH_WINDOW_S:.0f} s"
            )
        channel = await attach(self._daemon, self.id)
        self._begin_guard()
        self._state = await self._inspect() or state  # its address may have changed
        self._channel = channel
        if self._oom.is_set():
            self._oom.clear()
            await self._mailbox.put(log_message("err", self._memory_words("the container")))
        # The agent's own hello may have been said before anybody listened; twice does no harm.
        try:
            await channel.send({"t": "hello"})
        except OSError:
            log.debug("sandbox %s ended while it was attached again", self.id[:12])
        return None

    async def _bury(self, state: ContainerState) -> SandboxExit:
        await self._daemon.call(lambda client: remove_container(client, self.id))
        out_of_memory = state.out_of_memory or (self._oom.is_set() and state.exit_code == SIGKILL_CODE)
        detail = self._memory_words("the container") if out_of_memory else state.detail
        return SandboxExit(state.exit_code, out_of_memory, detail or f"the container ended with {state.exit_code}")

    async def _inspect(self) -> ContainerState | None:
        return await self._daemon.call(lambda client: inspect_container(client, self.id))

    # -- ports, paths, figures -------------------------------------------------------------------------------------

    def inside(self, host_path: Path) -> str:
        return self._identity.inside(host_path)

    def lease_port(self) -> int:
        return self._ports.lease()

    def release_port(self, port: int) -> None:
        self._ports.release(port)

    def address(self, port: int) -> tuple[str, int]:
        state = self._state
        if state is None:
            raise SandboxFailed(f"The container of {self._identity.name} has no address yet")
        return (state.address, port) if self._dial else ("127.0.0.1", state.published[port])

    async def usage(self) -> SandboxUsage | None:
        return None if self._exit is not None else await container_usage(self._daemon, self.id)

    # -- ending ----------------------------------------------------------------------------------------------------

    @property
    def exit(self) -> SandboxExit | None:
        return self._exit

    async def stop(self, grace_s: float = 10.0) -> None:
        async with self._ending:
            if self._exit is None and self._pump is not None:
                self._stopping = True
                await self._ask_to_end(grace_s)
                await asyncio.wait({self._pump}, timeout=grace_s + 1)
            if self._exit is None:
                await self._daemon.call(lambda client: remove_container(client, self.id))
        # Nobody may be reading: a full mailbox must not keep a stopped sandbox alive.
        if self._pump is not None:
            await asyncio.wait({self._pump}, timeout=2)
        await self._let_go()

    async def _ask_to_end(self, grace_s: float) -> None:
        await self._daemon.call(lambda client: never_restart(client, self.id))
        try:
            await self.send({"t": "shutdown", "grace_s": grace_s})
        except SandboxFailed:
            return  # it ended by itself, or is about to be removed all the same

    async def detach(self) -> None:
        self.detached = self._exit is None
        await self._let_go()

    async def _let_go(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait({self._pump})
        if self._guarded is not None:  # to its end: what it has started is nobody else's to remove
            await asyncio.wait({self._guarded})
