"""Where the traffic of every API goes: which generations it may go to, and which way its URLs lead. The executor's
`Traffic`, which says so; requests read the outcome, an immutable table."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from local_server.domain.errors import ApimarketError
from local_server.domain.registry_errors import ApiNotFound
from local_server.domain.routing import Steering
from local_server.domain.version_errors import VersionNotFound
from local_server.gateway.admission import full_name
from local_server.gateway.breaker import REST_S
from local_server.gateway.lane import Lane
from local_server.gateway.replicas import SpreadLane
from local_server.gateway.table import Entry, Table, make_group

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from local_server.domain.ids import ApiId
    from local_server.domain.routing import Route
    from local_server.gateway.breaker import Breaker, CircuitState
    from local_server.gateway.cache import Cache
    from local_server.gateway.hosts import Site

logger = logging.getLogger("apimarket.gateway")


class Routing:
    """`changed` is told of each API whose way has changed, `gone` of each that is not there any more; neither may
    block. All methods are to be called on the event loop that serves."""

    def __init__(
        self, cache: Cache, changed: Callable[[ApiId], None], gone: Callable[[ApiId], object], reserved: frozenset[str]
    ) -> None:
        self.cache = cache
        self._changed = changed
        self._gone = gone
        self._table = Table(reserved=reserved)
        self._places: dict[ApiId, dict[str, tuple[Route, Lane | None]]] = {}
        self._steering: dict[ApiId, Steering] = {}
        self._lanes: set[Lane] = set()
        self.shared = False
        """Of the lanes from now on: gateways in other processes lead to the same generations."""

    # -- For the executor ---------------------------------------------------------------------------------------------

    def open(
        self,
        api_id: ApiId,
        generation: int,
        digest: str,
        address: tuple[str, int],
        version: str = "",
        *,
        several: bool = False,
    ) -> Lane:
        """A lane to a generation that is ready, of the directory or of a version. Connects lazily. With `several` it
        runs in more than one place, or will, and `spread` says where."""
        kind = SpreadLane if several else Lane
        lane = kind(api_id, generation, digest, address, self.cache.shelf(), version)
        lane.shared = self.shared
        lane.breaker.changed = lambda breaker: self._circuit_changed(lane, breaker)
        self._lanes = {known for known in self._lanes if not known.closed} | {lane}
        return lane

    def spread(self, lane: Lane, addresses: Sequence[tuple[str, int]]) -> None:
        """From now on a lane that was opened for several leads to these, one at least. One step; what is under way on
        others is broken off."""
        assert isinstance(lane, SpreadLane)
        lane.lead_to(addresses)
        self._changed(lane.api_id)

    def route(self, route: Route, lane: Lane | None) -> None:
        """From now on requests for the route's API, or for the version of it, go to `lane`; with None they are held
        or refused as `route.availability` says. One step: no request sees a state between. Only `lane` keeps what was
        answered there: with another before it the API may have been changed since."""
        for other in self._lanes:
            if (other.api_id, other.version) == (route.api_id, route.version) and other is not lane:
                other.shelf.clear()
        self._places.setdefault(route.api_id, {})[route.version] = (route, lane)
        self._regroup(route.api_id)

    def steer(self, api_id: ApiId, steering: Steering) -> None:
        """From now on the URLs of the API lead to its versions like this. One step. Where the traffic moves, nothing
        that was answered before is given again: what went elsewhere may have changed it."""
        if steering.shares != self._steering.get(api_id, Steering()).shares:
            for lane in self._lanes:
                if lane.api_id == api_id:
                    lane.shelf.clear()
        self._steering[api_id] = steering
        self._regroup(api_id)

    def forget(self, api_id: ApiId) -> None:
        """The API is gone: its URLs answer 404."""
        self._places.pop(api_id, None)
        self._steering.pop(api_id, None)
        self._table = self._table.without(api_id)
        self._gone(api_id)
        self._changed(api_id)

    def _regroup(self, api_id: ApiId) -> None:
        places = self._places.get(api_id)
        if places:
            self._table = self._table.with_group(api_id, make_group(places, self._steering.get(api_id, Steering())))
            self._changed(api_id)

    # -- For requests -------------------------------------------------------------------------------------------------

    def lookup(self, api_id: ApiId, version: str = "") -> Entry | None:
        """What stands at the directory of an API, or at a version of it."""
        return self._table.lookup(api_id, version)

    def find(self, site: Site, raw: bytes) -> tuple[Entry | None, bytes]:
        """The API that a path on a host means, and the rest of the path: empty where the slash is missing that the
        API's own URLs are relative to."""
        if site.slug:
            return self._table.at_site(site), raw
        second = raw.find(b"/", 1)
        third = raw.find(b"/", second + 1)
        if second < 0 or third < 0:
            return self._named(raw[1:]), b""
        return self._named(raw[1:third]), raw[third:]

    def _named(self, name: bytes) -> Entry | None:
        """The API of `owner/slug` or `owner/slug@pin`, which many programs write with `%40`."""
        entry = self._table.by_path.get(name)
        if entry is None and b"%40" in name:
            entry = self._table.by_path.get(name.replace(b"%40", b"@"))
        return entry

    def not_found(self, site: Site, raw: bytes) -> ApimarketError:
        """Why `find` found nothing there."""
        if site.is_server:
            name = b"/".join(raw.split(b"/", 3)[1:3]).decode("latin-1")[:130]
            api, mark, pin = name.replace("%40", "@").partition("@")
            if mark and (known := self._table.pins(api)) is not None:
                return VersionNotFound(api, pin, known)
        else:
            name = f"{site.owner}/{site.slug}" if site.owner else site.slug
        return ApiNotFound(name, self._table.close_names(name))

    # -- For whoever looks on -----------------------------------------------------------------------------------------

    def in_flight(self) -> Mapping[ApiId, int]:
        """Requests and WebSockets under way by API, on every generation that still has some."""
        counts: dict[ApiId, int] = {}
        for lane in self._lanes:
            counts[lane.api_id] = counts.get(lane.api_id, 0) + lane.in_flight
        return counts

    def circuit(self, api_id: ApiId) -> CircuitState:
        """Whether the API's requests go to it; closed where none serves."""
        entry = self.lookup(api_id)
        return entry.lane.breaker.state if entry is not None and entry.lane is not None else "closed"

    def _circuit_changed(self, lane: Lane, breaker: Breaker) -> None:
        entry = self.lookup(lane.api_id)
        name = full_name(entry.route) if entry is not None else lane.api_id
        which = f"{lane.generation}{lane.part(breaker)}"
        if breaker.closed:
            logger.info("%s, generation %s, answers again", name, which)
        elif not lane.closed:
            logger.warning(
                "%s, generation %s, did not answer %d requests in a row: it %s. It is left alone for %g s at a time",
                name, which, breaker.failures, breaker.reason, REST_S,
            )  # fmt: skip

    async def close(self) -> None:
        """Break off what is under way on every lane. May be called twice."""
        for lane in self._lanes:
            await lane.close()
        self._lanes = set()
