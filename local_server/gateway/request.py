"""A request on the long way, as it came."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from local_server.gateway.hosts import SERVER, Site

if TYPE_CHECKING:
    from local_server.gateway.asgi_types import RawHeaders, Receive, Send
    from local_server.gateway.cache_fill import Fill
    from local_server.gateway.request_head import RequestHead

REPEATABLE = frozenset({"GET", "HEAD"})
"""May be sent again where nobody can tell whether they took effect."""


@dataclass(frozen=True, slots=True)
class Request:
    """Admitted."""

    method: str
    target: bytes
    """Path and query as they go upstream."""
    head: RequestHead
    forwarded: tuple[bytes, ...]
    """The lines the gateway adds: X-Forwarded-…, X-Request-Id."""
    receive: Receive
    send: Send
    cors: RawHeaders
    added: RawHeaders = field(default_factory=list)
    """What the gateway says in the answer of its own, in the API's place."""
    site: Site = SERVER
    """Where the API was called."""
    fill: Fill | None = None
    """What is to become of the answer, where the API lets answers be kept."""

    @property
    def said(self) -> RawHeaders:
        """What every answer of the gateway's own says, too."""
        return self.cors + self.added

    @property
    def by_path(self) -> bool:
        """The API was called on the server's own host, and so has the origin of the control API."""
        return self.site.is_server
