"""Follows the public catalogues of marketplaces, so that they can be searched without a network.

A catalogue tells what changed of it after a number. A copy begins at 0 and goes on from the number it has come to:
what was taken stays, wherever the line breaks or the server is killed.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

from local_server.client.errors import ApimarketClientError, ServerUnreachableError, unexpected
from local_server.client.marketplace import MarketplaceClient
from local_server.domain.catalogue_copy import CatalogueCopy, CopiedChange
from local_server.domain.errors import ApimarketError
from local_server.domain.publish_errors import MarketplaceRefused, MarketplaceUnreachable
from local_server.storage.base import Storage, Tx
from local_server.sync.copied import changes_of
from local_server.system import System
from local_server.wire.market import SearchView

logger = logging.getLogger("apimarket.catalogue")

FIRST_S = 5.0
FOLLOW_S = 900.0
TAKEN_AT_ONCE = 200
"""Changes in one transaction; others wait for the writer no longer than that takes."""
MOST_PAGES = 20_000
"""Of one refresh. A feed that has still not ended then has no end."""
LIVE_S = 8.0

Client = Callable[[str], MarketplaceClient]


class CatalogueFollower:
    """`remotes` are those that should be followed, beside those a copy of which is there."""

    def __init__(
        self, storage: Storage, system: System, remotes: Callable[[], Sequence[str]], client: Client = MarketplaceClient
    ) -> None:
        self._storage = storage
        self._system = system
        self._remotes = remotes
        self._client = client
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self.troubles: dict[str, str] = {}
        """Why the last refresh of each failed, where it did."""

    async def run(self) -> None:
        """Never returns."""
        pause_s = FIRST_S
        try:
            while True:
                await asyncio.sleep(pause_s)
                for remote in await self.followed():
                    await self.refresh(remote)
                pause_s = FOLLOW_S
        finally:
            await self._end()

    async def followed(self) -> Sequence[str]:
        copied = await self._storage.read(lambda tx: [copy.remote for copy in tx.copies.all()])
        return sorted({*copied, *self._remotes(), *self._under_way})

    def refreshing(self, remote: str) -> bool:
        return remote in self._under_way

    async def refresh(self, remote: str) -> None:
        """Bring the copy up to date. Whoever asks meanwhile waits for the same; a failure is in `troubles`."""
        await asyncio.shield(self.begin(remote))

    def begin(self, remote: str) -> asyncio.Task[None]:
        """The refresh that is under way, or a new one."""
        if remote not in self._under_way:
            task = asyncio.create_task(self._refresh(remote), name=f"catalogue of {remote}")
            self._under_way[remote] = task
            task.add_done_callback(lambda _: self._under_way.pop(remote, None))
        return self._under_way[remote]

    async def ask(self, remote: str, query: str) -> SearchView:
        """The marketplace itself. Raises MarketplaceUnreachable, MarketplaceRefused."""
        try:
            async with asyncio.timeout(LIVE_S), self._client(remote) as client:
                return await client.search(query, LIVE_S)
        except TimeoutError:
            raise MarketplaceUnreachable(f"{remote} did not answer within {LIVE_S:.0f} s") from None
        except ServerUnreachableError as error:
            raise MarketplaceUnreachable(error.detail) from error
        except ApimarketClientError as error:
            raise MarketplaceRefused(error.detail, error.hint, error.code, error.status) from error

    async def forget(self, remote: str) -> None:
        if (task := self._under_way.get(remote)) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self.troubles.pop(remote, None)
        await self._storage.write(lambda tx: tx.copies.forget(remote))
        await self._sweep()

    async def _refresh(self, remote: str) -> None:
        try:
            passed_over = await self._copy(remote)
        except (ApimarketClientError, ApimarketError) as error:
            self.troubles[remote] = error.detail
            logger.info("the catalogue of %s could not be copied: %s", remote, error.detail)
        except Exception:
            self.troubles[remote] = "this server failed; its log says how"
            logger.exception("the catalogue of %s could not be copied", remote)
        else:
            self.troubles.pop(remote, None)
            if passed_over:
                logger.warning("the catalogue of %s is too large: %d listings found no room", remote, passed_over)

    async def _copy(self, remote: str) -> int:
        """Returns how many listings found no room. Raises ApimarketClientError, ApimarketError."""
        passed_over, anew = 0, False
        async with self._client(remote) as client:
            copy = await self._storage.read(lambda tx: tx.copies.get(remote))
            for _ in range(MOST_PAGES):
                since = copy.cursor if copy else 0
                feed = await client.catalogue(since)
                if copy is None or feed.origin != copy.origin or feed.next < since:
                    # Another catalogue, or one that was restored from a backup: numbers of it mean something else.
                    if anew:
                        raise unexpected(200, f"{remote} tells of another catalogue at every question")
                    copy, anew = await self._begin(remote, feed.origin[:200]), True
                    if since:
                        continue
                changes = await asyncio.to_thread(changes_of, feed, since)
                if changes is None:
                    raise unexpected(200, f"{remote} tells the changes of its catalogue in no order")
                passed_over += await self._take(remote, changes, feed.next)
                if feed.complete:
                    await self._storage.write(lambda tx: tx.copies.settle(remote, self._system.now()))
                    await self._sweep()
                    return passed_over
                copy = await self._storage.read(lambda tx: tx.copies.get(remote))
        raise unexpected(200, f"{remote} has a catalogue without an end")

    async def _begin(self, remote: str, origin: str) -> CatalogueCopy:
        def begin(tx: Tx) -> CatalogueCopy:
            tx.copies.begin(remote, origin)
            copy = tx.copies.get(remote)
            assert copy is not None
            return copy

        return await self._storage.write(begin)

    async def _take(self, remote: str, changes: Sequence[CopiedChange], cursor: int) -> int:
        passed_over = 0
        for start in range(0, len(changes), TAKEN_AT_ONCE):
            piece = changes[start : start + TAKEN_AT_ONCE]
            upto = piece[-1].changed
            passed_over += await self._storage.write(partial(_taken, remote=remote, changes=piece, cursor=upto))
        return passed_over + await self._storage.write(partial(_taken, remote=remote, changes=(), cursor=cursor))

    async def _sweep(self) -> None:
        while await self._storage.write(lambda tx: tx.copies.sweep(TAKEN_AT_ONCE)):
            pass

    async def _end(self) -> None:
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _taken(tx: Tx, remote: str, changes: Sequence[CopiedChange], cursor: int) -> int:
    return tx.copies.take(remote, changes, cursor)
