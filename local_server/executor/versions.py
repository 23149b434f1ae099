"""What can be done with the versions of APIs: make one of what serves, run it, move the traffic, mark its end."""

import asyncio
import json
import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from local_server.domain.contract_changes import Bump, next_version
from local_server.domain.deployments import Deployment, DesiredState
from local_server.domain.errors import ApimarketError
from local_server.domain.events import ApiChanged, ApiRemoved, TrafficMoved, VersionChanged, VersionCreated
from local_server.domain.ids import ApiId, Digest
from local_server.domain.manifest import MANIFEST_NAME, Manifest
from local_server.domain.manifest_document import manifest_document
from local_server.domain.manifest_toml import parse
from local_server.domain.registry import Api, ApiStage
from local_server.domain.trees import Tree
from local_server.domain.version_documents import version_document, version_id
from local_server.domain.version_errors import (
    InvalidSunset,
    NothingToDeploy,
    NothingToRollBack,
    OtherFiles,
    VersionNotFound,
)
from local_server.domain.versions import DEV, ApiVersion, check_next, newest_release
from local_server.events.bus import Lost
from local_server.executor.fleet import Fleet, Move, RunDirectory
from local_server.executor.logs import LogBook
from local_server.executor.reload import Runner
from local_server.executor.workshop import Workshop
from local_server.storage.base import Tx

logger = logging.getLogger("apimarket.executor")

Begin = Callable[[Runner], None]
"""Brings a runner up when the server starts: takes over what an earlier server left, or runs it afresh."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What callers of a version are told of its end."""

    deprecated: bool
    sunset_at: datetime | None = None


