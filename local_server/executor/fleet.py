"""The versions of one API: a runner for each that was ever run here, and how the API's URLs lead to them.

The traffic moves to a version once it is ready, and never before. What a move waits for is remembered by this server
alone: the version itself is to run from the first moment on, and survives any restart.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace

from local_server.domain.deployments import Deployment, DesiredState, State
from local_server.domain.errors import ApimarketError
from local_server.domain.events import TrafficMoved, VersionChanged
from local_server.domain.ids import Digest
from local_server.domain.manifest import MANIFEST_NAME
from local_server.domain.manifest_toml import parse
from local_server.domain.registry import Api
from local_server.domain.registry_errors import InvalidManifest
from local_server.domain.trees import Tree
from local_server.domain.version_errors import (
    InvalidWeight,
    NothingToDeploy,
    PublishedNotRun,
    VersionInTraffic,
    VersionNotFound,
)
from local_server.domain.versions import (
    DEV,
    ApiVersion,
    Pointer,
    Traffic,
    check_channel,
    newest_release,
    steering,
)
from local_server.executor.origins import Fixed
from local_server.executor.reload import Runner
from local_server.executor.workshop import Workshop
from local_server.storage.base import ReadTx, Tx

RunDirectory = Callable[[Api], Awaitable[Runner]]


@dataclass(frozen=True, slots=True)
class Move:
    """Where the traffic goes, or a channel, once what it needs is ready."""

    target: str
    """What it is all about: a number, or `dev`."""
    weight: int = 100
    """0: the traffic stays where it is."""
    channel: str | None = None
    back: bool = False
    """To where the traffic was before, rather than to `target`."""

    def __post_init__(self) -> None:
        """Raises InvalidChannel, InvalidWeight."""
        if self.channel is not None:
            check_channel(self.channel)
        if not 0 <= self.weight <= 100:
            raise InvalidWeight(self.weight)

    def of(self, traffic: Traffic) -> Traffic:
        if self.back:
            return traffic.back() or traffic
        return traffic.moved(traffic.pointer.canary(self.target, self.weight)) if self.weight else traffic


class Fleet:
    """`run_directory` runs the directory of the API as well, for traffic that leads there."""

    def __init__(self, api: Api, shop: Workshop, run_directory: RunDirectory) -> None:
        self.api = api
        self.versions: Mapping[str, ApiVersion] = {}
        self.channels: Mapping[str, str] = {}
        self.traffic = Traffic()
        self.runners: dict[str, Runner] = {}
        self.move: Move | None = None
        """What waits for a version to become ready."""
        self.tried: tuple[str, bool] | None = None
        """The newest release that was gone for by itself, and whether away from one that was yanked."""
        self._shop = shop
        self._run_directory = run_directory
        self._moving: asyncio.Task[None] | None = None
        self._watching: dict[str, asyncio.Task[None]] = {}
        self._adding, self._beginning = asyncio.Lock(), asyncio.Lock()

    # -- What is known -----------------------------------------------------------------------------------------------

    async def refresh(self) -> None:
        """Read its versions, channels and traffic anew, and steer by them."""
        api_id = self.api.id

        def question(tx: ReadTx) -> tuple[list[ApiVersion], Mapping[str, str], Traffic, Api | None]:
            found = list(tx.versions.of_api(api_id))
            return found, tx.versions.channels(api_id), tx.versions.traffic(api_id), tx.registry.get(api_id)

        found, self.channels, self.traffic, api = await self._shop.storage.read(question)
        self.versions = {version.semver: version for version in found}
        if api is not None and not api.directory:
            self.api = api
            for runner in self.runners.values():
                runner.show_to(api.manifest.visibility)
        self.steer()

    def steer(self) -> None:
        """Have the gateway lead the API's URLs by what is known now."""
        running = {semver for semver, runner in self.runners.items() if _has_served(runner)}
        found = steering(self.versions.values(), running, self.channels, self.pointer)
        self._shop.traffic.steer(self.api.id, found)

    @property
    def pointer(self) -> Pointer:
        """Where URLs without a pin lead. Without a directory, and before any move: to what will run."""
        if self.traffic.pointer.is_directory and not self.api.directory and (newest := self.newest) is not None:
            return Pointer.to(newest)
        return self.traffic.pointer

    @property
    def runs(self) -> bool:
        """Whether this server runs it: its own always, others' where it is there for that."""
        return bool(self.api.directory) or self._shop.hosts

    @property
    def newest(self) -> str | None:
        newest = newest_release(self.versions.values())
        return newest.semver if newest is not None else None

    @property
    def main(self) -> Runner | None:
        """Of the version that has most of the traffic, if a version has."""
        target = max(self.pointer.shares, key=lambda share: share[1])[0]
        return self.runners.get(target)

    def get(self, semver: str) -> ApiVersion:
        """Raises VersionNotFound."""
        version = self.versions.get(semver)
        if version is None:
            raise VersionNotFound(self.api.full_name, semver, list(self.versions))
        return version

    # -- Running -----------------------------------------------------------------------------------------------------

    async def runner(self, semver: str, row: Deployment | None = None) -> Runner:
        """The runner of a version, which need not run. Raises VersionNotFound, NothingToDeploy."""
        async with self._adding:
            return self.runners.get(semver) or await self._add(self.get(semver), row)

    async def run(self, semver: str) -> Runner:
        """Run a version, now and after every restart. Raises what `runner` does, and PublishedNotRun."""
        if not self.runs:
            raise PublishedNotRun(self.api.full_name)
        runner = await self.runner(semver)
        runner.run()
        self.watch(runner)
        return runner

    async def run_all(self, targets: Collection[str]) -> list[Runner]:
        return [await (self._run_directory(self.api) if target == DEV else self.run(target)) for target in targets]

    def renew(self, secret: str) -> bool:
        """Start those that see that secret afresh; whether any does."""
        renewed = [runner for runner in self.runners.values() if runner.renew(secret)]
        for runner in renewed:
            self.watch(runner)
        return bool(renewed)

    def watch(self, runner: Runner) -> None:
        """Steer once it serves: until then it has no part in `1` or `latest`."""
        semver = runner.record.row.version
        known = self._watching.get(semver)
        if not _has_served(runner) and (known is None or known.done()):
            task = asyncio.create_task(self._steer_later(runner), name=f"version-{self.api.slug}")
            self._watching[semver] = task

    async def stop(self, semver: str) -> None:
        """End a version that no URL without a pin leads to. Raises VersionNotFound, VersionInTraffic."""
        self.get(semver)
        self.check_idle(semver)
        if self.move is not None and self.move.target == semver:
            await self._give_up()
        if (runner := self.runners.get(semver)) is not None:
            await runner.stop()
            self.steer()

    def check_idle(self, target: str) -> None:
        """Raises VersionInTraffic if a URL without a pin leads to it."""
        if (weight := self.pointer.weight(target)) > 0:
            raise VersionInTraffic(self.api.full_name, target, weight)

    async def stop_all(self, desired: DesiredState = DesiredState.STOPPED) -> None:
        await self._give_up()
        await asyncio.gather(*(runner.stop(desired) for runner in self.runners.values()))
        self.steer()

    async def close(self, *, stop: bool = False) -> None:
        """Let go of every version; with `stop` end them, to be started again by the next server."""
        await self._give_up()
        ends = [runner.stop(DesiredState.RUNNING) if stop else runner.detach() for runner in self.runners.values()]
        await asyncio.gather(*ends)
        await self._release()

    async def remove(self) -> list[Runner]:
        """End every version for good; returns those that could not be ended."""
        await self.stop_all()
        await self._release()
        return [runner for runner in self.runners.values() if runner.has_leftovers]

    async def _release(self) -> None:
        for task in self._watching.values():
            task.cancel()
        await asyncio.gather(*self._watching.values(), return_exceptions=True)
        for runner in self.runners.values():
            await runner.log.close()

    # -- Moving the traffic ------------------------------------------------------------------------------------------

    async def begin(self, move: Move) -> None:
        """Run what the move needs, and move once it is ready; at once, if it is now. A later move takes the place of
        one that waits. Raises what `runner` does."""
        async with self._beginning:
            await self._give_up()
            runners = await self.run_all(self._needed(move))
            if all(runner.live is not None for runner in runners):
                await self._carry_out(move)
                return
            self.move = move
            self._moving = asyncio.create_task(self._when_ready(move, runners), name=f"traffic-{self.api.slug}")

    def _needed(self, move: Move) -> list[str]:
        if move.back:
            return [target for target, _ in move.of(self.traffic).pointer.shares]
        return [move.target]

    async def _when_ready(self, move: Move, runners: list[Runner]) -> None:
        try:
            if all([await runner.settled() for runner in runners]):
                await self._carry_out(move)
            else:
                self._say(move, "it did not become ready")
        except ApimarketError as error:
            self._say(move, error.detail)
        finally:
            self.move = None

    async def _carry_out(self, move: Move) -> None:
        api_id, now = self.api.id, self._shop.system.now()

        def act(tx: Tx) -> None:
            traffic = tx.versions.traffic(api_id)
            moved = move.of(traffic)
            if moved is not traffic:
                tx.versions.move_traffic(api_id, moved)
                tx.emit(TrafficMoved(api_id))
            if move.channel is not None:
                tx.versions.put_channel(api_id, move.channel, move.target, now)
                tx.emit(VersionChanged(api_id, move.target))

        await self._shop.storage.write(act)
        await self.refresh()

    async def _give_up(self) -> None:
        moving, self._moving, self.move = self._moving, None, None
        if moving is not None and not moving.done():
            moving.cancel()
            await asyncio.wait({moving})

    # -- Small parts -------------------------------------------------------------------------------------------------

    async def _steer_later(self, runner: Runner) -> None:
        while not _has_served(runner):
            await runner.record.moved.wait()
        self.steer()

    async def _add(self, version: ApiVersion, row: Deployment | None) -> Runner:
        tree = await self._shop.storage.read(lambda tx: tx.deployments.tree(version.tree))
        if tree is None:
            raise NothingToDeploy(self.api.full_name, f"{version.semver}: its files are not kept here")
        shop, now, semver = self._shop, self._shop.system.now(), version.semver
        stopped = Deployment(
            self.api.id, DesiredState.STOPPED, State.STOPPED, shop.engine.name, None, None, now, semver
        )
        # Whatever state an earlier server wrote, nothing of it is known to be true now.
        row = replace(row or stopped, state=State.STOPPED, engine=shop.engine.name)
        log = shop.log(self.api.id, semver)
        await log.open()
        api = await self._api_of(tree)
        runner = self.runners[semver] = Runner(api, shop, log, row, Fixed(semver, tree))
        runner.announce()
        return runner

    async def _api_of(self, tree: Tree) -> Api:
        """The API with the manifest of a version's own files."""
        entry = tree.entries.get(MANIFEST_NAME)
        if entry is None:
            return self.api
        try:
            text = await asyncio.to_thread(self._shop.blobs.path(Digest(entry.sha256)).read_text, "utf-8", "replace")
            return replace(self.api, manifest=replace(parse(text), visibility=self.api.manifest.visibility))
        except (InvalidManifest, OSError):
            return self.api

    def _say(self, move: Move, why: str) -> None:
        if (runner := self.runners.get(move.target)) is not None:
            runner.log.add(0, "apimarket", f"the traffic stays where it is: {why}")


def _has_served(runner: Runner) -> bool:
    row = runner.record.row
    return row.desired_state is DesiredState.RUNNING and row.last_good is not None
