"""`window.lua` on a Redis, through the one client library; no other file knows it.

What is said of a failure never repeats what the server or the library said: both may quote what was sent, and with it
a password.
"""

from __future__ import annotations

from hashlib import sha1
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local_server.gateway.shared_limits import Reason

SOURCE = Path(__file__).with_name("window.lua").read_text()
_REFUSALS: dict[type[Exception], str] = {
    AuthenticationError: "refuses the user or the password",
    BusyLoadingError: "is still loading its data",
    NoPermissionError: "does not permit the user what is needed (EVAL, EVALSHA, and the keys)",
    OutOfMemoryError: "has no memory left",
    ReadOnlyError: "is a replica, which cannot be written to",
    ResponseError: "refuses the script",
}
"""By the class of the error, the more particular first."""

Answer = tuple[int, int, int]
"""Of the script: admitted, remaining, reset_s."""


class Window(NamedTuple):
    key: str
    requests: int
    window_s: int


class Script:
    """On the Redis that `url` names; connects at the first use."""

    def __init__(self, url: str, source: str = SOURCE) -> None:
        self.place = place_of(url)
        self._source = source
        self._digest = sha1(source.encode(), usedforsecurity=False).hexdigest()
        # A call that fails is limited elsewhere: trying again would only keep it waiting.
        self._client = Redis.from_url(url, retry=Retry(NoBackoff(), 0))

    async def run(self, windows: Sequence[Window]) -> list[Answer | Exception]:
        """One call against each window, in this order, in one round trip; what it answers, or how it refuses. Raises
        what the client raises when there is no answer at all."""
        answers = await self._send("EVALSHA", self._digest, windows)
        unknown = [place for place, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:  # it was restarted, or is new: the text makes the digest known
            again = await self._send("EVAL", self._source, [windows[place] for place in unknown])
            for place, answer in zip(unknown, again, strict=True):
                answers[place] = answer
        return answers

    async def close(self) -> None:
        await self._client.aclose()

    async def _send(self, command: str, script: str, windows: Sequence[Window]) -> list[Answer | Exception]:
        async with self._client.pipeline(transaction=False) as pipeline:
            for window in windows:
                pipeline.execute_command(command, script, 1, *window)
            return cast("list[Answer | Exception]", await pipeline.execute(raise_on_error=False))


def reason_of(error: Exception) -> Reason:
    """By what kind of failure a call is counted as limited alone."""
    if isinstance(error, (TimeoutError, RedisTimeoutError)):
        return "timeout"
    return "refused" if _refusal(error) else "unreachable"


def words_for(error: Exception) -> str:
    """What is wrong, to follow the name of the server."""
    if refusal := _refusal(error):
        return refusal
    return "does not answer in time" if reason_of(error) == "timeout" else "cannot be reached"


def _refusal(error: Exception) -> str:
    """How the server refused; empty where it did not. What it refuses at the begin of a connection, the client tells as
    the cause of a connection that failed."""
    told = (error, error.__cause__ or error.__context__)
    return next((words for kind, words in _REFUSALS.items() if any(isinstance(each, kind) for each in told)), "")


def place_of(url: str) -> str:
    """Where a Redis is: its URL without user, password and options."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return parts.path
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or "localhost"
    return f"{host}:{parts.port or 6379}{parts.path.rstrip('/')}"
