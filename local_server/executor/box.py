"""One sandbox in use: sends generations into it and turns what its agent says into answers.

A `Box` is the executor's side of a `Sandbox`. It owns the only reader of the agent's messages.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_server.domain.deployments import Failure
from local_server.domain.errors import ApimarketError
from local_server.domain.events import LogStream
from local_server.domain.executor_errors import SandboxFailed
from local_server.executor.engine import Message, Sandbox, SandboxExit
from local_server.executor.logs import LogBook

RETRY_HINT = "It is tried again by itself."
HELLO_S = 30.0
"""An agent says hello within tens of milliseconds; this is for a machine that is swapping."""


OUT_OF_MEMORY = Failure(
    "oom", "Out of memory: the program used more than memory_mb allows", hint="Raise [run] memory_mb in apimarket.toml."
)
RESTARTED = Failure("exit", "Its container was restarted from outside")


class StartFailed(Exception):
    """A generation did not become ready; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.headline)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Ready:
    """A generation accepts connections."""

    port: int
    kind: str
    """asgi, wsgi, function, fetch, listener, command"""
    import_ms: float
    ready_ms: float
    advice: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Program:
    """What to start: exactly one of `entry`, `command` and `built`."""

    directory: Path
    """The laid-out tree, on the host."""
    entry: str | None
    command: tuple[str, ...] | None
    built: Path | None = None
    """A compiled program, on the host."""
    env: Mapping[str, str] = field(default_factory=dict)
    start_timeout_s: float = 30.0


@dataclass(slots=True)
class _Attempt:
    answer: asyncio.Future[Ready]
    port: int
    message: Message = field(default_factory=dict)
    """What started it."""
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class Box:
    """`lost` is called with the number of a ready generation that ended by itself, or with None when the whole
    sandbox did; `failure` then says why."""

    def __init__(self, sandbox: Sandbox, key: str, log: LogBook, lost: "Callable[[Box, int | None], None]") -> None:
        self.sandbox = sandbox
        self.key = key
        """The layer and the limits it was made with: a save that asks for others needs another box."""
        self._log = log
        self._lost = lost
        self._attempts: dict[int, _Attempt] = {}
        self._hello: asyncio.Future[Mapping[int, int]] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read(), name=f"box-{sandbox.id[:12]}")
        self._tasks: set[asyncio.Task[None]] = set()
        self.failure: Failure | None = None
        self.runtime = ""
        self.label = 0
        """What its lines in the log are marked with: which replica it is, where there are several."""

    @property
    def replica(self) -> int:
        return self.sandbox.replica

    @property
    def alive(self) -> bool:
        return not self._reader.done()

    @property
    def busy(self) -> bool:
        """Whether a generation is starting or ready in it."""
        return bool(self._attempts)

    def has(self, number: int) -> bool:
        """Whether that generation is starting or ready in it."""
        return number in self._attempts

    async def generations(self) -> Mapping[int, int]:
        """Number -> port of the generations that were ready when the agent said hello. Raises SandboxFailed."""
        try:
            async with asyncio.timeout(HELLO_S):
                return await asyncio.shield(self._hello)
        except TimeoutError as error:
            raise SandboxFailed(
                f"The agent said nothing within {HELLO_S:g} s", hint="Look at: apimarket logs"
            ) from error

    def adopt(self, number: int, port: int) -> None:
        """Take over a generation that an earlier server started."""
        attempt = _Attempt(asyncio.get_running_loop().create_future(), 0)
        attempt.answer.set_result(Ready(port, "", 0.0, 0.0))
        self._attempts[number] = attempt

    async def start(self, number: int, program: Program) -> Ready:
        """Start a generation and wait until it is ready. Cancelling ends it. Raises StartFailed, SandboxFailed."""
        port = self._lease_port()
        message = self._start_message(number, port, program)
        attempt = _Attempt(asyncio.get_running_loop().create_future(), port, message)
        self._attempts[number] = attempt
        try:
            await self.sandbox.send(message)
            # The agent keeps the time itself; this is for an agent that has died of it.
            async with asyncio.timeout(program.start_timeout_s + 5):
                return await asyncio.shield(attempt.answer)
        except TimeoutError as error:
            await self.stop(number)
            raise StartFailed(Failure("timeout", "The agent did not answer in time")) from error
        except asyncio.CancelledError:
            self.end(number)
            raise
        except SandboxFailed as error:
            self._forget(number)
            if self.alive:  # it runs, and only cannot be told anything now
                raise StartFailed(Failure("engine", error.detail, hint=RETRY_HINT)) from error
            raise

    def _lease_port(self) -> int:
        try:
            return self.sandbox.lease_port()
        except SandboxFailed as error:  # older generations still drain; they end by themselves
            raise StartFailed(Failure("engine", error.detail, hint=RETRY_HINT)) from error

    def _start_message(self, number: int, port: int, program: Program) -> Message:
        command = [self.sandbox.inside(program.built)] if program.built else program.command
        return {
            "t": "start",
            "gen": number,
            "dir": self.sandbox.inside(program.directory),
            "host": self.sandbox.address(port)[0] if port == 0 else "0.0.0.0",  # noqa: S104 - inside the container
            "port": port,
            "entry": program.entry,
            "command": list(command) if command else None,
            "env": dict(program.env),
            "timeout_s": program.start_timeout_s,
        }

    def end(self, number: int) -> None:
        """End a generation, without waiting for it."""
        self._beside(self.stop(number))

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=f"beside-{self.sandbox.id[:12]}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self, number: int, grace_s: float = 5.0) -> None:
        """End a generation; returns when it is gone. Unknown ones are gone already."""
        attempt = self._attempts.get(number)
        if attempt is None:
            return
        with suppress(SandboxFailed, TimeoutError):
            await self.sandbox.send({"t": "stop", "gen": number, "grace_s": grace_s})
            async with asyncio.timeout(grace_s + 5):
                await attempt.gone.wait()
        if self._attempts.get(number) is attempt:  # else it has been started again meanwhile
            self._forget(number)

    async def gone(self, number: int) -> None:
        """Wait until a generation that is being ended is gone."""
        if (attempt := self._attempts.get(number)) is not None:
            await attempt.gone.wait()

    async def close(self, grace_s: float = 10.0) -> None:
        """End the sandbox and all that runs in it."""
        await self.sandbox.stop(grace_s)
        with suppress(asyncio.CancelledError):
            await self._reader

    async def detach(self) -> None:
        """Let go; under Docker everything in it runs on."""
        self._reader.cancel()
        with suppress(asyncio.CancelledError):
            await self._reader
        await self.sandbox.detach()

    # -- What the agent says -------------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            async for message in self.sandbox.messages():
                self._take(message)
        except ApimarketError as error:
            self._end(Failure("sandbox", error.detail, hint=error.hint))
        else:
            self._end(_why(self.sandbox.exit))

    def _take(self, message: Message) -> None:
        number = message.get("gen", 0)
        match message.get("t"):
            case "log":
                stream: LogStream = "err" if message.get("stream") == "err" else "out"
                self._log.add(number, stream, str(message.get("line", "")), self.label)
            case "hello":
                self._greeted(message)
            case "ready":
                self._settle(number, _ready(message))
            case "failed":
                self._settle(number, _failure(message, self._log.conceal))
                self._forget(number)
            case "stopped":
                self._forget(number)
            case "exited":
                if self._forget(number):
                    self.failure = _exited(message)
                    self._lost(self, number)

    def _greeted(self, message: Message) -> None:
        ready = {int(entry["gen"]): int(entry["port"]) for entry in message.get("gens", ())}
        self.runtime = str(message.get("runtime", ""))
        if not self._hello.done():
            self._hello.set_result(ready)
            return
        # The engine restarted the sandbox by itself, or the channel to it was away for a while.
        for number, attempt in list(self._attempts.items()):
            if number in ready:
                self._settle(number, Ready(ready[number], "", 0.0, 0.0))
            elif not attempt.answer.done():
                self._beside(self._start_again(number, attempt))
            else:
                self.failure = RESTARTED
                self._forget(number)
                self._lost(self, number)
        for number in ready.keys() - self._attempts.keys():
            self.adopt(number, ready[number])  # it was told to stop, and did not hear it
            self.end(number)

    async def _start_again(self, number: int, attempt: _Attempt) -> None:
        """An agent that is starting it already takes no notice."""
        try:
            await self.sandbox.send(attempt.message)
        except SandboxFailed as error:
            self._settle(number, Failure("engine", error.detail, hint=RETRY_HINT))
            self._forget(number)

    def _settle(self, number: int, answer: Ready | Failure) -> None:
        attempt = self._attempts.get(number)
        if attempt is None or attempt.answer.done():
            return
        if isinstance(answer, Ready):
            attempt.answer.set_result(answer)
        else:
            attempt.answer.set_exception(StartFailed(answer))
            attempt.answer.exception()  # a start that nobody waits for any more is not a forgotten error

    def _forget(self, number: int) -> bool:
        attempt = self._attempts.pop(number, None)
        if attempt is None:
            return False
        if attempt.port:
            self.sandbox.release_port(attempt.port)
        if not attempt.answer.done():
            attempt.answer.set_exception(StartFailed(Failure("superseded", "It was stopped before it was ready")))
            attempt.answer.exception()
        attempt.gone.set()
        return True

    def _end(self, failure: Failure) -> None:
        self.failure = failure
        for number in list(self._attempts):
            self._settle(number, failure)
            self._forget(number)
        if not self._hello.done():
            self._hello.set_exception(SandboxFailed(failure.message, hint=failure.hint))
            self._hello.exception()
        self._lost(self, None)


