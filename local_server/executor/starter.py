"""Brings one tree to service: lays it out, finds its box, starts it there, and swaps the traffic over."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from local_server.domain.deployments import Failure, Generation, Outcome, State
from local_server.domain.errors import ApimarketError
from local_server.domain.manifest import Manifest
from local_server.domain.registry import Api
from local_server.domain.trees import Tree
from local_server.executor.box import Box, StartFailed
from local_server.executor.boxes import Boxes, same_runtime
from local_server.executor.failures import failure_of
from local_server.executor.launch import Launch, prepare, unmet
from local_server.executor.live import Line, Live
from local_server.executor.logs import LogBook
from local_server.executor.record import Record
from local_server.executor.replicas import Replicas
from local_server.executor.snapshot import lay_out, remove_older
from local_server.executor.workshop import Workshop

KEPT_TREES = 4

logger = logging.getLogger("apimarket.executor")

Pending = Callable[[], Failure | None]
"""What is to be told beside whatever serves: why the newest save does not."""


class Starter:
    """Starts the generations of one API, one at a time."""

    def __init__(
        self,
        api: Api,
        shop: Workshop,
        record: Record,
        line: Line,
        boxes: Boxes,
        replicas: Replicas,
        log: LogBook,
        pending: Pending,
    ) -> None:
        self._api = api
        self._shop = shop
        self._record = record
        self._line = line
        self._boxes = boxes
        self._replicas = replicas
        self._log = log
        self._pending = pending
        self._trees = shop.trees(api.id, record.row.version)
        self._event_loop = asyncio.get_running_loop()
        self._entry: str | None = None
        self.installing = False
        """The attempt under way waits for dependencies or a container, which may take minutes."""

    async def bring_up(
        self, tree: Tree, manifest: Manifest, started: float, timings: dict[str, float], where: Box | None = None
    ) -> Failure | None:
        """Returns None once the tree serves, else why it does not; then what served before serves on. Cancelling
        ends it. `started` is when the look began (time.perf_counter), `timings` what it took so far. While `where`
        lives it is started there, whatever else it asks for."""
        launching: Launch | None = None
        try:
            launching = await self._new_launch(tree, manifest, timings)
            # Before anything is installed for it, which may take minutes.
            await self._shop.secrets.values(self._api, manifest.run.secrets)
            if self._line.live is None:
                self._record.change(State.STARTING, self._record.failure)
                self._line.route()
            await self._lay_out(launching)
            box = where if where and where.alive else None
            if box is None:
                key = await self._boxes.key(launching.directory, manifest)
                box = self._boxes.first(key, manifest.run.replicas)
            if box is None:
                launching, box = await self._change_box(launching, key, started)
                started = launching.started or started
            await self._serve(launching, box, started)
        except asyncio.CancelledError:
            self._finish(launching, Outcome.SUPERSEDED)
            raise
        except StartFailed as error:
            return self._failed(launching, error.failure)
        except Exception as error:
            return self._failed(launching, failure_of(error))
        return None

    async def _change_box(self, launching: Launch, key: str, started: float) -> tuple[Launch, Box]:
        """Other dependencies or limits. They take a while, so meanwhile the code runs on the old ones if it can."""
        opening = asyncio.ensure_future(self._boxes.open(key, launching.directory, launching.manifest))
        self.installing = True
        asked = time.perf_counter()
        try:
            live = self._line.live
            if live is not None and live.box.alive and same_runtime(live.box.key, key):
                with suppress(StartFailed, ApimarketError):
                    await self._serve(launching, live.box, started)
            elif live is None:
                self._record.change(State.BUILDING, self._record.failure)
                self._line.route()
            box = await opening
            launching.timings["prepare"] = _since(asked)
        finally:
            self.installing = False
            opening.cancel()  # the waiting, not the work: the next save most likely wants the same box
            await asyncio.wait({opening})
        if launching.tried:
            self._finish(launching, Outcome.SUPERSEDED)
            launching = await self._new_launch(launching.tree, launching.manifest, {})
            launching.started = time.perf_counter()
            await self._lay_out(launching)
        if self._record.state is State.BUILDING:
            self._record.change(State.STARTING, self._record.failure)
        return launching, box

    async def _serve(self, launching: Launch, box: Box, started: float) -> None:
        launching.tried = True
        await prepare(self._shop, self._api, launching, self.progress)
        replicas = await self._replicas.start(launching, box, all_of_them=self._line.live is not None)
        swapping = time.perf_counter()
        # From here to the end nothing awaits: a generation that is ready comes to serve whole, or is cancelled whole.
        generation = replace(launching.generation, outcome=Outcome.SERVING, deps_key=box.sandbox.layer_key)
        live = self._line.swap(generation, launching, replicas, self._pending())
        self._replicas.attend()
        launching.served = True
        self._entry = launching.entry
        launching.timings["swap"] = _since(swapping)
        launching.timings["total"] = launching.timings.get("detect", 0.0) + _since(started)
        live.generation = replace(generation, timings_ms=launching.phases())
        self._record.serve(live.generation)
        self._tell_success(live, unmet(launching.manifest, self._shop.engine.isolated))
        oldest = min(self._line.in_use(), live.number - KEPT_TREES)
        self._line.keep(asyncio.to_thread(remove_older, self._trees, oldest))

    async def _new_launch(self, tree: Tree, manifest: Manifest, timings: dict[str, float]) -> Launch:
        number = await self._record.number()
        now = self._shop.system.now()
        generation = Generation(self._api.id, number, tree.digest, "", Outcome.STARTING, now)
        self._record.begin(generation, tree)
        directory = self._trees / f"{number}-{tree.digest[:12]}"
        return Launch(generation, tree, manifest, directory, dict(timings), entry=self._entry)

    async def _lay_out(self, launching: Launch) -> None:
        began = time.perf_counter()
        try:
            await asyncio.to_thread(lay_out, launching.tree, self._shop.blobs, launching.directory)
        except FileNotFoundError:
            # A blob of an older tree is gone. The directory itself is always there to be read again.
            raise StartFailed(Failure("snapshot", "A file of this generation is no longer kept")) from None
        launching.timings["snapshot"] = launching.timings.get("snapshot", 0.0) + _since(began)

    # -- Outcomes ------------------------------------------------------------------------------------------------

    def _failed(self, launching: Launch | None, failure: Failure) -> Failure:
        self._finish(launching, Outcome.FAILED, failure)
        live = self._line.live
        serving = f" · g{live.number} still serving" if live else ""
        number = launching.generation.number if launching else 0
        self._log.add(number, "apimarket", f"✗ {failure.headline}{serving}")
        return failure

    def _finish(self, launching: Launch | None, outcome: Outcome, failure: Failure | None = None) -> None:
        if launching is not None and not launching.served:
            timings = launching.phases()
            self._record.finish(replace(launching.generation, outcome=outcome, failure=failure, timings_ms=timings))

    def _tell_success(self, live: Live, remarks: list[str]) -> None:
        timings = live.generation.timings_ms
        phases = " · ".join(f"{name} {ms:.0f}" for name, ms in timings.items() if name != "total")
        self._log.add(live.number, "apimarket", f"⟳ g{live.number} {timings.get('total', 0.0):.0f} ms ({phases})")
        for remark in [*live.replicas[0].ready.advice, *remarks]:
            self._log.add(live.number, "apimarket", remark)

    def progress(self, line: str) -> None:
        """Long work says something, from whatever thread."""
        with suppress(RuntimeError):  # the loop is closed: the server ended before the work did
            self._event_loop.call_soon_threadsafe(self._record.say, line)


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
