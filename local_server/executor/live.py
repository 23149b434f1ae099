"""The generation that serves, the one before it, and how the traffic moves between them.

A generation gives way in this order: first its new requests, then the ones under way, then, after a while in which an
undo may have it back at once, its processes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from local_server.domain.deployments import Failure, Generation, Outcome, State
from local_server.domain.manifest import Visibility
from local_server.domain.registry import Api
from local_server.domain.routing import Availability, Route
from local_server.domain.trees import Tree
from local_server.executor.box import Box, Ready
from local_server.executor.engine import SandboxUsage
from local_server.executor.launch import Launch
from local_server.executor.record import Record
from local_server.executor.traffic import Lane
from local_server.executor.workshop import Workshop

AVAILABILITY: dict[State, Availability] = {
    State.STOPPED: "stopped",
    State.STOPPING: "stopped",
    State.FAILED: "failed",
}


@dataclass(frozen=True, slots=True)
class Replica:
    """A box in which a generation was ready."""

    box: Box
    ready: Ready

    @property
    def address(self) -> tuple[str, int]:
        """Raises SandboxFailed when it cannot be reached."""
        return self.box.sandbox.address(self.ready.port)


@dataclass(eq=False, slots=True)
class Live:
    """A generation that takes traffic, or did until a moment ago."""

    generation: Generation
    launching: Launch
    """How it came to be, and how more of it are started."""
    replicas: tuple[Replica, ...]
    """Where it is ready: one at least, as many as `size` in the end."""
    lane: Lane
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the wait for an undo is over: one came, or a later generation took this place."""
    guests: int = 0
    """Who has it on loan, and keeps it from being ended."""
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when one of them goes."""

    @property
    def number(self) -> int:
        return self.generation.number

    @property
    def tree(self) -> Tree:
        return self.launching.tree

    @property
    def size(self) -> int:
        return self.launching.manifest.run.replicas

    @property
    def box(self) -> Box:
        return self.replicas[0].box

    @property
    def missing(self) -> list[int]:
        """Replicas that it should have and has not."""
        return others(self.size, *(replica.box for replica in self.replicas))

    def standing(self) -> tuple[Replica, ...]:
        """Those whose processes are still there."""
        return tuple(replica for replica in self.replicas if replica.box.has(self.number))

    async def usage(self) -> SandboxUsage | None:
        """Of all replicas together; None when it cannot be told of any."""
        found = await asyncio.gather(*(replica.box.sandbox.usage() for replica in self.replicas))
        usages = [usage for usage in found if usage is not None]
        memory_bytes = sum(usage.memory_bytes for usage in usages)
        return SandboxUsage(memory_bytes, sum(usage.cpu_seconds for usage in usages)) if usages else None


def others(size: int, *boxes: Box) -> list[int]:
    """The numbers of the replicas that make up that size together with those in the boxes, whatever theirs are."""
    taken = {box.replica for box in boxes}
    return [number for number in range(1, size + 1) if number not in taken][: size - len(boxes)]


class Line:
    """The traffic of one API. `api` and `record` are the runner's; `ended` is called when processes were ended."""

    def __init__(self, api: Api, shop: Workshop, record: Record, ended: Callable[[], Awaitable[None]]) -> None:
        self.api = api
        self.live: Live | None = None
        self._shop = shop
        self._record = record
        self._ended = ended
        self._previous: Live | None = None
        self._giving_way: set[Live] = set()
        self.lent: int | None = None
        """The number of a generation that was started for a loan."""
        self._tasks: set[asyncio.Task[Any]] = set()

    def swap(
        self,
        generation: Generation,
        launching: Launch,
        replicas: tuple[Replica, ...],
        pending: Failure | None = None,
    ) -> Live:
        """Point the traffic at a generation that is ready, in one step; the one before it gives way. `pending` is
        why it serves and not what the directory holds. Raises SandboxFailed when it cannot be reached."""
        first, *others = (replica.address for replica in replicas)
        version, traffic = self._record.row.version, self._shop.traffic
        several = launching.manifest.run.replicas > 1
        lane = traffic.open(generation.api_id, generation.number, generation.tree, first, version, several=several)
        if others:
            traffic.spread(lane, (first, *others))
        old, self.live = self.live, Live(generation, launching, replicas, lane)
        self._record.change(State.RUNNING, pending)
        self.route()
        if old is not None:
            if self._previous is not None:
                self._previous.wanted.set()
            self._previous = old
            self.keep(self._give_way(old))
        return self.live

    def recall(self, tree: Tree) -> bool:
        """Swap back to the generation before, if it served this tree and its processes are still warm."""
        warm = self._previous
        if warm is None or warm.tree.digest != tree.digest or warm.wanted.is_set() or not warm.standing():
            return False
        self._previous = None
        warm.wanted.set()
        live = self.swap(replace(warm.generation, outcome=Outcome.SERVING), warm.launching, warm.standing())
        self._record.serve(live.generation)
        return True

    def join(self, live: Live, replica: Replica) -> None:
        """One more replica of the generation that serves is ready. Raises SandboxFailed when it cannot be reached."""
        self._lead_to(live, tuple(sorted((*live.replicas, replica), key=lambda each: each.box.replica)))

    def lose(self, box: Box, number: int | None) -> Live | None:
        """A ready generation (None: all of the box) ended by itself. Returns it if it was the one that serves; it
        serves on where it has other replicas."""
        live = self.live
        if live is None or number not in (None, live.number) or all(each.box is not box for each in live.replicas):
            return None
        left = tuple(each for each in live.replicas if each.box is not box)
        if left:
            self._lead_to(live, left)
        else:
            self.live = None
            self.keep(live.lane.close())
        return live

    def _lead_to(self, live: Live, replicas: tuple[Replica, ...]) -> None:
        self._shop.traffic.spread(live.lane, [replica.address for replica in replicas])
        live.replicas = replicas
        self._record.tell()

    def route(self) -> None:
        """Tell the gateway what stands here."""
        failure = self._record.failure
        headline = failure.headline if failure else ""
        self._shop.traffic.route(
            Route(
                api_id=self.api.id,
                owner=self.api.owner,
                slug=self.api.slug,
                availability="serving" if self.live else AVAILABILITY.get(self._record.state, "starting"),
                detail=self._record.progress or headline,
                pending_error=headline if self.live else "",
                timeout_s=self.api.manifest.run.timeout_s,
                cors=self.api.manifest.gateway.cors,
                cache_ttl_s=self.api.manifest.gateway.cache_ttl_s,
                max_body_bytes=self.api.manifest.gateway.max_body_mb * 1024 * 1024,
                auth=self._auth,
                rate_limit=self.api.manifest.gateway.rate_limit,
                version=self._record.row.version,
            ),
            self.live.lane if self.live else None,
        )

    @property
    def _auth(self) -> Literal["key", "none"]:
        """On a marketplace nobody calls what is private without a key of its owner's, whatever its files say."""
        hosted = self._shop.hosts and not self.api.directory
        if hosted and self.api.manifest.visibility is Visibility.PRIVATE:
            return "key"
        return self.api.manifest.gateway.auth

    def in_use(self) -> int:
        """The lowest number of a generation whose files are still needed."""
        numbers = [live.number for live in (self.live, *self._giving_way) if live]
        return min(numbers + ([self.lent] if self.lent is not None else []), default=0)

    def warm(self, number: int) -> Live | None:
        """A generation that takes no new requests any more, and whose processes are not about to be ended."""
        return next((old for old in self._giving_way if old.number == number and old.standing()), None)

    def keep(self, work: Coroutine[Any, Any, Any]) -> None:
        """Let something run on beside; `close` ends it."""
        task = asyncio.create_task(work, name=f"line-{self.api.slug}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self, drain_s: float) -> None:
        """Take no more traffic; wait for what is under way."""
        live, self.live = self.live, None
        self.route()
        if live is not None:
            await live.lane.drain(drain_s)
            await live.lane.close()
        await self.detach()

    async def detach(self) -> None:
        """Let go of everything as it is."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._previous = None

    async def _give_way(self, old: Live) -> None:
        self._giving_way.add(old)
        try:
            await self._wind_down(old)
        finally:
            self._giving_way.discard(old)

    async def _wind_down(self, old: Live) -> None:
        self._record.finish(replace(old.generation, outcome=Outcome.DRAINED))
        await old.lane.drain(self._shop.pace.drain_s)
        await old.lane.close()
        try:
            async with asyncio.timeout(self._shop.pace.warm_s):
                await old.wanted.wait()
        except TimeoutError:
            old.wanted.set()
        if self._previous is old:
            self._previous = None
        while old.guests:
            old.left.clear()
            await old.left.wait()
        if self.live is not None and self.live.number == old.number:
            return  # an undo has it back
        self._giving_way.discard(old)  # nobody may have it any more
        await asyncio.gather(*(replica.box.stop(old.number) for replica in old.replicas))
        await self._ended()
