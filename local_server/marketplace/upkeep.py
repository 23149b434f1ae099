"""Keeps the marketplace as the rest of the server is: listings follow the registry, standings what was measured,
subscriptions the calendar."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from local_server.domain.catalogue import MEASURED_OVER, Card, quality
from local_server.domain.deployments import Outcome
from local_server.domain.events import ApiChanged, ApiRegistered, ApiRemoved, GenerationFinished
from local_server.domain.ids import ApiId
from local_server.events.bus import Bus
from local_server.marketplace.catalogue import measured_standing, tally_of
from local_server.marketplace.listings import Listings
from local_server.marketplace.subscriptions import Subscriptions
from local_server.storage.base import ReadTx, Storage, Tx
from local_server.system import System

logger = logging.getLogger(__name__)

RENEW_S = 30.0
MEASURE_S = 3600.0
FIRST_MEASURE_S = 60.0
"""After the start: on a machine that is switched off every night the hour might never come."""
WORTH_TELLING = 0.005
"""A quality that changed by so much is news. Age alone brings it about every two weeks."""
PIECE = 100
"""Listings looked at in one transaction."""


class Upkeep:
    def __init__(
        self, storage: Storage, system: System, bus: Bus, listings: Listings, subscriptions: Subscriptions
    ) -> None:
        self._storage = storage
        self._system = system
        self._bus = bus
        self._listings = listings
        self._subscriptions = subscriptions

    async def follow_registry(self) -> None:
        """List what is registered now, then whatever changes. Never returns."""
        async with self._bus.subscribe() as subscription:
            await self._reconcile()
            async for event in subscription:
                match event:
                    case ApiRegistered() | ApiChanged():
                        await self._show(event.api_id)
                    case GenerationFinished() if event.generation.outcome is Outcome.SERVING:
                        await self._show(event.api_id)
                    case ApiRemoved():
                        await self._forget(event.api_id)
                    case _ if not hasattr(event, "api_id"):  # something was missed
                        await self._reconcile()

    async def renew(self) -> None:
        """Never returns."""
        while True:
            renewed = await self._subscriptions.renew()
            await self._storage.write(partial(_prune, before=self._system.now()))
            await asyncio.sleep(0 if renewed else RENEW_S)

    async def keep_measuring(self) -> None:
        """Never returns."""
        pause_s = FIRST_MEASURE_S
        while True:
            await asyncio.sleep(pause_s)
            logger.info("measured %d listings", await self.measure())
            pause_s = MEASURE_S

    async def measure(self) -> int:
        """Put into every standing what its last 30 days were like; returns how many changed."""
        changed, last = 0, ""
        while cards := await self._storage.read(partial(_page, behind_id=last)):
            last = cards[-1].listing.api_id
            changed += await self._storage.write(partial(self._measure_all, cards=cards))
        return changed

    def _measure_all(self, tx: Tx, cards: Sequence[Card]) -> int:
        return sum(self._measure(tx, card) for card in cards)

    def _measure(self, tx: Tx, card: Card) -> bool:
        now = self._system.now()
        standing = measured_standing(card.standing, tally_of(tx, card.listing.api_id, now - MEASURED_OVER))
        now_worth = quality(standing, card.listing.updated_at, now)
        if standing == card.standing and abs(now_worth - card.quality) < WORTH_TELLING:
            return False
        tx.catalogue.stand(card.listing.api_id, standing, now)
        return True

    async def _reconcile(self) -> None:
        for api in await self._storage.read(lambda tx: tx.registry.all()):
            await self._show(api.id)

    async def _show(self, api_id: ApiId) -> None:
        def show(tx: Tx) -> None:
            api = tx.registry.get(api_id)
            if api is not None:
                self._listings.show(tx, api)

        await self._storage.write(show)

    async def _forget(self, api_id: ApiId) -> None:
        await self._storage.write(lambda tx: tx.catalogue.remove(api_id))


def _page(tx: ReadTx, behind_id: str) -> Sequence[Card]:
    return tx.catalogue.all(behind_id, PIECE)


def _prune(tx: Tx, before: datetime) -> int:
    return tx.idempotency.prune(before)
