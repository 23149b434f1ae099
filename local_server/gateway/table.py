"""Where every API is: one immutable snapshot, replaced whole, read without a lock."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from local_server.domain.ids import ApiId
from local_server.domain.routing import Route

if TYPE_CHECKING:
    from local_server.gateway.asgi_types import RawHeaders
    from local_server.gateway.hosts import Site
    from local_server.gateway.lane import Lane

_HEADER_LIMIT = 300


@dataclass(frozen=True, slots=True)
class Entry:
    """One API as a request finds it. Everything that can be computed once per change is here."""

    route: Route
    lane: Lane | None
    prefix: bytes
    """`/owner/slug`, as it stands in a path."""
    headers: RawHeaders
    """What every answer of this lane carries."""


def make_entry(route: Route, lane: Lane | None) -> Entry:
    headers: RawHeaders = []
    if lane is not None:
        headers.append((b"x-apimarket-generation", lane.digest.encode("ascii", "replace")))
    if route.pending_error:
        headers.append((b"x-apimarket-pending-error", header_text(route.pending_error)))
    return Entry(route, lane, f"/{route.owner}/{route.slug}".encode(), headers)


def header_text(text: str) -> bytes:
    """`text` as one line of printable ASCII, cut to 300 characters; other characters become `?`."""
    line = " ".join(text.split())[:_HEADER_LIMIT]
    return "".join(char if " " <= char <= "~" else "?" for char in line).encode()


@dataclass(frozen=True, slots=True)
class Table:
    by_id: Mapping[ApiId, Entry] = field(default_factory=lambda: MappingProxyType({}))
    by_path: Mapping[bytes, Entry] = field(default_factory=lambda: MappingProxyType({}))
    """Key: `owner/slug`."""
    by_slug: Mapping[str, Entry | None] = field(default_factory=lambda: MappingProxyType({}))
    """None where several owners have the slug: then the short host name means none of them."""

    def with_entry(self, entry: Entry) -> Table:
        return _table({**self.by_id, entry.route.api_id: entry})

    def without(self, api_id: ApiId) -> Table:
        return _table({key: entry for key, entry in self.by_id.items() if key != api_id})

    def at_site(self, site: Site) -> Entry | None:
        """The API of a host name."""
        if site.owner:
            return self.by_path.get(f"{site.owner}/{site.slug}".encode())
        return self.by_slug.get(site.slug)

    def close_names(self, name: str) -> list[str]:
        """At most three `owner/slug` that look like `name`."""
        full = {key.decode(): key.decode() for key in self.by_path}
        known = full if "/" in name else {key.rpartition("/")[2]: key for key in full}
        return [known[match] for match in difflib.get_close_matches(name[:130], known, n=3, cutoff=0.6)]


def _table(entries: dict[ApiId, Entry]) -> Table:
    by_slug: dict[str, Entry | None] = {}
    for entry in entries.values():
        by_slug[entry.route.slug] = None if entry.route.slug in by_slug else entry
    by_path = {entry.prefix[1:]: entry for entry in entries.values()}
    return Table(MappingProxyType(entries), MappingProxyType(by_path), MappingProxyType(by_slug))
