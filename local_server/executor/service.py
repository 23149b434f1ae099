"""Keeps every API that should run running: one runner for each directory and each version, and a loop that converges
after whatever happened.

Desired state is a row; what runs is what the engine reports. Start of the server, a crash, a container removed by
hand, an engine that was away: all end in the same comparison.
"""

import asyncio
import logging
import shutil
from collections.abc import Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from local_server.domain.deployments import Deployment, DesiredState, Failure, Generation, State
from local_server.domain.errors import ApimarketError
from local_server.domain.events import EngineChanged
from local_server.domain.ids import ApiId
from local_server.domain.registry import Api
from local_server.domain.registry_errors import ApiNotFound
from local_server.domain.trees import Tree
from local_server.domain.versions import DEV, ApiVersion
from local_server.executor.engine import EngineHealth, Sandbox, SandboxUsage
from local_server.executor.files import Files
from local_server.executor.fleet import Move
from local_server.executor.logs import LogBook
from local_server.executor.origins import Directory
from local_server.executor.reload import Runner
from local_server.executor.snapshot import Source
from local_server.executor.traffic import Lane
from local_server.executor.tree_differences import TreeDifferences
from local_server.executor.versions import Versions
from local_server.executor.workshop import Workshop
from local_server.storage.base import ReadTx

logger = logging.getLogger("apimarket.executor")

STARTS_AT_ONCE = 2
"""Runners that may begin at the same time when a server starts: each first start is busy for a second or so."""


@dataclass(frozen=True, slots=True)
class Status:
    """What an API's deployment is doing now."""

    desired: DesiredState
    state: State
    failure: Failure | None
    progress: str
    newest: Generation | None
    serving: int | None
    replicas: int = 0
    """How many of it serve."""
    replicas_wanted: int = 1
    """And how many should."""


