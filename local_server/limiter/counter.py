"""Asks a Redis whether calls are admitted: many in one round trip, and none for longer than its caller can wait.

While one round trip is under way, the calls that come up wait for the next and go together: the more calls there are,
the less each costs, and one connection does for all. A Redis that fails several times in a row is left alone, and
looked at each second until it answers again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from local_server.domain.manifest import RateLimit
from local_server.gateway.limits import Verdict
from local_server.gateway.shared_limits import CounterFailed
from local_server.limiter.script import Script, Window, reason_of, words_for

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from local_server.gateway.limits import Subject

logger = logging.getLogger("apimarket.limits")

T = TypeVar("T")

MOST_AT_ONCE = 256
"""Calls in one round trip."""
MOST_FAILURES = 5
"""Round trips in a row, before it is left alone: each keeps its calls waiting, but whoever is left alone too soon lets
too many in."""
LOOK_AGAIN_S = 1.0
CONNECT_S = 5.0
"""To connect, and to be looked at: no call waits for that."""
_PROBE: tuple[Subject, RateLimit] = (("", "probe"), RateLimit(1_000_000, 1))


class _Asked(NamedTuple):
    limit: RateLimit
    window: Window
    until_s: float
    """The end of its caller's patience, on the event loop's clock."""
    verdict: asyncio.Future[Verdict]


class RedisCounter:
    """Use on one event loop. `run` has to run, and `close` to be called at the end.

    `prefix` is before the name of every key: what shares it, counts together."""

    def __init__(self, script: Script, prefix: str, deadline_s: float) -> None:
        self._script = script
        self._prefix = prefix
        self._deadline_s = deadline_s
        self._waiting: list[_Asked] = []
        self._round: asyncio.Task[None] | None = None
        self._failures = 0
        self._rests = asyncio.Event()
        self.trouble = ""

    @property
    def place(self) -> str:
        return self._script.place

    async def admit(self, subject: Subject, limit: RateLimit) -> Verdict:
        """See `Counter`. A call that its caller gives up may be counted all the same."""
        if self.trouble:
            raise CounterFailed("resting")
        loop = asyncio.get_running_loop()
        asked = _Asked(limit, self._window(subject, limit), loop.time() + self._deadline_s, loop.create_future())
        self._waiting.append(asked)
        if self._round is None:
            self._round = loop.create_task(self._ask_all(), name="shared-limits")
        return await asked.verdict

    async def open(self) -> None:
        """Connect, so that the first calls need not wait for that. Where it fails, `run` goes on trying."""
        if error := await self._look():
            self._leave_alone(error)

    async def run(self) -> None:
        """Look at a Redis that is left alone until it answers. Never returns."""
        while True:
            await self._rests.wait()
            if error := await self._look():
                self.trouble = words_for(error)
                await asyncio.sleep(LOOK_AGAIN_S)
            else:
                self._take_up()

    async def close(self) -> None:
        """May be called twice."""
        if self._round is not None:
            self._round.cancel()
            await asyncio.gather(self._round, return_exceptions=True)
        self._fail(self._waiting, CounterFailed("resting"))
        self._waiting = []
        await self._script.close()

    # -- Rounds -------------------------------------------------------------------------------------------------------

    async def _ask_all(self) -> None:
        """One round trip after another, as long as somebody waits."""
        try:
            while self._waiting:
                asked, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                await self._ask(asked)
        finally:
            self._round = None

    async def _ask(self, asked: Sequence[_Asked]) -> None:
        try:
            answers = await _in_time(self._script.run([each.window for each in asked]), asked[0].until_s)
        except Exception as error:
            self._failed(error)
            self._fail(asked, CounterFailed(reason_of(error)))
            return
        except asyncio.CancelledError:  # the server ends, and whoever waits still wants an answer
            self._fail(asked, CounterFailed("resting"))
            raise
        for each, answer in zip(asked, answers, strict=True):
            if isinstance(answer, Exception):
                self._fail([each], CounterFailed(reason_of(answer)))
            elif not each.verdict.done():
                admitted, remaining, reset_s = answer
                each.verdict.set_result(Verdict(each.limit, bool(admitted), remaining, reset_s))
        refusals = [answer for answer in answers if isinstance(answer, Exception)]
        if refusals:
            self._failed(refusals[0])
        else:
            self._failures = 0

    def _fail(self, asked: Sequence[_Asked], failure: CounterFailed) -> None:
        for each in asked:
            if not each.verdict.done():  # its caller may have gone
                each.verdict.set_exception(failure)

    def _window(self, subject: Subject, limit: RateLimit) -> Window:
        """A limit over another time is counted anew."""
        api, caller = subject
        return Window(f"{self._prefix}:limit:{api}:{caller}:{limit.window_s}", limit.requests, limit.window_s)

    # -- Whether it is well -------------------------------------------------------------------------------------------

    async def _look(self) -> Exception | None:
        """What is wrong with it: asked as a call would ask, since one that answers may still refuse the script."""
        try:
            until_s = asyncio.get_running_loop().time() + CONNECT_S
            (answer,) = await _in_time(self._script.run([self._window(*_PROBE)]), until_s)
        except Exception as error:
            return error
        return answer if isinstance(answer, Exception) else None

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        if self._failures >= MOST_FAILURES and not self.trouble:
            self._leave_alone(error)

    def _leave_alone(self, error: Exception) -> None:
        self.trouble = words_for(error)
        self._rests.set()
        logger.warning("Redis at %s %s: until it is back, this server counts limits alone", self.place, self.trouble)

    def _take_up(self) -> None:
        self._failures, self.trouble = 0, ""
        self._rests.clear()
        logger.info("Redis at %s answers: limits are counted together", self.place)


async def _in_time(work: Coroutine[Any, Any, T], until_s: float) -> T:
    """Raises TimeoutError when it is not done by then. Where it was this server that stood still, what has come
    meanwhile counts: `asyncio.timeout` would end the work before that is read."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    try:
        await asyncio.wait({task}, timeout=max(until_s - loop.time(), 0))
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
