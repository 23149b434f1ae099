"""Compiling Go through the agent that is also a builder: one that stays, so that a build starts at once."""

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any

from local_server.domain.executor_errors import BuildFailed, EngineUnavailable, SandboxFailed
from local_server.executor.engine import Message, Progress, Sandbox

_CANCEL_S = 5.0


class Builder:
    """Several builds at a time over one agent. Ends with the agent; whoever wants more makes another."""

    def __init__(self, sandbox: Sandbox, engine: str) -> None:
        self.sandbox = sandbox
        self._engine = engine
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Message]] = {}
        self._listeners: dict[int, Progress] = {}
        self._ended = False
        self._greeted = False
        self._task = asyncio.create_task(self._listen(), name="go-builder")

    @property
    def ended(self) -> bool:
        return self._ended

    async def build(self, request: Mapping[str, Any], progress: Progress) -> None:
        """`request` has the fields of a `build` message, but `t` and `id`. Raises BuildFailed, EngineUnavailable.
        Cancelling cancels the build, and waits until its processes are gone."""
        number = next(self._ids)
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._answers[number], self._listeners[number] = answer, progress
        try:
            await self.sandbox.send({"t": "build", "id": number, **request})
            reply = await asyncio.shield(answer)
        except SandboxFailed as error:
            raise EngineUnavailable(self._engine, f"the Go builder ended ({error.detail})") from error
        except asyncio.CancelledError:
            await self._cancel(number, answer)
            raise
        finally:
            del self._answers[number], self._listeners[number]
        _judge(reply, self._engine)

    async def close(self) -> None:
        """End the agent and every build of it."""
        await self.sandbox.stop(grace_s=1.0)
        await asyncio.wait({self._task})

    async def _cancel(self, number: int, answer: "asyncio.Future[Message]") -> None:
        try:
            await self.sandbox.send({"t": "cancel-build", "id": number})
        except SandboxFailed:
            return  # the build ended with the agent
        await asyncio.wait({answer}, timeout=_CANCEL_S)

    async def _listen(self) -> None:
        async for message in self.sandbox.messages():
            kind = message["t"]
            if kind in {"built", "build-failed"}:
                answer = self._answers.get(int(message["id"]))
                if answer is not None and not answer.done():
                    answer.set_result(message)
            elif kind == "hello":
                if self._greeted:
                    self._forget_all("the builder was started again")
                self._greeted = True
            elif kind == "log" and (progress := self._listeners.get(int(message.get("build", 0)))):
                progress(str(message.get("line", "")))
        self._ended = True
        self._forget_all(self.sandbox.exit.detail if self.sandbox.exit else "")

    def _forget_all(self, reason: str) -> None:
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result({"t": "gone", "reason": reason})


def _judge(reply: Message, engine: str) -> None:
    if reply["t"] == "gone":
        raise EngineUnavailable(engine, f"the Go builder ended during the build ({reply['reason']})")
    if reply["t"] == "build-failed":
        raise BuildFailed(
            str(reply.get("message") or "the program does not compile"),
            reply.get("file"),
            reply.get("line"),
            str(reply.get("log") or ""),
        )
