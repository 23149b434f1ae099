"""The answers that are kept: on a shelf for each generation, so that none is ever given in a later one's place.

All shelves together are bounded, and so is each; what was not asked for longest makes room.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from local_server.gateway.cache_rules import Ask, Instant, Stored

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from local_server.domain.routing import Route
    from local_server.gateway.cache_rules import Key

MOST_BYTES = 64 * 1024 * 1024
SHELF_BYTES = 16 * 1024 * 1024
ONE_BYTES = 1024 * 1024
"""A longer body is not kept."""
OWN_BYTES = 1024
"""About what an answer takes beside what it holds."""
_LINE_BYTES = 100
MOST_VARIANTS = 16
"""Of one URL and key: for values of the headers that `Vary` names."""
ALONE_S = 10.0
"""For how long nobody waits for another's answer where that turned out to be for nobody else."""
_MOST_ALONE = 1024
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

Place = tuple["Key", "str | None"]
"""What is asked, and with which key; None: with any."""


class Cache:
    def __init__(self, now: Callable[[], datetime], most_bytes: int = MOST_BYTES) -> None:
        self._now = now
        self._most_bytes = most_bytes
        self.bytes = 0
        self._by_use: OrderedDict[int, tuple[Shelf, Stored]] = OrderedDict()

    def now(self) -> Instant:
        return Instant(self._now().timestamp(), time.monotonic())

    def shelf(self) -> Shelf:
        """For another generation."""
        return Shelf(self)

    def put(self, shelf: Shelf, stored: Stored) -> None:
        """For `Shelf`: counts it, and makes room."""
        self._by_use[id(stored)] = (shelf, stored)
        self.bytes += stored.size
        while self.bytes > self._most_bytes:
            where, oldest = next(iter(self._by_use.values()))
            where.drop(oldest)

    def used(self, stored: Stored) -> None:
        self._by_use.move_to_end(id(stored))

    def take(self, stored: Stored) -> None:
        """For `Shelf`: it is no longer kept."""
        del self._by_use[id(stored)]
        self.bytes -= stored.size


class Shelf:
    """Of one generation: what it answered, and what it is being asked."""

    def __init__(self, cache: Cache, most_bytes: int = SHELF_BYTES) -> None:
        self.cache = cache
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: dict[bytes, dict[Place, list[Stored]]] = {}
        """By target, so that a change finds all of one."""
        self._by_use: OrderedDict[int, Stored] = OrderedDict()
        self._flights: dict[Place, asyncio.Event] = {}
        self._alone: OrderedDict[Place, float] = OrderedDict()
        self._closed = False
        self.changes = 0
        """How often something was said to have changed."""

    # -- What is kept ------------------------------------------------------------------------------------------------

    def find(self, ask: Ask) -> Stored | None:
        """What answers `ask`, however old. What is for everybody comes last."""
        places = self._kept.get(ask.target)
        if places is None:
            return None
        for audience in (ask.audience, None) if ask.audience is not None else (None,):
            for stored in places.get((ask.key, audience), ()):
                if stored.answers(ask):
                    self._by_use.move_to_end(id(stored))
                    self.cache.used(stored)
                    return stored
        return None

    def knows(self, ask: Ask) -> bool:
        """Whether something is kept of that URL, for whomever."""
        return ask.target in self._kept

    def put(self, stored: Stored, *, instead: Ask) -> None:
        """Keep it in place of what answers the same request. What is too large is not kept."""
        place = (stored.key, stored.audience)
        for old in tuple(self._kept.get(stored.key[3], {}).get(place, ())):
            if old.answers(instead):
                self.drop(old)
        if self._closed or stored.size > min(ONE_BYTES, self._most_bytes):
            return
        variants = self._kept.setdefault(stored.key[3], {}).setdefault(place, [])
        variants.append(stored)
        self._by_use[id(stored)] = stored
        self._bytes += stored.size
        self.cache.put(self, stored)
        if len(variants) > MOST_VARIANTS:
            self.drop(variants[0])
        while self._bytes > self._most_bytes:
            self.drop(next(iter(self._by_use.values())))

    def drop(self, stored: Stored) -> None:
        target, place = stored.key[3], (stored.key, stored.audience)
        places = self._kept[target]
        places[place] = [one for one in places[place] if one is not stored]
        if not places[place]:
            del places[place]
        if not places:
            del self._kept[target]
        del self._by_use[id(stored)]
        self._bytes -= stored.size
        self.cache.take(stored)

    def forget(self, stored: Stored) -> None:
        """Drop it, if it is still kept."""
        if id(stored) in self._by_use:
            self.drop(stored)

    def changed(self, target: bytes) -> None:
        """What the URL means was changed (RFC 9111, 4.4): forget what was answered, to whomever, on every host. What
        is being answered just now is not kept."""
        self.changes += 1
        for variants in tuple(self._kept.get(target, {}).values()):
            for stored in variants:
                self.drop(stored)

    def clear(self) -> None:
        """Forget everything, and what is being answered too."""
        self.changes += 1
        for stored in tuple(self._by_use.values()):
            self.drop(stored)

    def close(self) -> None:
        """Its generation has ended. May be called twice."""
        self._closed = True
        self.clear()

    # -- What is being asked -----------------------------------------------------------------------------------------

    def flight(self, flight: Place) -> asyncio.Event | None:
        """Set when somebody else's like question has been answered; None: nobody is asking, or there is no use in
        waiting for it."""
        until_s = self._alone.get(flight)
        if until_s is not None:
            if time.monotonic() < until_s:
                return None
            del self._alone[flight]
        return self._flights.get(flight)

    def take_off(self, flight: Place) -> asyncio.Event | None:
        """The caller asks, and others may wait; None where they shall not, or wait for another already."""
        if flight in self._alone or flight in self._flights:
            return None
        self._flights[flight] = landed = asyncio.Event()
        return landed

    def land(self, flight: Place, landed: asyncio.Event) -> None:
        """The question has been answered, or will not be. May be called twice."""
        if self._flights.get(flight) is landed:
            del self._flights[flight]
        landed.set()

    def alone(self, flight: Place) -> None:
        """For a while nobody shall wait for another's answer to this."""
        self._alone[flight] = time.monotonic() + ALONE_S
        if len(self._alone) > _MOST_ALONE:
            self._alone.popitem(last=False)


def size_of(stored: Stored) -> int:
    lines = sum(len(name) + len(value) + _LINE_BYTES for name, value in stored.headers)
    return OWN_BYTES + len(stored.body) + lines + sum(map(len, stored.key))


def note_change(shelf: Shelf, route: Route, method: str, target: bytes, status: int) -> None:
    """The API answered: to anything but a question, that what the URL means has changed."""
    if route.cache_ttl_s and method not in _SAFE and status < 400:
        shelf.changed(target)
