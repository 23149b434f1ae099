"""A request that the API has to be asked, and what its answer leaves to be given again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from local_server.gateway.cache import ONE_BYTES, Shelf, size_of
from local_server.gateway.cache_hit import Hit
from local_server.gateway.cache_rules import Ask, Instant, Stored, born_at, terms
from local_server.gateway.http_date import http_date

if TYPE_CHECKING:
    import asyncio

    from local_server.gateway.asgi_types import RawHeaders
    from local_server.gateway.cache_rules import Terms
    from local_server.gateway.lane import Lane

# RFC 9111 3.2: what a confirmation does not change, since it tells of a body that it does not have.
_OF_THE_BODY = frozenset({b"content-encoding", b"content-length", b"content-range", b"content-type", b"age"})
_NOT_KEPT = frozenset({b"age", b"content-length", b"transfer-encoding"})


class _Sent(NamedTuple):
    """A question on its way."""

    shelf: Shelf
    changes: int
    """The shelf's, then."""
    at: Instant
    conditional: bool
    """Whether it asks only for what is newer than `Fill.stale`."""


class _Coming(NamedTuple):
    """An answer that may be kept once it is whole."""

    status: int
    headers: RawHeaders
    terms: Terms
    parts: list[bytes]


class Fill:
    """One such request. `land` ends it, in any case."""

    def __init__(self, ask: Ask, method: str, ttl_s: int) -> None:
        self._ask = ask
        self._is_get = method == "GET"
        self._ttl_s = ttl_s
        self.stale: Stored | None = None
        """What is kept, and is good again if the API confirms it."""
        self._looked: Shelf | None = None
        self._landed: asyncio.Event | None = None
        """What others wait for."""
        self._why = b"bypass" if ask.passed_by else b"uri-miss"
        self._sent: _Sent | None = None
        self._coming: _Coming | None = None
        self._length = 0

    def look(self, shelf: Shelf) -> None:
        """See what is kept; and let others wait for the answer, where it may be theirs too."""
        ask = self._ask
        self._looked = shelf
        stored = shelf.find(ask)
        if stored is not None:
            self._why = b"request" if ask.must_check else b"stale"
        elif shelf.knows(ask):
            self._why = b"vary-miss"
        if not self._is_get:
            return
        if stored is not None and stored.conditions():
            self.stale = stored
        if ask.audience is not None and not ask.must_check and (self.stale is not None or not ask.conditional):
            self._landed = shelf.take_off(ask.place)

    def sent(self, lane: Lane) -> tuple[bytes, ...]:
        """The request goes out now; returns the lines that it is to have more. What another generation answered, this
        one is not asked to confirm."""
        shelf, stale = lane.shelf, self.stale
        conditional = stale is not None and shelf is self._looked
        self._sent = _Sent(shelf, shelf.changes, shelf.cache.now(), conditional)
        return stale.conditions() if stale is not None and conditional else ()

    # -- The answer ---------------------------------------------------------------------------------------------------

    def begin(self, status: int, headers: RawHeaders) -> Hit | None:
        """Its head has come. Returns what is to be given in its place, if the API confirmed that."""
        sent, stale, ask = self._sent, self.stale, self._ask
        assert sent is not None
        now = sent.shelf.cache.now()
        if status == 304 and sent.conditional and stale is not None:
            return self._confirmed(sent, stale, headers, now)
        found = terms(ask, status, headers, self._ttl_s, now) if self._may_keep(headers) else None
        shared = found is not None and found.lifetime_s > 0 and not found.always_check
        if self._landed is not None and status < 500 and not shared:
            sent.shelf.alone(ask.place)
        if found is not None:
            self._coming = _Coming(status, headers, found, [])
        if not shared:
            self.land()
        return None

    def _may_keep(self, headers: RawHeaders) -> bool:
        if self._ask.passed_by or not self._is_get:
            return False
        length = next((value for name, value in headers if name == b"content-length"), b"0")
        return length.isdigit() and int(length[:20]) <= ONE_BYTES

    def told(self) -> bytes:
        """`Cache-Status` of an answer that comes from the API."""
        return b"apimarket; fwd=%b%b" % (self._why, b"; stored" if self._coming is not None else b"")

    def take(self, part: bytes, *, last: bool) -> None:
        """Another part of the answer's body."""
        sent, coming = self._sent, self._coming
        if sent is None or coming is None:
            return
        coming.parts.append(part)
        self._length += len(part)
        if self._length > ONE_BYTES:
            self._coming = None
            sent.shelf.alone(self._ask.place)
            self.land()
        elif last:
            self._keep(sent, coming)

    def _keep(self, sent: _Sent, coming: _Coming) -> None:
        body = b"".join(coming.parts)
        headers = [item for item in coming.headers if item[0] not in _NOT_KEPT]
        if not any(name == b"date" for name, _ in headers):
            headers.append((b"date", http_date()))
        headers.append((b"content-length", b"%d" % len(body)))
        if sent.shelf.changes == sent.changes:
            born = born_at(coming.headers, sent.at, sent.shelf.cache.now())
            stored = _stored(self._ask, coming.terms, coming.status, headers, body, born)
            sent.shelf.put(stored, instead=self._ask)
        self.land()

    def _confirmed(self, sent: _Sent, stale: Stored, headers: RawHeaders, now: Instant) -> Hit:
        newer = [item for item in headers if item[0] not in _OF_THE_BODY]
        names = {name for name, _ in newer}
        merged = [item for item in stale.headers if item[0] not in names] + newer
        found = terms(self._ask, stale.status, merged, self._ttl_s, now)
        born = born_at(headers, sent.at, now)
        if found is None or sent.shelf.changes != sent.changes:
            sent.shelf.forget(stale)
            fresh = replace(stale, headers=merged, born=born)
        else:
            fresh = _stored(self._ask, found, stale.status, merged, stale.body, born)
            sent.shelf.put(fresh, instead=self._ask)
        self.land()
        return Hit(fresh, self._ask, now, b"fwd=%b; fwd-status=304" % self._why)

    def land(self) -> None:
        """Nobody need wait any longer. May be called twice."""
        landed, self._landed = self._landed, None
        if landed is not None and self._looked is not None:
            self._looked.land(self._ask.place, landed)


def _stored(ask: Ask, found: Terms, status: int, headers: RawHeaders, body: bytes, born: Instant) -> Stored:
    named = dict(headers)
    stored = Stored(
        key=ask.key,
        audience=found.audience,
        selected=ask.values(found.vary),
        status=status,
        headers=headers,
        body=body,
        lifetime_s=found.lifetime_s,
        always_check=found.always_check,
        etag=named.get(b"etag", b""),
        last_modified=named.get(b"last-modified", b""),
        born=born,
    )
    return replace(stored, size=size_of(stored))