class Executor:
    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._runners: dict[ApiId, Runner] = {}
        self._health = EngineHealth(False, "", "not asked yet")
        self._starting: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(STARTS_AT_ONCE)
        self.versions = Versions(shop, self._run_directory, self._tree_of)
        self.differences = TreeDifferences(shop, self.versions, self._serving)
        self.files = Files(shop.blobs, self.running_tree)
        shop.secrets.changed = self.renew
        self._left: list[Runner] = []
        """Of removed APIs whose sandboxes could not be ended, since the engine did not answer."""

    @property
    def engine_name(self) -> str:
        return self._shop.engine.name

    @property
    def isolated(self) -> bool:
        return self._shop.engine.isolated

    @property
    def health(self) -> EngineHealth:
        """What the engine said when it was last asked."""
        return self._health

    # -- Life ----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Take over what runs already, and start what should run. Returns once every API has a route."""
        await self._ask_engine()

        def question(tx: ReadTx) -> tuple[Sequence[Api], dict[ApiId, Deployment], Sequence[Deployment]]:
            rows = {row.api_id: row for row in tx.deployments.all()}
            return tx.registry.all(), rows, tx.deployments.of_versions()

        apis, rows, of_versions = await self._shop.storage.read(question)
        wanted = [row for row in (*rows.values(), *of_versions) if _wanted(row)]
        adopted = await self._adopt({(row.api_id, row.version) for row in wanted})

        def begin(runner: Runner) -> None:
            row = runner.record.row
            self._begin(self._start(runner, adopted.get((row.api_id, row.version), [])))

        for api in apis:
            if api.directory:
                runner = await self._add(api, rows.get(api.id))
                if _wanted(rows.get(api.id)):
                    begin(runner)
        await self.versions.open(apis, of_versions, begin)

    async def stand_by(self) -> None:
        """Of a server that runs nothing: only say so."""
        await self._ask_engine()

    async def started(self) -> None:
        """Wait until what `open` began serves, or does not start."""
        await asyncio.gather(*self._starting, return_exceptions=True)

    async def watch_engine(self) -> None:
        """Ask again and again whether the engine answers; when it is back, so are the APIs. Never returns."""
        while True:
            await asyncio.sleep(self._shop.pace.engine_retry_s)
            before = self._health
            await self._ask_engine()
            if before.available != self._health.available:
                health = self._health
                self._shop.publish(EngineChanged(self.engine_name, health.available, health.detail))
            if self._health.available:
                self._left = [runner for runner in self._left if runner.has_leftovers]
                for runner in (*self._runners.values(), *self.versions.runners(), *self._left):
                    runner.retry()

    async def close(self, *, stop_apis: bool = False) -> None:
        """Let go of every API. Under Docker they run on, unless `stop_apis`; what should run is not changed by it."""
        for task in list(self._starting):
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        ends = [self._end(runner, stop_apis) for runner in self._runners.values()]
        ends.append(self.versions.close(stop=stop_apis))
        for outcome in await asyncio.gather(*ends, return_exceptions=True):
            if isinstance(outcome, Exception):
                logger.error("an API could not be let go", exc_info=outcome)
        self._runners.clear()
        await self._shop.engine.close()

    # -- Acts ----------------------------------------------------------------------------------------------------

    async def deploy(self, api: Api) -> None:
        """Run its directory, and the versions that the traffic leads to, now and after every restart. Returns at once;
        `status` tells how it goes."""
        await self.versions.run_traffic(api)
        if api.directory:
            await self._run_directory(api)

    async def deploy_version(self, api: Api, semver: str, move: Move) -> ApiVersion:
        """Make a version of what serves now, unless there is one of these very files, and run it; then `move`, once it
        is ready. Returns at once. Raises what `Versions.make` and `.begin` do."""
        version = await self.versions.make(api, semver)
        await self.versions.begin(api, move)
        return version

    async def know(self, api: Api) -> None:
        """Give it a URL that says it is stopped."""
        if api.directory and api.id not in self._runners:
            await self._add(api, None)

    async def restart(self, api: Api) -> None:
        """A fresh process of what the directory holds, with nothing dropped. What serves is versions of: those."""
        if not api.directory:
            await self.versions.restart(api)
            return
        runner = self._runners.get(api.id) or await self._add(api, None)
        running = runner.record.state is not State.STOPPED
        runner.run()
        if running:
            runner.wake(again=True)
        await self.versions.run_traffic(api)

    async def renew(self, api: Api, secret: str) -> bool:
        """Start whatever runs of the API and sees that secret afresh, with nothing dropped; whether anything does."""
        runner = self._runners.get(api.id)
        here = runner is not None and runner.renew(secret)
        return await self.versions.renew(api, secret) or here

    async def stop(self, api: Api) -> None:
        """End it and all its versions after the requests under way, and keep them ended."""
        if (runner := self._runners.get(api.id)) is not None:
            await runner.stop()
        await self.versions.stop_all(api)

    async def stop_directory(self, api: Api) -> None:
        """End what its directory runs, and keep it ended, while its versions go on. Raises VersionInTraffic."""
        (await self.versions.fleet(api)).check_idle(DEV)
        if (runner := self._runners.get(api.id)) is not None:
            await runner.stop()

    async def undo(self, api: Api) -> Generation | None:
        """Back to the generation before; the directory counts again at the next save. None: there is none."""
        return await self._runner(api).undo()

    async def remove(self, api: Api) -> None:
        """End it and forget its route, its trees and its log."""
        runner = self._runners.pop(api.id, None)
        if runner is not None:
            self._shop.watch(api.id, frozenset())
            await runner.stop()
            if runner.has_leftovers:
                self._left.append(runner)
            await runner.log.close()
        self._left += await self.versions.remove(api)
        self._shop.traffic.forget(api.id)
        directory = self._shop.directory(api.id)
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)

    def borrow(self, api: Api, generation: int) -> AbstractAsyncContextManager[Lane]:
        """A way to one of its kept generations, for as long as the context lasts; one that has ended is started for
        it. Raises ApiUnavailable while none serves, GenerationNotFound, GenerationNotStarted."""
        return self._runner(api).borrow(generation)

    def changed(self, api_id: ApiId) -> None:
        """Something in the API's directory changed."""
        if (runner := self._runners.get(api_id)) is not None:
            runner.wake()

    # -- Questions -----------------------------------------------------------------------------------------------

    def status(self, api_id: ApiId) -> Status:
        runner = self._shown(api_id)
        if runner is None:
            return Status(DesiredState.STOPPED, State.STOPPED, None, "", None, None)
        record = runner.record
        live, wanted = runner.live, runner.api.manifest.run.replicas
        told = record.row.desired_state, record.state, record.failure, record.progress, record.newest
        if live is None:
            return Status(*told, None, 0, wanted)
        return Status(*told, live.number, len(live.replicas), live.size)

    def log(self, api: Api) -> LogBook:
        runner = self._shown(api.id)
        if runner is None:
            raise ApiNotFound(api.slug)
        return runner.log

    def running_tree(self, api: Api) -> tuple[int, Tree] | None:
        """What serves, and the number of its generation; None: nothing does."""
        runner = self._shown(api.id)
        return (runner.live.number, runner.live.tree) if runner is not None and runner.live is not None else None

    async def usage(self, api_id: ApiId) -> SandboxUsage | None:
        runner = self._shown(api_id)
        return await runner.usage() if runner else None

    def memory_mb(self) -> dict[str, int]:
        """What each API that runs may use, all its replicas and versions together."""
        allowed: dict[str, int] = {}
        for runner in (*self._runners.values(), *self.versions.runners()):
            if runner.live is not None:
                run, name = runner.live.launching.manifest.run, runner.api.slug
                allowed[name] = allowed.get(name, 0) + run.memory_mb * run.replicas
        return allowed

    def container(self, api_id: ApiId) -> tuple[str, str] | None:
        """(id, directory of the trees inside) of the container that serves, of several the first; None where none
        does."""
        runner = self._shown(api_id)
        if runner is None or runner.live is None or self.engine_name != "docker":
            return None
        sandbox = runner.live.box.sandbox
        return sandbox.id, sandbox.inside(self._shop.trees(api_id, sandbox.version))

    async def generations(self, api: Api, limit: int = 50) -> Sequence[Generation]:
        return await self._shop.storage.read(lambda tx: tx.deployments.generations(api.id, limit))

    # -- Small parts ---------------------------------------------------------------------------------------------

    def _shown(self, api_id: ApiId) -> Runner | None:
        """Whose state is the API's: the directory's; that of the version that has most of the traffic, where there is
        no directory, or it is stopped alone."""
        runner, fleet = self._runners.get(api_id), self.versions.known(api_id)
        if fleet is None or (runner is not None and runner.record.row.desired_state is DesiredState.RUNNING):
            return runner
        return fleet.main or runner

    async def _run_directory(self, api: Api) -> Runner:
        runner = self._runners.get(api.id) or await self._add(api, None)
        runner.run()
        return runner

    async def _tree_of(self, api: Api) -> Tree | None:
        """What its directory serves now; when nothing serves, what it holds. Raises UnusableDirectory, StorageFull."""
        runner = self._runners.get(api.id)
        if runner is not None and runner.live is not None:
            return runner.live.tree
        if not api.directory:
            return None
        source = await asyncio.to_thread(Source, Path(api.directory), self._shop.blobs)
        return (await asyncio.to_thread(source.read)).tree

    def _serving(self, api_id: ApiId) -> tuple[int, Tree] | None:
        """The generation that its directory serves, and the files of it."""
        runner = self._runners.get(api_id)
        return (runner.live.number, runner.live.tree) if runner is not None and runner.live is not None else None

    def _runner(self, api: Api) -> Runner:
        runner = self._runners.get(api.id)
        if runner is None:
            raise ApiNotFound(api.slug)
        return runner

    async def _add(self, api: Api, row: Deployment | None) -> Runner:
        now = self._shop.system.now()
        row = row or Deployment(api.id, DesiredState.STOPPED, State.STOPPED, self.engine_name, None, None, now)
        # Whatever state an earlier server wrote, nothing of it is known to be true now.
        row = replace(row, state=State.STOPPED, engine=self.engine_name)
        log = self._shop.log(api.id)
        await log.open()
        runner = Runner(api, self._shop, log, row, Directory(api, self._shop))
        newest = await self._shop.storage.read(lambda tx: tx.deployments.generations(api.id, 1))
        runner.record.newest = newest[0] if newest else None
        self._runners[api.id] = runner
        runner.announce()
        return runner

    async def _start(self, runner: Runner, sandboxes: Sequence[Sandbox]) -> None:
        async with self._room:
            if sandboxes and await runner.resume(sandboxes):
                runner.run()
                return
            runner.run()
            await runner.first_outcome()

    async def _adopt(self, wanted: set[tuple[ApiId, str]]) -> dict[tuple[ApiId, str], list[Sandbox]]:
        """What an earlier server left of the wanted APIs and versions; all else of it is ended."""
        adopted: dict[tuple[ApiId, str], list[Sandbox]] = {}
        if not self._health.available:
            return adopted
        try:
            found = await self._shop.engine.adopt()
        except ApimarketError as error:
            logger.warning("what an earlier server left cannot be taken over: %s", error.detail)
            return adopted
        for sandbox in found:
            whose = sandbox.api_id, sandbox.version
            if whose in wanted:
                adopted.setdefault(whose, []).append(sandbox)
            else:
                await sandbox.stop()
        return adopted

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="executor-start")
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _end(self, runner: Runner, stop_api: bool) -> None:
        await (runner.stop(DesiredState.RUNNING) if stop_api else runner.detach())
        await runner.log.close()

    async def _ask_engine(self) -> None:
        self._health = await self._shop.engine.health()


def _wanted(row: Deployment | None) -> bool:
    return row is not None and row.desired_state is DesiredState.RUNNING
