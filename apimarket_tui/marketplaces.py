"""Which marketplaces there are, the one that is looked at, and copies of their catalogues.

This machine's own server is one of them; the others are those with a session. Copies are read and written off the loop.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from apimarket_tui.accounts import Accounts, Connect
from apimarket_tui.backend import MarketServer, Trouble, attempt
from apimarket_tui.catalogue import Catalogue
from local_server.client import copies

RENEW = timedelta(minutes=5)
"""A copy that is older is renewed when its marketplace is looked at."""
MOST_PAGES = 100


@dataclass(frozen=True, slots=True)
class Place:
    url: str
    handle: str
    """Who one is there; empty on this machine."""
    token: str

    @property
    def here(self) -> bool:
        return not self.handle

    @property
    def title(self) -> str:
        return "this machine" if self.here else urlsplit(self.url).netloc


class Marketplaces:
    """`directory` is the data directory; None keeps no copies beyond this run."""

    def __init__(
        self,
        directory: Path | None,
        own: MarketServer,
        accounts: Accounts,
        connect: Connect,
        clock: Callable[[], datetime],
    ) -> None:
        self._directory, self._own, self._accounts, self._connect = directory, own, accounts, connect
        self._clock = clock
        self._chosen = ""
        self._servers: dict[Place, MarketServer] = {}
        self._copies: dict[str, Catalogue] = {}
        self._renewing = asyncio.Lock()

    # -- Which

    def all(self) -> list[Place]:
        """Those with a session first, the newest session before others; this machine last."""
        others = [Place(one.url, one.handle, one.token) for one in self._accounts.live if one.url != self._own.url]
        return [*others, Place(self._own.url, "", "")]

    @property
    def current(self) -> Place:
        places = self.all()
        return next((place for place in places if place.url == self._chosen), places[0])

    def turn(self) -> Place:
        """Look at the next one."""
        places = self.all()
        following = places[(places.index(self.current) + 1) % len(places)]
        self._chosen = following.url
        return following

    def server(self, place: Place) -> MarketServer:
        if place.here:
            return self._own
        if place not in self._servers:
            self._servers[place] = self._connect(place.url, place.token)
        return self._servers[place]

    async def close(self) -> None:
        servers, self._servers = self._servers, {}
        for server in servers.values():
            await server.close()

    # -- Copies

    def known(self, place: Place) -> Catalogue | None:
        """The copy as far as it was read already."""
        return self._copies.get(place.url)

    async def copy(self, place: Place) -> Catalogue:
        """The copy as it was kept, perhaps an empty one."""
        if place.url not in self._copies:
            directory = self._directory
            kept = await asyncio.to_thread(copies.read, directory, place.url) if directory is not None else None
            read = await asyncio.to_thread(Catalogue.read, kept)
            self._copies.setdefault(place.url, read)
        return self._copies[place.url]

    async def renew(self, place: Place) -> Trouble | None:
        """Fetch what changed since the copy was made, if it is not a new one, and keep the result."""
        async with self._renewing:
            copy = await self.copy(place)
            if copy.read_at is not None and self._clock() - copy.read_at < RENEW:
                return None
            trouble = await self._fetch(place, copy)
            if trouble is None and self._directory is not None:
                directory = self._directory
                await asyncio.to_thread(lambda: copies.keep(directory, place.url, copy.written()))
            return trouble

    async def _fetch(self, place: Place, copy: Catalogue) -> Trouble | None:
        server = self.server(place)
        for _ in range(MOST_PAGES):
            page = await attempt(server.catalogue(copy.next))
            if isinstance(page, Trouble):
                return page
            if page.next < copy.next:
                # A marketplace whose feed begins anew: what is here is of another one.
                copy.clear()
                continue
            copy.take(page.changes)
            copy.next = page.next
            if page.complete:
                break
        copy.read_at = self._clock()
        return None
