"""Where every API is: one immutable snapshot, replaced whole, read without a lock."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from email.utils import format_datetime
from hashlib import blake2b
from types import MappingProxyType
from typing import TYPE_CHECKING

from local_server.domain.ids import ApiId
from local_server.domain.names import RESERVED_OWNERS
from local_server.domain.routing import Notice, Route, Steering
from local_server.gateway.response_head import as_lines, declared_in

if TYPE_CHECKING:
    from datetime import datetime

    from local_server.gateway.asgi_types import RawHeaders
    from local_server.gateway.hosts import Site
    from local_server.gateway.lane import Lane

_HEADER_LIMIT = 300
_DEV = "dev"


@dataclass(frozen=True, slots=True)
class Entry:
    """One API as a request finds it. Everything that can be computed once per change is here."""

    route: Route
    lane: Lane | None
    prefix: bytes
    """`/owner/slug`, as it stands in a path, with the pin that was asked for."""
    headers: RawHeaders
    """What every answer of this lane carries."""
    sunset_at: datetime | None = None
    """From then on it is refused."""
    successor: str | None = None
    split: tuple[tuple[int, Entry], ...] = ()
    """Where several share the traffic: up to which percent of the callers, and whose they are."""
    lines: bytes = field(init=False)
    """`headers`, as lines of a head."""
    declared: frozenset[bytes] = field(init=False)
    """Those of `headers` in whose favour the API's own give way."""
    prefix_line: bytes = field(init=False)
    """What the API is told of its prefix, by path."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "lines", as_lines(self.headers))
        object.__setattr__(self, "declared", declared_in(self.headers))
        object.__setattr__(self, "prefix_line", b"x-forwarded-prefix: %b\r\n" % self.prefix)

    def seen_at(self, site: Site) -> Entry:
        """As it is for callers of a host. An API's own host has no URL for another version of it: what leads to the
        successor has to name the server's (RFC 3986, 4.2)."""
        if self.successor is None or site.is_server:
            return self
        headers = [
            (name, value.replace(b"<", b"<//%b" % site.server.encode(), 1) if name == b"link" else value)
            for name, value in self.headers
        ]
        return replace(self, headers=headers)

    def of(self, caller: bytes) -> Entry:
        """Whose share of the traffic a caller is in: always the same one, as long as the shares are. As a share
        grows, nobody leaves it."""
        if not self.split:
            return self
        digest = blake2b(caller, digest_size=8, key=self.route.api_id.encode()[:64]).digest()
        point = int.from_bytes(digest, "big") * 100 >> 64
        return next(entry for upto, entry in self.split if point < upto)


def make_entry(route: Route, lane: Lane | None, pin: str = "", notice: Notice | None = None) -> Entry:
    headers: RawHeaders = []
    if lane is not None:
        headers.append((b"x-apimarket-generation", lane.digest.encode("ascii", "replace")))
    if route.version:
        headers.append((b"x-apimarket-version", route.version.encode()))
    if route.pending_error:
        headers.append((b"x-apimarket-pending-error", header_text(route.pending_error)))
    if notice is not None:
        headers += _notice_headers(route, notice)
    prefix = f"/{route.owner}/{route.slug}" + (f"@{pin}" if pin else "")
    ends = (notice.sunset_at, notice.successor) if notice is not None else (None, None)
    return Entry(route, lane, prefix.encode(), headers, *ends)


def _notice_headers(route: Route, notice: Notice) -> RawHeaders:
    """RFC 9745, RFC 8594, and the link relation of RFC 5829 to where callers should go."""
    headers: RawHeaders = [(b"deprecation", b"@%d" % int(notice.deprecated_at.timestamp()))]
    if notice.sunset_at is not None:
        headers.append((b"sunset", format_datetime(notice.sunset_at, usegmt=True).encode()))
    if notice.successor is not None:
        link = f'</{route.owner}/{route.slug}@{notice.successor}/>; rel="successor-version"'
        headers.append((b"link", link.encode()))
    return headers


def header_text(text: str) -> bytes:
    """`text` as one line of printable ASCII, cut to 300 characters; other characters become `?`."""
    line = " ".join(text.split())[:_HEADER_LIMIT]
    return "".join(char if " " <= char <= "~" else "?" for char in line).encode()


Places = Mapping[str, tuple[Route, "Lane | None"]]
"""What stands at one API: the number of a version, empty for the directory -> how it is found, and its lane."""


