"""The boxes of one API, or of one version of it: at most one a replica for new generations, beside those whose
generations still serve or drain."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from local_server.domain.errors import ApimarketError
from local_server.domain.manifest import Manifest
from local_server.domain.registry import Api
from local_server.executor.box import Box
from local_server.executor.engine import LayerRequest, Sandbox, SandboxSpec
from local_server.executor.logs import LogBook
from local_server.executor.workshop import Workshop

GRACE_S, LEFT_GRACE_S = 10.0, 1.0
"""For a sandbox to end by itself; and for one that could not be told to when it should have been."""


class Boxes:
    def __init__(
        self,
        api: Api,
        shop: Workshop,
        log: LogBook,
        lost: Callable[[Box, int | None], None],
        progress: Callable[[str], None],
        version: str = "",
    ) -> None:
        self._api = api
        self._shop = shop
        self._log = log
        self._lost = lost
        self._progress = progress
        self._version = version
        self._all: set[Box] = set()
        self._current: dict[int, Box] = {}
        """Where new generations start, by replica; missing before the first one, and after it was lost."""
        self._specs: dict[Box, SandboxSpec] = {}
        """What each was made of; adopted ones have none."""
        self._lent: list[Box] = []
        """Where a generation on loan starts or runs, once for each."""
        self._opening: dict[int, tuple[str, asyncio.Task[Box]]] = {}
        self._size = 1
        self.left: set[Box] = set()
        """Could not be ended, since the engine did not answer."""

    def adopt(self, sandbox: Sandbox, manifest: Manifest) -> Box:
        """Take over a sandbox that an earlier server started."""
        return self._keep(sandbox, _key(sandbox.layer_key, manifest))

    def prefer(self, boxes: Iterable[Box]) -> None:
        """New generations start in these, the first of each replica."""
        for box in boxes:
            self._current.setdefault(box.replica, box)

    def resize(self, size: int) -> None:
        """How many replicas there are from now on. Boxes beyond that take no new generations."""
        self._size = size
        for box in self._all:
            box.label = self._label(box)
        self._current = {replica: box for replica, box in self._current.items() if replica <= size}
        for replica in [replica for replica in self._opening if replica > size]:
            self._opening.pop(replica)[1].cancel()

    async def key(self, source: Path, manifest: Manifest) -> str:
        """Names the box that a tree with this manifest needs."""
        request = LayerRequest(manifest.runtime, manifest.runtime_version, source)
        return _key(await asyncio.to_thread(self._shop.engine.layer_key, request), manifest)

    def ready(self, key: str, replica: int = 1) -> Box | None:
        """A box of that key that is there already; new generations of the replica start there from now on."""
        for box in self._all:
            if box.alive and box.key == key and box.replica == replica:
                self._current[replica] = box
                return box
        return None

    def first(self, key: str, size: int) -> Box | None:
        """Of the replicas up to `size`, the first that has a box of that key."""
        return next((box for replica in range(1, size + 1) if (box := self.ready(key, replica))), None)

    async def open(self, key: str, source: Path, manifest: Manifest, replica: int = 1, like: Box | None = None) -> Box:
        """The box of that key: the current one, or a new one on a layer that is installed first if it must be, or on
        that of `like`, which has the same key.

        Cancelling the caller does not end the work, since the next save most likely wants the same box; asking for
        another key does. Raises what Engine.prepare and Engine.start raise."""
        if (box := self.ready(key, replica)) is not None:
            return box
        opening = self._opening.get(replica)
        if opening is not None and (opening[0] != key or opening[1].done()):
            opening[1].cancel()
            opening = None
        if opening is None:
            spec = self._specs.get(like) if like is not None else None
            work = self._make_current(key, source, manifest, replica, spec)
            task = asyncio.create_task(work, name=f"open-{self._api.slug}")
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # also when nobody waits
            opening = self._opening[replica] = key, task
        return await asyncio.shield(opening[1])

    async def beside(self, key: str, source: Path, manifest: Manifest) -> Box:
        """A box of that key for a loan: one that there is, or a new one that is not the current one. It stays until
        `take_back`. Raises what Engine.prepare and Engine.start raise; cancelling ends the work."""
        box = next((box for box in self._all if box.alive and box.key == key), None)
        if box is None:
            box = await self._make(key, await self._spec(source, manifest))
        self._lent.append(box)
        return box

    async def take_back(self, box: Box) -> None:
        """The loan is over."""
        self._lent.remove(box)
        await self.close_idle()

    async def close_idle(self) -> None:
        """End every box that is neither current nor in use."""
        kept = {*self._current.values(), *self._lent}
        idle = [box for box in self._all if not (box in kept or box.busy)]
        self._all.difference_update(idle)
        await asyncio.gather(*(self._close(box) for box in idle))

    async def close(self) -> None:
        """End all of them. Those that the engine does not let end stay in `left`, for `close_left`."""
        await self._stop_opening()
        boxes, self._all, self.left = self._all | self.left, set(), set()
        self._current.clear()
        await asyncio.gather(*(self._close(box) for box in boxes))

    async def close_left(self) -> None:
        """Try again to end what could not be ended."""
        boxes, self.left = self.left, set()
        await asyncio.gather(*(self._close(box, LEFT_GRACE_S) for box in boxes))

    async def _close(self, box: Box, grace_s: float = GRACE_S) -> None:
        try:
            await box.close(grace_s)
        except ApimarketError as error:
            self._log.add(0, "apimarket", f"its sandbox is still there: {error.detail}")
            self.left.add(box)
        except asyncio.CancelledError:
            self.left.add(box)
            raise

    async def detach(self) -> None:
        """Let go of all of them; under Docker they run on."""
        await self._stop_opening()
        boxes, self._all = self._all | self.left, set()
        self._current.clear()
        await asyncio.gather(*(box.detach() for box in boxes))

    async def _stop_opening(self) -> None:
        tasks = [task for _, task in self._opening.values()]
        self._opening.clear()
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError, Exception):
                await task

    async def _make_current(
        self, key: str, source: Path, manifest: Manifest, replica: int, spec: SandboxSpec | None
    ) -> Box:
        spec = replace(spec or await self._spec(source, manifest), replica=replica)
        box = self._current[replica] = await self._make(key, spec)
        return box

    async def _spec(self, source: Path, manifest: Manifest) -> SandboxSpec:
        """What a box for that tree is made of, its layer being installed."""
        request = LayerRequest(manifest.runtime, manifest.runtime_version, source)
        layer = await self._shop.engine.prepare(request, self._progress)
        trees = self._shop.trees(self._api.id, self._version)
        trees.mkdir(parents=True, exist_ok=True)
        return SandboxSpec(
            api_id=self._api.id,
            name=self._api.full_name + (f"@{self._version}" if self._version else ""),
            runtime=manifest.runtime,
            runtime_version=manifest.runtime_version,
            layer=layer,
            trees=trees,
            memory_mb=manifest.run.memory_mb,
            cpus=manifest.run.cpus,
            egress=manifest.run.egress,
            version=self._version,
        )

    async def _make(self, key: str, spec: SandboxSpec) -> Box:
        box = self._keep(await self._shop.engine.start(spec), key)
        self._specs[box] = spec
        return box

    def _keep(self, sandbox: Sandbox, key: str) -> Box:
        box = Box(sandbox, key, self._log, self._ended)
        box.label = self._label(box)
        self._all.add(box)
        return box

    def _label(self, box: Box) -> int:
        return box.replica if max(self._size, box.replica) > 1 else 0

    def _ended(self, box: Box, number: int | None) -> None:
        if number is None:
            self._all.discard(box)
            self._specs.pop(box, None)
            if self._current.get(box.replica) is box:
                del self._current[box.replica]
        self._lost(box, number)


def same_runtime(key: str, other: str) -> bool:
    """Whether two keys name the same language and version: code for one can at least be tried in the other."""
    return key.partition(":")[0] == other.partition(":")[0]


def _key(layer_key: str, manifest: Manifest) -> str:
    run = manifest.run
    return f"{manifest.runtime}{manifest.runtime_version or ''}:{layer_key}:{run.memory_mb}:{run.cpus}:{run.egress}"
