"""The replicas of one API, or of one version of it: as many of the generation that serves as its manifest asks for,
each in a box of its own.

A save takes the traffic over once all of them are ready, as all of the old ones serve until then. Where nothing serves
the first one does at once, and the others join it. One that ends while others serve is started again here, at longer
and longer intervals; only when the last one ends the API has crashed (reload.py).
"""

import asyncio
import time
from dataclasses import dataclass, replace

from local_server.domain.deployments import Failure
from local_server.domain.errors import ApimarketError
from local_server.domain.registry import Api
from local_server.executor.box import Box, StartFailed
from local_server.executor.boxes import Boxes
from local_server.executor.failures import failure_of
from local_server.executor.launch import Launch, prepare, start
from local_server.executor.live import Line, Live, Replica, others
from local_server.executor.logs import LogBook
from local_server.executor.snapshot import lay_out
from local_server.executor.workshop import Pace, Workshop

LONGEST_PAUSE_S = 30.0


@dataclass(slots=True)
class Patience:
    """How long to wait before a replica is started again."""

    failures: int = 0
    ready_at: float | None = None

    def fell(self, pace: Pace, now: float) -> None:
        """It ended, or did not start. `now` is of any steady clock, in seconds."""
        if self.ready_at is not None and now - self.ready_at > pace.crash_window_s:
            self.failures = 0
        self.failures += 1
        self.ready_at = None

    def pause_s(self, pace: Pace) -> float:
        if not self.failures:
            return 0.0
        steps = pace.crash_backoff_s
        beyond = max(0, self.failures - len(steps))
        return min(LONGEST_PAUSE_S, steps[min(self.failures, len(steps)) - 1] * 2.0 ** min(beyond, 30))


class Replicas:
    def __init__(self, api: Api, shop: Workshop, line: Line, boxes: Boxes, log: LogBook) -> None:
        self._api = api
        self._shop = shop
        self._line = line
        self._boxes = boxes
        self._log = log
        self._of: Live | None = None
        self._patience: dict[int, Patience] = {}
        self._coming: dict[int, asyncio.Task[None]] = {}

    # -- Of a save ----------------------------------------------------------------------------------------------------

    async def start(self, launching: Launch, box: Box, *, all_of_them: bool) -> tuple[Replica, ...]:
        """Start what was prepared in `box`, and with `all_of_them` all other replicas beside it. Cancelling ends them.
        Raises StartFailed, and what Engine.start raises, when one of them does not become ready."""
        size = launching.manifest.run.replicas
        if size == 1 or not all_of_them:
            ready = await start(self._api, launching, box)
            return _lasting((Replica(box, ready),), launching)
        began = time.perf_counter()
        tasks = [asyncio.create_task(self._start_beside(launching, box, number)) for number in others(size, box)]
        try:
            first = Replica(box, await start(self._api, launching, box))
            waited_ms = (time.perf_counter() - began) * 1000
            replicas = _lasting((first, *await asyncio.gather(*tasks)), launching)
        except BaseException:
            await self._end_all(launching, [box], tasks)
            raise
        launching.timings["ready"] += (time.perf_counter() - began) * 1000 - waited_ms  # for the slowest of them
        return tuple(sorted(replicas, key=lambda each: each.box.replica))

    async def _end_all(self, launching: Launch, boxes: list[Box], tasks: "list[asyncio.Task[Replica]]") -> None:
        """One did not become ready: none of them serves."""
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        boxes += [task.result().box for task in tasks if not task.cancelled() and not task.exception()]
        for box in boxes:
            box.end(launching.generation.number)

    async def _start_beside(self, launching: Launch, first: Box, number: int) -> Replica:
        """Another one, in a box like the first."""
        box = await self._boxes.open(first.key, launching.directory, launching.manifest, number, first)
        await box.gone(launching.generation.number)
        return Replica(box, await start(self._api, replace(launching, timings={}), box))

    # -- Of what serves -----------------------------------------------------------------------------------------------

    def attend(self) -> None:
        """Something else serves, or a replica is missing: see to it that all of them come."""
        live = self._line.live
        if live is not self._of:
            self._give_up()
            self._of, self._patience = live, {}
            if live is not None:
                self._boxes.resize(live.size)
        for number in live.missing if live is not None else ():
            task = self._coming.get(number)
            if task is None or task.done():
                assert live is not None
                work = self._bring(live, number)
                self._coming[number] = asyncio.create_task(work, name=f"replica-{self._api.slug}-{number}")

    def lost(self, live: Live, box: Box) -> None:
        """One of them ended while others serve."""
        failure = box.failure or Failure("exit", "The program ended")
        self._patience.setdefault(box.replica, Patience()).fell(self._shop.pace, time.monotonic())
        self._tell(live, box.replica, f"✗ {failure.headline}")
        self.attend()

    async def close(self) -> None:
        """Bring no more of them."""
        tasks = list(self._coming.values())
        self._give_up()
        self._of = None
        if tasks:
            await asyncio.wait(tasks)

    def _give_up(self) -> None:
        for task in self._coming.values():
            task.cancel()
        self._coming = {}

    async def _bring(self, live: Live, number: int) -> None:
        patience = self._patience.setdefault(number, Patience())
        told: Failure | None = None
        while self._line.live is live:
            await asyncio.sleep(patience.pause_s(self._shop.pace))
            try:
                if await self._join(live, number):
                    patience.ready_at = time.monotonic()
                    self._tell(live, number, "⟳ ready")
                return
            except StartFailed as error:
                failure = error.failure
            except Exception as error:
                failure = failure_of(error)
            patience.fell(self._shop.pace, time.monotonic())
            if failure != told:
                self._tell(live, number, f"✗ {failure.headline}")
                told = failure

    async def _join(self, live: Live, number: int) -> bool:
        launching = live.launching
        if launching.program is None:  # an earlier server started the others
            await asyncio.to_thread(lay_out, launching.tree, self._shop.blobs, launching.directory)
            await prepare(self._shop, self._api, launching, lambda line: None)
        replica = await self._start_beside(launching, live.box, number)
        if self._line.live is not live:
            replica.box.end(live.number)
            return False
        try:
            self._line.join(live, *_lasting((replica,), launching))
        except ApimarketError:
            replica.box.end(live.number)
            raise
        return True

    def _tell(self, live: Live, number: int, what: str) -> None:
        words = f"{what} · {len(live.replicas)} of {live.size} serve"
        self._log.add(live.number, "apimarket", words, number)


def _lasting(replicas: tuple[Replica, ...], launching: Launch) -> tuple[Replica, ...]:
    """Raises StartFailed if one of them ended between its first answer and now."""
    for replica in replicas:
        if not replica.box.has(launching.generation.number):
            raise StartFailed(replica.box.failure or Failure("exit", "The program ended right after its start"))
    return replicas