@dataclass(frozen=True, slots=True)
class Group:
    """One API: the directory and the versions."""

    by_version: Mapping[str, Entry]
    """Empty: the directory."""
    plain: Entry
    """Where its URL without a pin leads."""
    by_pin: Mapping[str, Entry]

    @property
    def name(self) -> str:
        return f"{self.plain.route.owner}/{self.plain.route.slug}"


def make_group(places: Places, steering: Steering) -> Group:
    """`places` is not empty."""
    notices = steering.notices
    by_version = {
        version: make_entry(route, lane, version, notices.get(version)) for version, (route, lane) in places.items()
    }
    by_pin = {}
    for pin, target in {_DEV: _DEV, **steering.pins}.items():
        version = _version(target)
        if version in places:
            by_pin[pin] = make_entry(*places[version], pin, notices.get(version))
    return Group(by_version, _plain(places, steering), by_pin)


def _plain(places: Places, steering: Steering) -> Entry:
    """Of those that share the traffic, one that does not serve leaves its share to those that do."""
    shares = [(version, share) for target, share in steering.shares if (version := _version(target)) in places]
    shares = shares or [("" if "" in places else next(iter(places)), 100)]
    serving = [(version, share) for version, share in shares if places[version][1] is not None] or shares
    entries = [(share, make_entry(*places[version], "", steering.notices.get(version))) for version, share in serving]
    (_, first), *others = entries
    if not others:
        return first
    split, total, seen = [], sum(share for share, _ in entries), 0
    for share, entry in entries:
        seen += share
        split.append((-(-seen * 100 // total), entry))
    return Entry(first.route, first.lane, first.prefix, first.headers, None, None, tuple(split))


def _version(target: str) -> str:
    return "" if target == _DEV else target


@dataclass(frozen=True, slots=True)
class Table:
    by_id: Mapping[ApiId, Group] = field(default_factory=lambda: MappingProxyType({}))
    by_path: Mapping[bytes, Entry] = field(default_factory=lambda: MappingProxyType({}))
    """Key: `owner/slug`, and `owner/slug@pin`. Nobody of the `reserved` is here."""
    by_slug: Mapping[str, Entry | None] = field(default_factory=lambda: MappingProxyType({}))
    """None where several owners have the slug: then the short host name means none of them."""
    reserved: frozenset[str] = RESERVED_OWNERS
    """Owners whose names the control API has for itself."""

    def with_group(self, api_id: ApiId, group: Group) -> Table:
        return self._of({**self.by_id, api_id: group})

    def without(self, api_id: ApiId) -> Table:
        return self._of({key: group for key, group in self.by_id.items() if key != api_id})

    def lookup(self, api_id: ApiId, version: str = "") -> Entry | None:
        group = self.by_id.get(api_id)
        return group.by_version.get(version) if group is not None else None

    def at_site(self, site: Site) -> Entry | None:
        """The API of a host name."""
        if site.owner:
            return self.by_path.get(f"{site.owner}/{site.slug}".encode())
        return self.by_slug.get(site.slug)

    def pins(self, name: str) -> list[str] | None:
        """What may follow the `@` after `owner/slug`, the newest versions first; None: there is no such API."""
        entry = self.by_path.get(name.encode("latin-1", "replace"))
        if entry is None:
            return None
        group = self.by_id[entry.route.api_id]
        versions = [version for version in group.by_version if version][::-1]
        return list(dict.fromkeys([*versions, *sorted(group.by_pin)]))

    def close_names(self, name: str) -> list[str]:
        """At most three `owner/slug` that look like `name`."""
        full = {group.name: group.name for group in self.by_id.values()}
        known = full if "/" in name else {key.rpartition("/")[2]: key for key in full}
        return [known[match] for match in difflib.get_close_matches(name[:130], known, n=3, cutoff=0.6)]

    def _of(self, groups: dict[ApiId, Group]) -> Table:
        by_slug: dict[str, Entry | None] = {}
        by_path: dict[bytes, Entry] = {}
        for group in groups.values():
            slug = group.plain.route.slug
            by_slug[slug] = None if slug in by_slug else group.plain
            if group.plain.route.owner in self.reserved:
                continue
            for entries in (group.by_version, group.by_pin):
                by_path.update((entry.prefix[1:], entry) for entry in entries.values())
            by_path[group.name.encode()] = group.plain
        return Table(MappingProxyType(groups), MappingProxyType(by_path), MappingProxyType(by_slug), self.reserved)
