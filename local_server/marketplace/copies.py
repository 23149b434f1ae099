"""Searches the copies of other servers' catalogues. What is here is answered at once, with its age; the copy is
brought up to date behind that."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from local_server.domain.catalogue_copy import CatalogueCopy
from local_server.domain.catalogue_search import Mark, mark_of
from local_server.domain.errors import ApimarketError
from local_server.domain.market_errors import CatalogueNotCopied, CopyNotFound
from local_server.marketplace.catalogue import Found, Question, found_in
from local_server.storage.base import ReadTx, Storage
from local_server.system import System
from local_server.wire.market import SearchView

FRESH_S = 60.0
"""A copy of this age is not worth a question to its marketplace."""


class Follower(Protocol):
    """Who brings the copies up to date."""

    troubles: dict[str, str]

    def refreshing(self, remote: str) -> bool: ...
    def begin(self, remote: str) -> "asyncio.Task[None]": ...
    async def ask(self, remote: str, query: str) -> SearchView: ...
    async def followed(self) -> Sequence[str]: ...
    async def forget(self, remote: str) -> None: ...


@dataclass(frozen=True, slots=True)
class CopyState:
    """A copy, and how it stands now."""

    copy: CatalogueCopy
    age_s: float | None
    refreshing: bool
    trouble: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    found: Found | SearchView
    """A SearchView came from the marketplace itself."""
    state: CopyState


class Copies:
    """`remote_for` says which marketplace is meant; it raises NoRemote."""

    def __init__(
        self, storage: Storage, system: System, follower: Follower, remote_for: Callable[[str | None], Awaitable[str]]
    ) -> None:
        self._storage = storage
        self._system = system
        self._follower = follower
        self._remote_for = remote_for

    async def search(self, remote: str | None, question: Question, live: str | None) -> Answer:
        """From the copy. Where none is whole yet, from the marketplace, asked as `live` says in a URL; None: never.
        Raises NoRemote, CursorRefused, CatalogueNotCopied."""
        url = await self._remote_for(remote)
        mark = mark_of(question.cursor, question.sort) if question.cursor is not None else None
        copy = await self._storage.read(lambda tx: tx.copies.get(url))
        if live is not None and self._is_old(copy) and url in await self._follower.followed():
            self._follower.begin(url)
        if copy is None or not copy.is_whole:
            if live is not None:
                try:
                    return Answer(await self._follower.ask(url, live), self._state(copy or _nothing(url)))
                except ApimarketError as error:
                    self._follower.troubles[url] = error.detail
            if copy is None or not copy.listings:
                raise CatalogueNotCopied(url, self._follower.troubles.get(url, ""))
        found = await self._storage.read(lambda tx: _found(tx, url, question, mark))
        return Answer(found, self._state(copy))

    async def all(self) -> Sequence[CopyState]:
        """Of every marketplace that is followed, by URL."""
        copies = {copy.remote: copy for copy in await self._storage.read(lambda tx: tx.copies.all())}
        return [self._state(copies.get(url) or _nothing(url)) for url in await self._follower.followed()]

    async def refresh(self, remote: str | None) -> CopyState:
        """Bring it up to date, or begin it; returns how it stands before. Raises NoRemote."""
        url = await self._remote_for(remote)
        copy = await self._storage.read(lambda tx: tx.copies.get(url))
        self._follower.begin(url)
        return self._state(copy or _nothing(url))

    async def forget(self, remote: str) -> None:
        """Raises CopyNotFound."""
        if await self._storage.read(lambda tx: tx.copies.get(remote)) is None:
            raise CopyNotFound(remote)
        await self._follower.forget(remote)

    def _is_old(self, copy: CatalogueCopy | None) -> bool:
        return copy is None or copy.checked_at is None or self._age_s(copy.checked_at) > FRESH_S

    def _state(self, copy: CatalogueCopy) -> CopyState:
        age_s = self._age_s(copy.checked_at) if copy.checked_at is not None else None
        trouble = self._follower.troubles.get(copy.remote)
        return CopyState(copy, age_s, self._follower.refreshing(copy.remote), trouble)

    def _age_s(self, at: datetime) -> float:
        """At least 0: the clock may have been put back."""
        return max((self._system.now() - at).total_seconds(), 0.0)


def _nothing(url: str) -> CatalogueCopy:
    return CatalogueCopy(url, "", 0, 0, None)


def _found(tx: ReadTx, url: str, question: Question, mark: Mark | None) -> Found:
    return found_in(tx.copies.search(url), question, mark)
