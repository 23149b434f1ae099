"""Which names the server answers to: the defence against DNS rebinding, and the way to an API by host."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from local_server.domain.names import SLUG

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
_HOST = re.compile(rb"(\[[0-9a-f:.]{2,45}\]|[a-z0-9_.-]{1,253})(?::([0-9]{1,5}))?")
_CACHE_LIMIT = 1024


@dataclass(frozen=True, slots=True)
class Site:
    """What a Host header stands for: the server itself (no slug), or one API (its `owner` may be left out)."""

    slug: str = ""
    owner: str = ""
    server: str = ""
    """Of an API's own host: the server's, with the port that the caller uses."""

    @property
    def is_server(self) -> bool:
        return not self.slug


SERVER = Site()


class Hosts:
    """The exact allow-list. `names` are further hosts, each `name` (the server's port or none) or `name:port`."""

    def __init__(self, names: Iterable[str] = (), port: int | None = None) -> None:
        self._names = frozenset(name.lower() for name in names)
        self._port = port
        self._cache: dict[tuple[bytes, int], Site | None] = {}

    def site(self, host: bytes, local_port: int) -> Site | None:
        """What `host` names, or None if the server does not answer to it. `local_port` is the port the connection
        came in on; a port given to the constructor (the one outsiders see) goes before it."""
        key = (host, self._port or local_port)
        try:
            return self._cache[key]
        except KeyError:
            if len(self._cache) >= _CACHE_LIMIT:  # the header is the caller's choice: it must not fill the memory
                self._cache.clear()
            site = self._cache[key] = self._parse(*key)
            return site

    def _parse(self, host: bytes, port: int) -> Site | None:
        match = _HOST.fullmatch(host.lower())
        if match is None:
            return None
        name = match[1].decode()
        said = int(match[2]) if match[2] else None
        if f"{name}:{said}" in self._names or (name in self._names and said in (None, port)):
            return SERVER
        if (said or 80) != port:
            return None
        if name in LOOPBACK_NAMES:
            return SERVER
        return _api_site(name, match[2])

    def is_own_origin(self, origin: bytes, local_port: int) -> bool:
        """Whether a page of `origin` was served by the server itself (not by an API under its own host)."""
        host = _origin_host(origin)
        site = self.site(host, local_port) if host else None
        return site is not None and site.is_server

    def is_near_origin(self, origin: bytes) -> bool:
        """Whether `origin` is on this machine or a configured name, whatever its port: a page under development."""
        match = _HOST.fullmatch(_origin_host(origin) or b"")
        if match is None:
            return False
        name = match[1].decode()
        if name in LOOPBACK_NAMES or name.endswith(".localhost"):
            return True
        return any(name == known.partition(":")[0] for known in self._names)

    def allowed(self, local_port: int) -> str:
        """The allow-list in words, for the error."""
        port = self._port or local_port
        own = [
            f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]", "SLUG.localhost", "SLUG.OWNER.localhost")
        ]
        return ", ".join([*own, *sorted(self._names)])


def _api_site(name: str, port: bytes | None) -> Site | None:
    """`weather.localhost` or `weather.me.localhost`."""
    base, _, top = name.rpartition(".")
    if top != "localhost":
        return None
    slug, _, owner = base.partition(".")
    if not SLUG.fullmatch(slug) or (owner and not SLUG.fullmatch(owner)) or base.endswith("."):
        return None
    return Site(slug, owner, top if port is None else f"{top}:{port.decode()}")


def _origin_host(origin: bytes) -> bytes | None:
    scheme, separator, host = origin.lower().partition(b"://")
    return host if separator and scheme in (b"http", b"https") else None
