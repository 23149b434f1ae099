"""Which marketplaces there are, the one that is looked at, and what is asked of it.

This machine's own server is one of them; the others are those with a session.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from apimarket_tui.accounts import Accounts, Connect
from apimarket_tui.backend import Backend, MarketServer, Trouble, attempt
from apimarket_tui.search import Found, Question

PAGE = 50


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
    def __init__(self, own: Backend, accounts: Accounts, connect: Connect, clock: Callable[[], datetime]) -> None:
        self._own, self._accounts, self._connect, self._clock = own, accounts, connect, clock
        self._chosen = ""
        self._servers: dict[Place, MarketServer] = {}

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

    # -- Searching

    async def search(
        self, place: Place, question: Question, *, after: str | None = None, itself: bool = False
    ) -> Found | Trouble:
        """From the copy that the local server keeps of a marketplace elsewhere; with `itself` from the marketplace.
        `after` is the `next` of the page before, which must have been asked for in the same way."""
        words, filters = question.text.strip(), question.filters
        if place.here or itself:
            view = await attempt(self.server(place).search(words, **filters, limit=PAGE, after=after))
            return view if isinstance(view, Trouble) else Found(view, self._clock())
        answer = await attempt(self._own.market_search(words, remote=place.url, **filters, limit=PAGE, after=after))
        if isinstance(answer, Trouble):
            return answer
        now = self._clock()
        return Found(answer, now if answer.live else answer.copied.checked_at or now, answer.copied)