class Versions:
    """`tree_of` is what a version is made of: what an API's directory serves now, or holds; None without one."""

    def __init__(
        self, shop: Workshop, run_directory: RunDirectory, tree_of: Callable[[Api], Awaitable[Tree | None]]
    ) -> None:
        self._shop = shop
        self._run_directory = run_directory
        self._tree_of = tree_of
        self._fleets: dict[ApiId, Fleet] = {}
        self._opening = asyncio.Lock()

    # -- Life --------------------------------------------------------------------------------------------------------

    async def open(self, apis: Iterable[Api], rows: Iterable[Deployment], begin: Begin) -> None:
        """Give every version that was run a route, and have `begin` bring up those that should run."""
        of: dict[ApiId, list[Deployment]] = {}
        for row in rows:
            of.setdefault(row.api_id, []).append(row)
        for api in apis:
            if api.id in of or not api.directory:
                await self._open(api, of.get(api.id, []), begin)

    async def _open(self, api: Api, rows: Iterable[Deployment], begin: Begin) -> None:
        fleet = await self.fleet(api)
        for row in rows:
            try:
                runner = await fleet.runner(row.version, row)
            except ApimarketError as error:
                logger.error("%s %s cannot be run: %s", api.full_name, row.version, error.detail)
                continue
            if row.desired_state is DesiredState.RUNNING and fleet.runs:
                begin(runner)
                fleet.watch(runner)
        fleet.steer()
        if not api.directory:
            await self._catch_up(fleet)

    async def close(self, *, stop: bool = False) -> None:
        await asyncio.gather(*(fleet.close(stop=stop) for fleet in self._fleets.values()))
        self._fleets.clear()

    async def follow(self, events: AsyncIterable[object]) -> None:
        """Take up what others wrote into the tables, and told of. Returns when there are no more events."""
        async for event in events:
            match event:
                case VersionCreated() | VersionChanged() | TrafficMoved():
                    await self._take_up(event.api_id)
                case ApiChanged() if (fleet := self._fleets.get(event.api_id)) and not fleet.api.directory:
                    await fleet.refresh()
                case Lost():
                    for fleet in list(self._fleets.values()):
                        await self._take_up(fleet.api.id)
                case ApiRemoved():
                    self._fleets.pop(event.api_id, None)

    async def _take_up(self, api_id: ApiId) -> None:
        fleet = self._fleets.get(api_id)
        if fleet is None:
            api = await self._shop.storage.read(lambda tx: tx.registry.get(api_id))
            if api is None or api.directory or api.stage is ApiStage.REMOVED:
                return  # what is made here has its fleet already
            fleet = await self.fleet(api)
        else:
            await fleet.refresh()
        if not fleet.api.directory:
            await self._catch_up(fleet)

    async def _catch_up(self, fleet: Fleet) -> None:
        """An API without a directory follows its newest release, unless the traffic was moved back from that: then only
        where it leads to a version that was yanked. One whose every version was yanked is stopped."""
        if not fleet.runs:
            return
        if fleet.versions and all(version.is_yanked for version in fleet.versions.values()):
            await fleet.stop_all()
            return
        newest, traffic = fleet.newest, fleet.traffic
        taken_back = any(
            fleet.versions[semver].is_yanked for semver in traffic.pointer.versions & fleet.versions.keys()
        )
        seen = any(newest in pointer.versions for pointer in (traffic.pointer, *traffic.earlier))
        waiting = fleet.move is not None and fleet.move.target == newest
        if newest is not None and (taken_back or not seen) and not waiting:
            # One that did not start is not started over and over; where it serves after all, it is gone for again.
            runner = fleet.runners.get(newest)
            if fleet.tried == (newest, taken_back) and (runner is None or runner.live is None):
                return
            fleet.tried = (newest, taken_back)
            try:
                await fleet.begin(Move(newest))
            except ApimarketError as error:
                logger.error("%s %s cannot be run: %s", fleet.api.full_name, newest, error.detail)

    # -- Questions ---------------------------------------------------------------------------------------------------

    async def fleet(self, api: Api) -> Fleet:
        """Its versions, as they are now; none of an API that has none."""
        async with self._opening:
            fleet = self._fleets.get(api.id)
            if fleet is None:
                fleet = Fleet(api, self._shop, self._run_directory)
                await fleet.refresh()
                self._fleets[api.id] = fleet
            return fleet

    def known(self, api_id: ApiId) -> Fleet | None:
        """The same without waiting: None also where nobody asked for it yet."""
        return self._fleets.get(api_id)

    async def log(self, api: Api, semver: str) -> LogBook:
        """Raises VersionNotFound."""
        return (await (await self.fleet(api)).runner(semver)).log

    def runners(self) -> Iterable[Runner]:
        return [runner for fleet in self._fleets.values() for runner in fleet.runners.values()]

    # -- Acts --------------------------------------------------------------------------------------------------------

    async def make(self, api: Api, semver: str) -> ApiVersion:
        """Make a version of what serves now. One that is there already, with the very same files, is that version.

        Raises InvalidSemver, VersionTooLow, OtherFiles, NothingToDeploy."""
        fleet, tree = await self.fleet(api), await self._tree_of(api)
        there = fleet.versions.get(semver)
        if there is not None and (tree is None or tree.digest == there.tree):
            return there
        if there is not None and tree is not None:
            newest = newest_release(fleet.versions.values()) or there
            raise OtherFiles(api.full_name, semver, there.tree, tree.digest, next_version(newest.semver, Bump.PATCH))
        check_next(api.full_name, semver, fleet.versions.values())
        if tree is None:
            raise NothingToDeploy(api.full_name, "has no directory, and nothing serves")
        version = await self._version_of(api, semver, tree, fleet)

        def act(tx: Tx) -> None:
            tx.deployments.add_tree(tree)
            if tx.versions.add(version):
                tx.emit(VersionCreated(api.id, semver))

        await self._shop.storage.write(act)
        await fleet.refresh()
        return version

    async def begin(self, api: Api, move: Move) -> Fleet:
        """Run a version that there is, and move the traffic or a channel to it once it is ready. Raises
        VersionNotFound, NothingToRollBack, NothingToDeploy."""
        fleet = await self.fleet(api)
        if move.target != DEV:
            fleet.get(move.target)
        elif not api.directory:
            raise VersionNotFound(api.full_name, DEV, list(fleet.versions))
        if move.back and fleet.traffic.back() is None:
            raise NothingToRollBack(api.full_name)
        await fleet.begin(move)
        return fleet

    async def roll_back(self, api: Api, target: str | None) -> Fleet:
        """The traffic as it was before the last move, or to `target`. Raises NothingToRollBack, and what `begin`
        does."""
        if target is not None:
            return await self.begin(api, Move(target))
        fleet = await self.fleet(api)
        back = fleet.traffic.back()
        target = max(back.pointer.shares, key=lambda share: share[1])[0] if back is not None else None
        # Before its first version what was published here led nowhere.
        if target is None or (target == DEV and not api.directory):
            raise NothingToRollBack(api.full_name)
        # What follows its newest release must remember that it was there, or it would go there again.
        return await self.begin(api, Move(target, back=bool(api.directory)))

    async def start(self, api: Api, semver: str) -> Fleet:
        """Run a version, with the traffic as it is."""
        fleet = await self.fleet(api)
        await fleet.run(semver)
        return fleet

    async def stop(self, api: Api, semver: str) -> Fleet:
        """End a version that has no traffic. Raises VersionNotFound, VersionInTraffic."""
        fleet = await self.fleet(api)
        await fleet.stop(semver)
        return fleet

    async def mark(self, api: Api, semver: str, *, ending: Ending | None = None, yank: bool | None = None,
                   reason: str = "") -> Fleet:  # fmt: skip
        """Say, or take back, what stands in the future of a version. Raises VersionNotFound, InvalidSunset."""
        fleet = await self.fleet(api)
        version, now = fleet.get(semver), self._shop.system.now()
        sunset_at = ending.sunset_at if ending is not None else None
        if sunset_at is not None and sunset_at < now and sunset_at != version.sunset_at:
            raise InvalidSunset(sunset_at, now)

        def act(tx: Tx) -> None:
            if ending is not None:
                since = version.deprecated_at or now
                tx.versions.deprecate(api.id, semver, since if ending.deprecated else None, sunset_at)
            if yank is not None:
                tx.versions.yank(api.id, semver, (version.yanked_at or now) if yank else None, reason)
            tx.emit(VersionChanged(api.id, semver))

        await self._shop.storage.write(act)
        await fleet.refresh()
        return fleet

    async def put_channel(self, api: Api, name: str, semver: str) -> Fleet:
        """Have a channel lead to a version, which is run if it does not yet. Raises what `begin` does."""
        return await self.begin(api, Move(semver, weight=0, channel=name))

    async def remove_channel(self, api: Api, name: str) -> Fleet:
        """Unknown: nothing happens."""
        fleet = await self.fleet(api)

        def act(tx: Tx) -> None:
            led_to = tx.versions.channels(api.id).get(name)
            if led_to is not None:
                tx.versions.remove_channel(api.id, name)
                tx.emit(VersionChanged(api.id, led_to))

        await self._shop.storage.write(act)
        await fleet.refresh()
        return fleet

    async def run_traffic(self, api: Api) -> None:
        """Run whatever versions the traffic leads to; of an API without a directory, the newest at least."""
        fleet = await self.fleet(api)
        await fleet.run_all(sorted(fleet.pointer.versions & fleet.versions.keys()))

    async def restart(self, api: Api) -> None:
        """Fresh processes of whatever versions the traffic leads to, with nothing dropped."""
        fleet = await self.fleet(api)
        for semver in sorted(fleet.pointer.versions & fleet.versions.keys()):
            runner = await fleet.runner(semver)
            running = runner.live is not None
            await fleet.run(semver)
            if running:
                runner.wake(again=True)

    async def renew(self, api: Api, secret: str) -> bool:
        """Start whatever runs and sees that secret afresh, and try again what failed for want of it; whether any
        does."""
        fleet = self._fleets.get(api.id)
        if fleet is None:
            return False
        renewed = fleet.renew(secret)
        if not fleet.api.directory:
            await self._catch_up(fleet)
        return renewed

    async def stop_all(self, api: Api) -> None:
        if (fleet := self._fleets.get(api.id)) is not None:
            await fleet.stop_all()

    async def remove(self, api: Api) -> list[Runner]:
        """End and forget all of them; returns those that could not be ended."""
        fleet = self._fleets.pop(api.id, None)
        return await fleet.remove() if fleet is not None else []

    # -- Small parts -------------------------------------------------------------------------------------------------

    async def _version_of(self, api: Api, semver: str, tree: Tree, fleet: Fleet) -> ApiVersion:
        manifest: Mapping[str, object] = json.loads(json.dumps(manifest_document(await self._manifest(api, tree))))
        newest = max(fleet.versions.values(), key=lambda version: version.created_at, default=None)
        parents = (newest.id,) if newest is not None else ()
        document = version_document(api.full_name, semver, tree.digest, parents, manifest)
        return ApiVersion(
            id=version_id(document),
            api_id=api.id,
            semver=semver,
            tree=tree.digest,
            document=document,
            parents=parents,
            signer=None,
            public_key=None,
            signature=None,
            published_by=api.user_id,
            created_at=self._shop.system.now(),
        )

    async def _manifest(self, api: Api, tree: Tree) -> Manifest:
        """What the files say. Raises InvalidManifest."""
        entry = tree.entries.get(MANIFEST_NAME)
        if entry is None:
            return api.manifest
        path = self._shop.blobs.path(Digest(entry.sha256))
        return parse(await asyncio.to_thread(path.read_text, "utf-8", "replace"))