def _ready(message: Message) -> Ready:
    spent = message.get("ms", {})
    return Ready(
        port=int(message["port"]),
        kind=str(message.get("kind", "")),
        import_ms=float(spent.get("import", 0.0)),
        ready_ms=float(spent.get("ready", 0.0)),
        advice=tuple(str(line) for line in message.get("advice", ())),
    )


def _failure(message: Message, conceal: Callable[[str], str]) -> Failure:
    if message.get("out_of_memory"):
        return OUT_OF_MEMORY
    return Failure(
        kind=str(message.get("kind", "exit")),
        message=conceal(str(message.get("message", ""))),
        file=message.get("file"),
        line=message.get("line"),
        traceback=conceal(str(message.get("traceback", ""))),
        hint=str(message.get("hint", "")),
    )


def _exited(message: Message) -> Failure:
    if message.get("out_of_memory"):
        return OUT_OF_MEMORY
    signal, code = message.get("signal"), message.get("code")
    how = f"was ended by signal {signal}" if signal else f"ended with exit code {code}"
    return Failure("exit", f"The program {how}", hint="Its last words are in: apimarket logs NAME")


def _why(end: SandboxExit | None) -> Failure:
    if end is None:
        return Failure("sandbox", "The sandbox ended")
    if end.out_of_memory:
        return OUT_OF_MEMORY
    code = "" if end.code is None else f" with exit code {end.code}"
    return Failure("sandbox", f"The sandbox ended{code}{': ' if end.detail else ''}{end.detail}")
