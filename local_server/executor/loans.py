"""Lends a generation that does not serve: one that is still warm, or one that has ended and is started again for it
from its kept tree, beside what serves and without traffic.

One that was started again stays for some seconds after its last use, so that the next comparison is quick; an API has
at most one such at a time.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from local_server.domain.deployments import Failure, Generation
from local_server.domain.exchange_errors import GenerationNotFound, GenerationNotStarted
from local_server.domain.gateway_errors import ApiUnavailable
from local_server.domain.manifest import Manifest
from local_server.domain.registry import Api
from local_server.domain.trees import Tree
from local_server.executor.box import Box, StartFailed
from local_server.executor.boxes import Boxes
from local_server.executor.launch import Launch, launch
from local_server.executor.live import Line, Live
from local_server.executor.past import Past
from local_server.executor.snapshot import lay_out
from local_server.executor.traffic import Lane
from local_server.executor.workshop import Workshop

LONGEST_START_S = 120.0
"""Its dependencies may have to be installed again."""
STOPPED = Failure("superseded", "It was stopped before it was ready")


@dataclass(eq=False, slots=True)
class _Loan:
    number: int
    box: Box
    lane: Lane

    @property
    def alive(self) -> bool:
        return self.box.alive and self.box.has(self.number)


class Loans:
    """Of one API. `manifest_of` tells what a tree says of itself."""

    def __init__(
        self,
        api: Api,
        shop: Workshop,
        line: Line,
        boxes: Boxes,
        past: Past,
        manifest_of: Callable[[Tree], Awaitable[Manifest]],
    ) -> None:
        self._api = api
        self._shop = shop
        self._line = line
        self._boxes = boxes
        self._past = past
        self._manifest_of = manifest_of
        self._turn = asyncio.Lock()
        self._loan: _Loan | None = None
        self._starting: asyncio.Task[_Loan] | None = None
        self._expiry: asyncio.Task[None] | None = None
        self._ending: asyncio.Future[None] | None = None

    @asynccontextmanager
    async def borrow(self, number: int) -> AsyncIterator[Lane]:
        """A way to one of the kept generations, whether it serves or not, for as long as the context lasts. Raises
        ApiUnavailable while none serves, GenerationNotFound, GenerationNotStarted."""
        api = self._api
        if self._line.live is None:
            raise ApiUnavailable(
                f"{api.full_name} is not answering", hint=f"Start it with: apimarket restart {api.slug}"
            )
        generation, tree = await self._past.generation(number)
        if generation is None or tree is None:
            raise GenerationNotFound(api.full_name, number)
        try:
            async with self.lend(generation, tree) as lane:
                yield lane
        except StartFailed as error:
            raise GenerationNotStarted(api.full_name, number, error.failure) from None

    @asynccontextmanager
    async def lend(self, generation: Generation, tree: Tree) -> AsyncIterator[Lane]:
        """A way to it. Raises StartFailed, and what Engine.prepare, .build and .start raise. Cancelling ends it."""
        live = self._line.live
        if live is not None and live.number == generation.number:
            yield live.lane
        elif (warm := self._line.warm(generation.number)) is not None:
            async with self._beside_the_undo(warm) as lane:
                yield lane
        else:
            async with self._turn:
                loan = await self._started(generation, tree)
                try:
                    yield loan.lane
                finally:
                    self._expire_soon()

    @asynccontextmanager
    async def _beside_the_undo(self, warm: Live) -> AsyncIterator[Lane]:
        warm.guests += 1
        one = warm.standing()[0]
        lane = self._open(warm.generation, one.box, one.ready.port)
        try:
            yield lane
        finally:
            await lane.close()
            warm.guests -= 1
            warm.left.set()

    def _open(self, generation: Generation, box: Box, port: int) -> Lane:
        address = box.sandbox.address(port)
        lane: Lane = self._shop.traffic.open(self._api.id, generation.number, generation.tree, address)
        return lane

    # -- What has ended ----------------------------------------------------------------------------------------------

    async def _started(self, generation: Generation, tree: Tree) -> _Loan:
        if self._expiry is not None:
            self._expiry.cancel()
        loan = self._loan
        if loan is not None and loan.alive and loan.number == generation.number:
            return loan
        await self._end()
        if self._line.live is None:
            raise StartFailed(STOPPED)
        self._starting = asyncio.create_task(self._start(generation, tree), name=f"lend-{self._api.slug}")
        try:
            async with asyncio.timeout(LONGEST_START_S):
                # Of this task the waiting is the only reason to be: whoever gives it up ends it.
                self._loan = await self._starting
        except TimeoutError:
            raise StartFailed(Failure("timeout", f"It was not ready within {LONGEST_START_S:g} s")) from None
        except asyncio.CancelledError:
            if (waiting := asyncio.current_task()) is not None and waiting.cancelling():
                raise
            raise StartFailed(STOPPED) from None  # it was `close` that ended it
        finally:
            self._starting = None
        return self._loan

    async def _start(self, generation: Generation, tree: Tree) -> _Loan:
        manifest = await self._manifest_of(tree)
        number = generation.number
        directory = self._shop.trees(self._api.id) / f"{number}-{tree.digest[:12]}"
        box: Box | None = None
        self._line.lent = number  # from here on its files are needed
        try:
            try:
                await asyncio.to_thread(lay_out, tree, self._shop.blobs, directory)
            except FileNotFoundError:
                raise StartFailed(Failure("snapshot", "A file of this generation is no longer kept")) from None
            box = await self._boxes.beside(await self._boxes.key(directory, manifest), directory, manifest)
            await box.gone(number)
            launching = Launch(generation, tree, manifest, directory, {})
            ready = await launch(self._shop, self._api, launching, box, _silent)
            return _Loan(number, box, self._open(generation, box, ready.port))
        except BaseException:
            await self._give_back(number, box)
            raise

    def _expire_soon(self) -> None:
        if self._loan is not None:
            self._expiry = asyncio.create_task(self._expire(), name=f"lent-{self._api.slug}")

    async def _expire(self) -> None:
        await asyncio.sleep(self._shop.pace.lent_s)
        async with self._turn:
            await self._end()

    async def _end(self) -> None:
        loan, self._loan = self._loan, None
        if loan is not None:
            await loan.lane.close()
            await self._give_back(loan.number, loan.box)

    async def _give_back(self, number: int, box: Box | None) -> None:
        """To its end also where the caller is cancelled."""
        self._ending = asyncio.ensure_future(self._stop(number, box))
        await asyncio.shield(self._ending)

    async def _stop(self, number: int, box: Box | None) -> None:
        if box is not None:
            await box.stop(number)
        self._line.lent = None
        if box is not None:
            await self._boxes.take_back(box)

    async def close(self) -> None:
        """End whatever was started for a loan, and break off what is under way on it."""
        for task in (self._expiry, self._starting):
            if task is not None and not task.done():
                task.cancel()
                await asyncio.wait({task})
        await self._end()
        if self._ending is not None:
            await asyncio.wait({self._ending})


def _silent(_: str) -> None:
    """What is installed or compiled for a loan is not what the API is doing."""
