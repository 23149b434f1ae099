"""Hot reload: one runner an API turns each save into a generation and moves the traffic over when it is ready.

The way of a save: look (read the directory, name it by its hash) -> lay out -> find the box -> start on its own port ->
swap -> let the old one drain. Broken code never takes the old generation down, the latest save wins, and a save
that changes nothing does nothing. When nothing serves and what the directory holds does not start (a crash loop, or
broken code found by a server that starts), what served last comes back in its stead. Where several replicas serve,
replicas.py keeps their number.

An immutable version is run by the same runner: its origin (origins.py) is a tree that no look ever finds changed.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace

from local_server.domain.deployments import Deployment, DesiredState, Failure, Generation, State
from local_server.domain.errors import ApimarketError
from local_server.domain.ids import Digest
from local_server.domain.manifest import MANIFEST_NAME, Manifest, Visibility
from local_server.domain.registry import Api
from local_server.domain.registry_errors import InvalidManifest
from local_server.domain.trees import Tree
from local_server.executor.adoption import Adopted
from local_server.executor.box import Box
from local_server.executor.boxes import Boxes
from local_server.executor.crashes import RETRIED, Crashes
from local_server.executor.engine import Sandbox, SandboxUsage
from local_server.executor.failures import PASSING, failure_of
from local_server.executor.live import Line, Live
from local_server.executor.loans import Loans
from local_server.executor.logs import LogBook
from local_server.executor.origins import Origin
from local_server.executor.past import Past
from local_server.executor.record import Record, VersionRecord
from local_server.executor.replicas import Replicas
from local_server.executor.snapshot import Snapshot
from local_server.executor.starter import Starter
from local_server.executor.traffic import Lane
from local_server.executor.workshop import Workshop

STOP_DRAIN_S = 5.0
STAND_INS = 3
"""Earlier states that are tried before an API counts as failed."""


class Runner:
    """Runs the directory of one API, or one version of it. Everything here happens on the event loop; `wake` asks it
    to look at its origin."""

    def __init__(self, api: Api, shop: Workshop, log: LogBook, row: Deployment, origin: Origin) -> None:
        self.api = api
        self.log = log
        self.record = VersionRecord(api, shop, log, row) if origin.version else Record(api, shop, log, row)
        self._shop = shop
        self._line = Line(api, shop, self.record, self._close_idle)
        self._crashes = Crashes(shop.pace)
        self._origin = origin
        self._target: Digest | None = None
        """The tree that the last look decided for; a look that finds it again has nothing to do."""
        self._undone: Digest | None = None
        """The tree that an undo turned away from: only another save brings the directory back into play."""
        self._refused: Failure | None = None
        """Why what the directory holds does not serve, as far as that is known."""
        self._manifest_read: str | None = None
        self._attempt: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._again = False
        self._looking: asyncio.Task[None] | None = None
        self._starter: Starter
        self._boxes = Boxes(api, shop, log, self._lost, lambda line: self._starter.progress(line), origin.version)
        self._replicas = Replicas(api, shop, self._line, self._boxes, log)
        self._past = Past(api.id, shop, origin.version)
        self._starter = Starter(api, shop, self.record, self._line, self._boxes, self._replicas, log, self._pending)
        self._loans = Loans(api, shop, self._line, self._boxes, self._past, self._manifest_of)

    @property
    def live(self) -> Live | None:
        return self._line.live

    # -- What others ask of it -----------------------------------------------------------------------------------

    def wake(self, *, again: bool = False) -> None:
        """Look at the directory now; `again`: start it anew even if nothing changed."""
        self._again = self._again or again
        self._wake.set()

    def run(self) -> None:
        """Begin, or go on, converging on what the origin holds; what failed is tried again."""
        failed = self.record.state is State.FAILED
        if self._looking is None:
            if self.live is None:
                self.record.change(State.STARTING, desired=DesiredState.RUNNING)
            self._line.route()
            self._looking = asyncio.create_task(self._converge(), name=f"runner-{self.api.slug}")
        elif failed:
            self._refused = None  # told again, if it comes to the same
            self.record.change(State.STARTING)
            self._line.route()
        self.wake(again=failed)

    def renew(self, secret: str) -> bool:
        """Start afresh what should run and sees that secret; False: that is nothing of it."""
        if self.record.row.desired_state is not DesiredState.RUNNING or secret not in self.api.manifest.run.secrets:
            return False
        self.run()
        self.wake(again=True)
        return True

    def retry(self) -> None:
        """What kept it from running, or from being ended, may have passed: try again."""
        if self._boxes.left:
            self._line.keep(self._boxes.close_left())
        failure = self.record.failure
        if failure is not None and failure.kind in PASSING and not self._busy:
            self.wake(again=True)

    @property
    def has_leftovers(self) -> bool:
        """Something of it could not be ended, since the engine did not answer; `retry` tries again."""
        return bool(self._boxes.left)

    async def resume(self, sandboxes: Sequence[Sandbox]) -> bool:
        """Take over sandboxes in which an earlier server's last good generation may still answer; whether it does."""
        adopted = Adopted(self._boxes, sandboxes, self.api.manifest)
        kept = await self.record.kept(await adopted.look())
        if kept is not None:
            generation, tree = kept
            launching = await self._past.launched(generation, tree, self.api.manifest)
            if replicas := adopted.replicas(generation.number, launching.manifest.run.replicas):
                with suppress(ApimarketError):
                    self._line.swap(generation, launching, replicas)
                    self.record.newest, self._target = generation, generation.tree
        self._line.keep(adopted.settle(self.live))
        self._replicas.attend()
        return self.live is not None

    def announce(self) -> None:
        """Let the gateway know that the API exists."""
        self._line.route()

    async def settled(self) -> bool:
        """Wait until it serves, or has failed or was stopped; returns whether it serves."""
        while self.live is None:
            if self.record.state in (State.FAILED, State.STOPPED):
                return False
            await self.record.moved.wait()
        return True

    def show_to(self, visibility: Visibility) -> None:
        """Who may see the API was changed, and not by its files."""
        if self.api.manifest.visibility is not visibility:
            self.api = self._line.api = replace(self.api, manifest=replace(self.api.manifest, visibility=visibility))
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
        await self._loans.close()
        await self._replicas.close()
        await self._line.close(min(STOP_DRAIN_S, self._shop.pace.drain_s))
        await self._boxes.close()
        self._target = self._undone = self._refused = None
        if self.record.state is State.STOPPING:
            self.record.change(State.STOPPED)
        self._line.route()
        await self.record.settled()

    async def detach(self) -> None:
        """The server ends: let go without a word to those who call. Under Docker the API runs on."""
        await self._stop_looking()
        await self._loans.close()
        await self._replicas.close()
        await self._line.detach()
        await self._boxes.detach()
        await self.record.settled()

    async def undo(self) -> Generation | None:
        """Go back to the generation before this one; returns it, or None when there is none."""
        before = await self._past.earlier(self.live) if self.live else None
        if before is None:
            return None
        await _cancel(self._attempt)
        generation, tree = before
        self._undone, self._target, self._refused = self._target, generation.tree, None
        if self._line.recall(tree):
            self._replicas.attend()
        else:
            self._attempt = self._begin(tree, await self._manifest_of(tree), time.perf_counter(), {})
        return generation

    def borrow(self, number: int) -> AbstractAsyncContextManager[Lane]:
        """`Loans.borrow`"""
        return self._loans.borrow(number)

    async def usage(self) -> SandboxUsage | None:
        return await self.live.usage() if self.live else None

    # -- Looking -------------------------------------------------------------------------------------------------

    async def _converge(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._origin.scan_s):
                    await self._wake.wait()
            self._wake.clear()
            again, self._again = self._again, False
            try:
                await self._look(again, time.perf_counter(), time.time_ns())
            except Exception as error:
                self._refuse(failure_of(error))

    async def _look(self, again: bool, started: float, wall_ns: int) -> None:
        snapshot = await self._origin.look()
        digest = snapshot.tree.digest
        if digest in (self._target, self._undone) and not again:
            return
        self._undone = None
        await self._take_manifest(snapshot.tree)
        await _cancel(self._attempt)
        self._target, self._refused = digest, None
        if self.live is not None and self.live.generation.tree == digest and not again:
            self.record.change(State.RUNNING)  # what was broken is as it was before
            self._line.route()
            return
        self._crashes.forget()
        timings = {"detect": _detect_ms(snapshot, wall_ns), "snapshot": (time.perf_counter() - started) * 1000}
        self._attempt = self._begin(snapshot.tree, self.api.manifest, started, timings)

    async def _take_manifest(self, tree: Tree) -> None:
        entry = tree.entries.get(MANIFEST_NAME)
        if entry is None or entry.sha256 == self._manifest_read:
            return
        text = await self._past.text(entry.sha256)
        try:
            self.api = self._line.api = await self._origin.take_manifest(self.api, text)
        except InvalidManifest:
            self._target = tree.digest  # said once for each save, not at every look
            self._manifest_read = None  # so that the text from before is taken as new again
            raise
        self._manifest_read = entry.sha256

    def _refuse(self, failure: Failure) -> None:
        """The directory cannot become a generation at all."""
        if failure.kind != "manifest":
            self._target = None  # once it can be read again, the same tree counts as new
        if self._refused == failure:
            return
        self._refused = failure
        self.log.add(0, "apimarket", f"✗ {failure.message}")
        if self.live is None and not self._busy:
            self._attempt = asyncio.create_task(self._stand_in(failure, set()), name=f"stand-in-{self.api.slug}")
            return
        self.record.change(self.record.state, failure)
        self._line.route()

    # -- One save, on its way ------------------------------------------------------------------------------------

    @property
    def _busy(self) -> bool:
        return self._attempt is not None and not self._attempt.done()

    def _begin(self, tree: Tree, manifest: Manifest, started: float, timings: dict[str, float]) -> "asyncio.Task[None]":
        work = self._bring_up(tree, manifest, started, timings)
        return asyncio.create_task(work, name=f"reload-{self.api.slug}")

    async def _bring_up(self, tree: Tree, manifest: Manifest, started: float, timings: dict[str, float]) -> None:
        failure = await self._starter.bring_up(tree, manifest, started, timings)
        if failure is not None:
            if tree.digest == self._target or self._refused is None:
                self._refused = failure
            await self._stand_in(self._refused, {tree.digest})

    def _pending(self) -> Failure | None:
        return self._refused

    async def _stand_in(self, failure: Failure, hopeless: set[Digest]) -> None:
        """What the directory holds does not start. If nothing serves, what served last does again, unless it is one
        of the `hopeless`; and if nothing may be started now at all, that is waited for."""
        if self.live is None and failure.kind not in PASSING:
            last_good = self.record.row.last_good
            for generation, tree in (await self._past.served(last_good, hopeless))[:STAND_INS]:
                if await self._again_up(tree) is None:
                    self.log.add(0, "apimarket", f"the code of g{generation.number} serves instead")
                    return
        self.record.change(State.RUNNING if self.live else State.FAILED, failure)
        self._line.route()

    async def _again_up(self, tree: Tree, where: Box | None = None) -> Failure | None:
        manifest = await self._manifest_of(tree)
        return await self._starter.bring_up(tree, manifest, time.perf_counter(), {}, where)

    # -- Crashes -------------------------------------------------------------------------------------------------

    def _lost(self, box: Box, number: int | None) -> None:
        """A ready generation, or the whole sandbox, ended without being told to."""
        fallen = self._line.lose(box, number)
        if fallen is None:
            return
        if fallen is self.live:
            self._replicas.lost(fallen, box)
            return
        self._replicas.attend()
        failure = box.failure or Failure("exit", "The program ended")
        self.log.add(fallen.number, "apimarket", f"✗ {failure.headline}")
        self.record.change(State.STARTING, failure)
        self._line.route()
        waiting = self._attempt if self._busy and self._starter.installing else None
        if self._busy and waiting is None:
            return  # it is about to take its place; if it fails, what served last comes back
        self._attempt = asyncio.create_task(self._recover(fallen, failure, waiting), name=f"recover-{self.api.slug}")

    async def _recover(self, fallen: Live, failure: Failure, waiting: "asyncio.Task[None] | None") -> None:
        """Start what crashed again, at longer and longer intervals; after too many crashes, what served before it.
        `waiting` is a save that waits for its dependencies, and must wait for this as well."""
        if waiting is not None:
            await _cancel(waiting)
            self._target = None
        while (pause_s := self._crashes.next_pause_s(time.monotonic())) is not None:
            await asyncio.sleep(pause_s)
            again = await self._again_up(fallen.tree, fallen.box)
            if again is None:
                self.wake()
                return
            failure = again
            if failure.kind not in RETRIED:
                break
        else:
            pace = self._shop.pace
            often = f"It crashed {pace.crash_limit} times within {pace.crash_window_s:g} s"
            failure = replace(failure, message=f"{often}: {failure.message}")
            self.log.add(fallen.number, "apimarket", f"✗ {failure.headline}")
        if self._refused is None and self._undone is None:
            self._refused = failure
        self.wake()
        await self._stand_in(failure, {fallen.tree.digest})

    # -- Small parts ---------------------------------------------------------------------------------------------

    async def _close_idle(self) -> None:
        await self._boxes.close_idle()

    async def _manifest_of(self, tree: Tree) -> Manifest:
        return await self._past.manifest(tree, self.api.manifest)

    async def _stop_looking(self) -> None:
        looking, self._looking = self._looking, None
        await _cancel(looking)
        await _cancel(self._attempt)
        self._attempt = None


async def _cancel(task: "asyncio.Task[None] | None") -> None:
    """End a task, and wait for it. Not by awaiting it: being cancelled oneself meanwhile must not get lost."""
    if task is not None and not task.done():
        task.cancel()
        await asyncio.wait({task})


def _detect_ms(snapshot: Snapshot, wall_ns: int) -> float:
    """From the save itself, by the file's own time stamp, to the moment the runner looked."""
    late_ms = (wall_ns - snapshot.newest_ns) / 1e6
    return late_ms if 0 <= late_ms <= 2_000 else 0.0
