"""Hot reload: one runner an API turns each save into a generation and moves the traffic over when it is ready.

The way of a save: look (read the directory, name it by its hash) -> lay out -> find the box -> start on its own port ->
swap -> let the old one drain. Broken code never takes the old generation down, the latest save wins, and a save
that changes nothing does nothing.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from local_server.domain.deployments import Deployment, DesiredState, Failure, Generation, Outcome, State
from local_server.domain.errors import ApimarketError, InvalidManifest
from local_server.domain.ids import ApiId, Digest
from local_server.domain.manifest import MANIFEST_NAME, Manifest
from local_server.domain.registry import Api
from local_server.domain.trees import Tree
from local_server.executor.box import Box, Ready, StartFailed
from local_server.executor.boxes import Boxes
from local_server.executor.crashes import Crashes
from local_server.executor.engine import Sandbox, SandboxUsage
from local_server.executor.failures import PASSING, failure_of
from local_server.executor.launch import Launch, launch
from local_server.executor.live import Line, Live
from local_server.executor.logs import LogBook
from local_server.executor.record import Record
from local_server.executor.snapshot import Snapshot, Source, lay_out, remove_older
from local_server.executor.workshop import Workshop
from local_server.storage.base import ReadTx

KEPT_TREES = 4
STOP_DRAIN_S = 5.0


class Runner:
    """Runs one API. Everything here happens on the event loop; `wake` asks it to look at the directory."""

    def __init__(self, api: Api, shop: Workshop, log: LogBook, row: Deployment) -> None:
        self.api = api
        self.log = log
        self.record = Record(api, shop, log, row)
        self._shop = shop
        self._boxes = Boxes(api, shop, log, self._lost, self._progress)
        self._line = Line(api, shop, self.record, self._boxes.close_idle)
        self._crashes = Crashes(shop.pace)
        self._source = Source(Path(api.directory), shop.blobs)
        self._target: Digest | None = None
        """The tree that the last look decided for; a look that finds it again has nothing to do."""
        self._undone: Digest | None = None
        """The tree that an undo turned away from: only another save brings the directory back into play."""
        self._manifest_read: str | None = None
        self._attempt: asyncio.Task[None] | None = None
        self._fallen: Live | None = None
        """What served until it crashed during an attempt; it comes back if the attempt fails."""
        self._wake = asyncio.Event()
        self._again = False
        self._event_loop = asyncio.get_running_loop()
        self._looking: asyncio.Task[None] | None = None

    @property
    def live(self) -> Live | None:
        return self._line.live

    # -- What others ask of it -----------------------------------------------------------------------------------

    def wake(self, *, again: bool = False) -> None:
        """Look at the directory now; `again`: start it anew even if nothing changed."""
        self._again = self._again or again
        self._wake.set()

    def run(self) -> None:
        """Begin, or go on, converging on what the directory holds."""
        if self._looking is None:
            if self.live is None:
                self.record.change(State.STARTING, desired=DesiredState.RUNNING)
            self._line.route()
            self._looking = asyncio.create_task(self._converge(), name=f"runner-{self.api.slug}")
        self.wake()

    def retry(self) -> None:
        """What kept it from running may have passed: try again."""
        failure = self.record.failure
        if failure is not None and failure.kind in PASSING and (self._attempt is None or self._attempt.done()):
            self.wake(again=True)

    async def resume(self, sandbox: Sandbox) -> bool:
        """Take over a sandbox in which an earlier server's last good generation may still answer."""
        api_id, number = self.api.id, self.record.row.last_good
        box = self._boxes.adopt(sandbox, self.api.manifest)
        with suppress(ApimarketError):
            ports = await box.generations()
            generation, tree = await self._shop.storage.read(lambda tx: _kept(tx, api_id, number or 0))
            for found, port in ports.items():
                box.adopt(found, port)
                if found != number or tree is None:
                    self._line.keep(box.stop(found))
            if generation is not None and tree is not None and generation.number in ports:
                self.record.newest = generation
                self._target = generation.tree
                self._line.swap(generation, tree, box, Ready(ports[generation.number], "", 0.0, 0.0))
                return True
        return False

    def announce(self) -> None:
        """Let the gateway know that the API exists."""
        self._line.route()

    async def first_outcome(self) -> None:
        """Wait while it is starting; not while something is installed or built, which takes longer."""
        while self.record.state is State.STARTING:
            await self.record.moved.wait()

    async def stop(self, desired: DesiredState = DesiredState.STOPPED) -> None:
        """End everything, after the requests under way. It stays stopped until `run`; with `desired` RUNNING, until
        the next server starts."""
        if self.record.state is not State.STOPPED:
            self.record.change(State.STOPPING, desired=desired)
        await self._stop_looking()
        await self._line.close(min(STOP_DRAIN_S, self._shop.pace.drain_s))
        await self._boxes.close()
        self._target = self._undone = None
        if self.record.state is State.STOPPING:
            self.record.change(State.STOPPED)
        self._line.route()
        await self.record.settled()

    async def detach(self) -> None:
        """The server ends: let go without a word to those who call. Under Docker the API runs on."""
        await self._stop_looking()
        await self._line.detach()
        await self._boxes.detach()
        await self.record.settled()

    async def undo(self) -> Generation | None:
        """Go back to the generation before this one; returns it, or None when there is none."""
        before = await self._earlier(self.live) if self.live else None
        if before is None:
            return None
        await self._cancel_attempt()
        self._undone = self._target
        self._target = before[0].tree
        if not self._line.recall():
            self._attempt = self._begin(before[1], time.perf_counter(), {})
        return before[0]

    async def usage(self) -> SandboxUsage | None:
        return await self.live.box.sandbox.usage() if self.live else None

    # -- Looking -------------------------------------------------------------------------------------------------

    async def _converge(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._shop.pace.scan_s):
                    await self._wake.wait()
            self._wake.clear()
            again, self._again = self._again, False
            try:
                await self._look(again, time.perf_counter(), time.time_ns())
            except ApimarketError as error:
                self._refuse(failure_of(error))

    async def _look(self, again: bool, started: float, wall_ns: int) -> None:
        snapshot = await asyncio.to_thread(self._source.read)
        self._shop.watch(self.api.id, snapshot.directories)
        digest = snapshot.tree.digest
        if digest in (self._target, self._undone) and not again:
            return
        self._undone = None
        await self._take_manifest(snapshot.tree)
        self._target = digest
        await self._cancel_attempt()
        if self.live is not None and self.live.generation.tree == digest and not again:
            self.record.change(State.RUNNING)  # what was broken is as it was before
            self._line.route()
            return
        self._crashes.forget()
        self._fallen = None
        timings = {"detect": _detect_ms(snapshot, wall_ns), "snapshot": _since(started)}
        self._attempt = self._begin(snapshot.tree, started, timings)

    async def _take_manifest(self, tree: Tree) -> None:
        entry = tree.entries.get(MANIFEST_NAME)
        if entry is None or entry.sha256 == self._manifest_read:
            return
        text = await asyncio.to_thread(self._shop.blobs.path(entry.sha256).read_text, "utf-8", "replace")
        try:
            self.api = self._line.api = await self._shop.registry.reload_manifest(self.api, text)
        except InvalidManifest:
            self._target = tree.digest  # said once for each save, not at every look
            raise
        self._manifest_read = entry.sha256

    def _refuse(self, failure: Failure) -> None:
        """The directory cannot become a generation at all."""
        if self.record.failure != failure:
            self.log.add(0, "apimarket", f"✗ {failure.message}")
        if failure.kind != "manifest":
            self._target = None  # once it can be read again, the same tree counts as new
        self.record.change(State.RUNNING if self.live else State.FAILED, failure)
        self._line.route()

    # -- One save, on its way ------------------------------------------------------------------------------------

    def _begin(self, tree: Tree, started: float, timings: dict[str, float]) -> "asyncio.Task[None]":
        return asyncio.create_task(self._bring_up(tree, started, timings), name=f"reload-{self.api.slug}")

    async def _bring_up(self, tree: Tree, started: float, timings: dict[str, float]) -> None:
        manifest = self.api.manifest
        launching = await self._new_launch(tree, timings)
        if self.live is None:
            self.record.change(State.STARTING, self.record.failure)
            self._line.route()
        try:
            await self._lay_out(launching)
            key = await self._boxes.key(launching.directory, manifest)
            box = self._boxes.ready(key)
            if box is not None:
                await self._serve(launching, box, manifest, started)
            else:
                launching = await self._change_box(launching, key, manifest, started)
        except asyncio.CancelledError:
            self._finish(launching, Outcome.SUPERSEDED)
            raise
        except StartFailed as error:
            self._failed(launching, error.failure)
        except ApimarketError as error:
            self._failed(launching, failure_of(error))

    async def _change_box(self, launching: Launch, key: str, manifest: Manifest, started: float) -> Launch:
        """Other dependencies or limits. They take a while, so meanwhile the code runs on the old ones if it can."""
        opening = asyncio.ensure_future(self._boxes.open(key, launching.directory, manifest))
        try:
            if self.live is not None and self.live.box.alive:
                with suppress(StartFailed, ApimarketError):
                    await self._serve(launching, self.live.box, manifest, started)
            else:
                self.record.change(State.BUILDING)
                self._line.route()
            box = await opening
        finally:
            opening.cancel()  # the waiting, not the work: the next save most likely wants the same box
            with suppress(asyncio.CancelledError, ApimarketError):
                await opening
        if launching.tried:
            self._finish(launching, Outcome.SUPERSEDED)
            launching = await self._new_launch(launching.tree, {})
            started = time.perf_counter()
            await self._lay_out(launching)
        if self.record.state is State.BUILDING:
            self.record.change(State.STARTING)
        await self._serve(launching, box, manifest, started)
        return launching

    async def _serve(self, launching: Launch, box: Box, manifest: Manifest, started: float) -> None:
        launching.tried = True
        ready = await launch(self._shop.engine, self.api, manifest, launching, box, self._progress)
        swapping = time.perf_counter()
        # From here to the end nothing awaits: a generation that is ready comes to serve whole, or is cancelled whole.
        launching.served = True
        generation = replace(launching.generation, outcome=Outcome.SERVING, deps_key=box.sandbox.layer_key)
        live = self._line.swap(generation, launching.tree, box, ready)
        launching.timings["swap"] = _since(swapping)
        launching.timings["total"] = launching.timings.get("detect", 0.0) + _since(started)
        live.generation = replace(generation, timings_ms=launching.phases())
        self.record.serve(live.generation)
        self._fallen = None
        self._tell_success(live)
        oldest = min(self._line.in_use(), live.number - KEPT_TREES)
        self._line.keep(asyncio.to_thread(remove_older, self._shop.trees(self.api.id), oldest))

    async def _new_launch(self, tree: Tree, timings: dict[str, float]) -> Launch:
        number = await self.record.number()
        now = self._shop.system.now()
        generation = Generation(self.api.id, number, tree.digest, "", Outcome.STARTING, now)
        self.record.begin(generation, tree)
        directory = self._shop.trees(self.api.id) / f"{number}-{tree.digest[:12]}"
        return Launch(generation, tree, directory, dict(timings))

    async def _lay_out(self, launching: Launch) -> None:
        began = time.perf_counter()
        try:
            await asyncio.to_thread(lay_out, launching.tree, self._shop.blobs, launching.directory)
        except FileNotFoundError:
            # A blob of an older tree is gone. The directory itself is always there to be read again.
            raise StartFailed(Failure("snapshot", "A file of this generation is no longer kept")) from None
        launching.timings["snapshot"] = launching.timings.get("snapshot", 0.0) + _since(began)

    # -- Outcomes ------------------------------------------------------------------------------------------------

    def _failed(self, launching: Launch, failure: Failure) -> None:
        self._finish(launching, Outcome.FAILED, failure)
        serving = f" · g{self.live.number} still serving" if self.live else ""
        self.log.add(launching.generation.number, "apimarket", f"✗ {failure.headline}{serving}")
        if self.live is None and self._fallen is not None:
            fallen, self._fallen = self._fallen, None
            self._attempt = self._begin(fallen.tree, time.perf_counter(), {})
            return
        self.record.change(State.RUNNING if self.live else State.FAILED, failure)
        self._line.route()

    def _finish(self, launching: Launch, outcome: Outcome, failure: Failure | None = None) -> None:
        if not launching.served:
            timings = launching.phases()
            self.record.finish(replace(launching.generation, outcome=outcome, failure=failure, timings_ms=timings))

    def _tell_success(self, live: Live) -> None:
        timings = live.generation.timings_ms
        phases = " · ".join(f"{name} {ms:.0f}" for name, ms in timings.items() if name != "total")
        self.log.add(live.number, "apimarket", f"⟳ g{live.number} {timings.get('total', 0.0):.0f} ms ({phases})")
        for advice in live.ready.advice:
            self.log.add(live.number, "apimarket", advice)

    # -- Crashes -------------------------------------------------------------------------------------------------

    def _lost(self, box: Box, number: int | None) -> None:
        """A ready generation, or the whole sandbox, ended without being told to."""
        fallen = self._line.lose(box, number)
        if fallen is None:
            return
        failure = box.failure or Failure("exit", "The program ended")
        self.log.add(fallen.number, "apimarket", f"✗ {failure.headline}")
        self.record.change(State.STARTING, failure)
        self._line.route()
        if self._attempt is not None and not self._attempt.done():
            self._fallen = fallen
            return
        pause_s = self._crashes.next_pause_s(time.monotonic())
        self._attempt = asyncio.create_task(self._recover(fallen, failure, pause_s), name=f"recover-{self.api.slug}")

    async def _recover(self, fallen: Live, failure: Failure, pause_s: float | None) -> None:
        if pause_s is not None:
            await asyncio.sleep(pause_s)
            await self._bring_up(fallen.tree, time.perf_counter(), {})
            return
        often = f"crashed {self._shop.pace.crash_limit} times within {self._shop.pace.crash_window_s:g} s"
        before = await self._earlier(fallen)
        if before is None:
            self.record.change(State.FAILED, replace(failure, message=f"It {often}: {failure.message}"))
            self._line.route()
            return
        back = f"g{fallen.number} {often}; g{before[0].number} serves instead"
        self.log.add(fallen.number, "apimarket", back)
        await self._bring_up(before[1], time.perf_counter(), {})
        if self.live is not None:
            self.record.change(State.RUNNING, replace(failure, message=f"{back}: {failure.message}"))
            self._line.route()

    async def _earlier(self, live: Live) -> tuple[Generation, Tree] | None:
        """The newest generation before this one that served with another tree."""
        api_id = self.api.id
        for generation in await self._shop.storage.read(lambda tx: tx.deployments.generations(api_id)):
            served = generation.outcome in (Outcome.DRAINED, Outcome.SERVING)
            if served and generation.number < live.number and generation.tree != live.generation.tree:
                break
        else:
            return None
        tree = await self._shop.storage.read(lambda tx: tx.deployments.tree(generation.tree))
        return (generation, tree) if tree else None

    # -- Small parts ---------------------------------------------------------------------------------------------

    def _progress(self, line: str) -> None:
        """Long work says something, from whatever thread."""
        self._event_loop.call_soon_threadsafe(self.record.say, line)

    async def _cancel_attempt(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None and not attempt.done():
            attempt.cancel()
            with suppress(asyncio.CancelledError):
                await attempt

    async def _stop_looking(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking
            self._looking = None
        await self._cancel_attempt()


def _kept(tx: ReadTx, api_id: ApiId, number: int) -> tuple[Generation | None, Tree | None]:
    generation = tx.deployments.generation(api_id, number)
    return generation, tx.deployments.tree(generation.tree) if generation else None


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


def _detect_ms(snapshot: Snapshot, wall_ns: int) -> float:
    """From the save itself, by the file's own time stamp, to the moment the runner looked."""
    late_ms = (wall_ns - snapshot.newest_ns) / 1e6
    return late_ms if 0 <= late_ms <= 2_000 else 0.0
