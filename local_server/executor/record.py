"""What a runner writes down: its state and its generations, in order, and told to listeners once they are kept."""

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import replace

from local_server.domain.deployments import ALLOWED, Deployment, DesiredState, Failure, Generation, Outcome, State
from local_server.domain.errors import ApimarketError
from local_server.domain.events import Event, GenerationFinished, StateChanged, VersionChanged
from local_server.domain.registry import Api
from local_server.domain.trees import Tree
from local_server.executor.logs import LogBook
from local_server.executor.workshop import Workshop
from local_server.storage.base import ReadTx, Tx

logger = logging.getLogger("apimarket.executor")

KEPT_GENERATIONS = 50
PROGRESS_S = 0.25


class Record:
    """Keeps the row of a directory's deployment, and its generations. Nobody waits for its writes but `settled()`; they
    happen in order."""

    def __init__(self, api: Api, shop: Workshop, log: LogBook, row: Deployment) -> None:
        self._api = api
        self._shop = shop
        self._log = log
        self.row = row
        self.failure: Failure | None = None
        self.progress = ""
        self.newest: Generation | None = None
        self.moved = asyncio.Event()
        """Set at the next change of state, and then a new one."""
        self._next_number: int | None = None
        self._order = asyncio.Lock()
        self._writes: set[asyncio.Task[None]] = set()
        self._progress_soon: asyncio.TimerHandle | None = None

    @property
    def state(self) -> State:
        return self.row.state

    async def number(self) -> int:
        """The number of the next generation."""
        if self._next_number is None:
            self._next_number = await self._shop.storage.write(lambda tx: tx.deployments.next_number(self._api.id))
        number = self._next_number
        self._next_number += 1
        return number

    async def kept(self, ready: Collection[int]) -> tuple[Generation, Tree] | None:
        """Which of the generations that an earlier server left may serve on: the one that served last."""
        number = self.row.last_good

        def question(tx: ReadTx) -> tuple[Generation | None, Tree | None]:
            generation = tx.deployments.generation(self._api.id, number or 0)
            return generation, tx.deployments.tree(generation.tree) if generation else None

        generation, tree = await self._shop.storage.read(question)
        return (generation, tree) if generation and tree and generation.number in ready else None

    def change(self, state: State, failure: Failure | None = None, *, desired: DesiredState | None = None) -> None:
        """The deployment is in this state now. The same state with the same failure is no news."""
        if state is self.row.state and failure == self.failure and desired in (None, self.row.desired_state):
            return
        if state is not self.row.state and state not in ALLOWED[self.row.state]:
            raise AssertionError(f"{self._api.slug}: {self.row.state} cannot become {state}")
        self.failure = failure
        self.progress = ""
        self.row = replace(
            self.row,
            state=state,
            desired_state=desired or self.row.desired_state,
            last_error=failure.headline if failure else None,
            updated_at=self._shop.system.now(),
        )
        moved, self.moved = self.moved, asyncio.Event()
        moved.set()
        row = self.row
        self._write(lambda tx: tx.deployments.put(row), self._state_changed())

    def begin(self, generation: Generation, tree: Tree) -> None:
        """A generation starts."""
        self.newest = generation

        def act(tx: Tx) -> None:
            tx.deployments.add_tree(tree)
            tx.deployments.put_generation(generation)

        self._write(act, None)

    def finish(self, generation: Generation) -> None:
        """A generation came to its outcome."""
        if self.newest and self.newest.number == generation.number:
            self.newest = generation

        def act(tx: Tx) -> None:
            tx.deployments.put_generation(generation)
            tx.deployments.prune(self._api.id, KEPT_GENERATIONS)

        self._write(act, GenerationFinished(self._api.id, generation))

    def serve(self, generation: Generation) -> None:
        """A generation serves: it is what comes back after a reboot."""
        self.row = replace(self.row, last_good=generation.number)
        row = self.row
        self._write(lambda tx: tx.deployments.put(row), None)
        self.finish(generation)

    def tell(self) -> None:
        """How many replicas serve has changed, and nothing that is written down."""
        self._shop.publish(self._state_changed())

    def say(self, progress: str) -> None:
        """What long work is doing; told at most four times a second."""
        self.progress = progress
        self._log.add(0, "apimarket", progress)
        if self._progress_soon is None:
            self._progress_soon = asyncio.get_running_loop().call_later(PROGRESS_S, self._tell_progress)

    async def settled(self) -> None:
        """Wait until everything so far is written."""
        if self._progress_soon is not None:
            self._progress_soon.cancel()
        await asyncio.gather(*self._writes)

    def _tell_progress(self) -> None:
        self._progress_soon = None
        self._shop.publish(self._state_changed())

    def _state_changed(self) -> Event:
        return StateChanged(self._api.id, self.row.state, self.failure, self.progress)

    def _write(self, act: Callable[[Tx], None], event: Event | None) -> None:
        task = asyncio.create_task(self._in_order(act, event), name=f"record-{self._api.slug}")
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _in_order(self, act: Callable[[Tx], None], event: Event | None) -> None:
        async with self._order:
            try:
                await self._shop.storage.write(act)
            except ApimarketError as error:
                # Fail open: what serves must serve on when the disk is full. The next change writes the whole row.
                self._log.add(0, "apimarket", f"{error.detail}. {error.hint}")
            except Exception as error:
                logger.exception("the state of %s could not be written", self._api.slug)
                self._log.add(0, "apimarket", f"its state could not be written: {error}")
            if event is not None:
                self._shop.publish(event)


class VersionRecord(Record):
    """The same of a version. Its generations are starts of one and the same tree, so none of them is kept for itself;
    they have numbers of their own."""

    async def number(self) -> int:
        number = self._next_number if self._next_number is not None else (self.row.last_good or 0) + 1
        self._next_number = number + 1
        return number

    def begin(self, generation: Generation, tree: Tree) -> None:
        self.newest = generation

    def finish(self, generation: Generation) -> None:
        if self.newest and self.newest.number == generation.number:
            self.newest = generation

    async def kept(self, ready: Collection[int]) -> tuple[Generation, Tree] | None:
        """Any, since all are of one tree: the newest."""
        # At most one more was starting when the earlier server ended, and its number is known to its sandbox alone.
        self._next_number = max(self.row.last_good or 0, *ready, 0) + 2
        version = await self._shop.storage.read(lambda tx: tx.versions.by_semver(self._api.id, self.row.version))
        if version is None or not ready:
            return None
        tree = await self._shop.storage.read(lambda tx: tx.deployments.tree(version.tree))
        if tree is None:
            return None
        now = self._shop.system.now()
        return Generation(self._api.id, max(ready), version.tree, "", Outcome.SERVING, now), tree

    def _state_changed(self) -> Event:
        return VersionChanged(self._api.id, self.row.version)
