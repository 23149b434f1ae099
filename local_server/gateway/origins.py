"""What a web page of another origin may do with an API: refuse by default, allow what the manifest's `cors` lists."""

from collections.abc import Collection

from local_server.domain.gateway_errors import OriginRefused
from local_server.gateway.asgi_types import RawHeaders
from local_server.gateway.hosts import Hosts

PREFLIGHT_MAX_AGE_S = 600
_EXPOSED = (
    b"X-Request-Id, X-Apimarket-Generation, X-Apimarket-Pending-Error, Retry-After, RateLimit, RateLimit-Policy, "
    b"RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, X-Apimarket-Version, Deprecation, Sunset, Link, Age, "
    b"Cache-Status"
)


def allows(cors: Collection[str], origin: bytes) -> bool:
    """Whether the list names `origin` exactly (origins are compared in lower case), or everybody."""
    if not cors:
        return False
    return "*" in cors or origin.decode("latin-1").lower() in {entry.lower().rstrip("/") for entry in cors}


def is_cross_site(fetch_site: bytes, origin: bytes, hosts: Hosts) -> bool:
    """Whether a browser sends this for a page of another site.

    Browsers say so in `Sec-Fetch-Site`; where that is missing (WebSocket handshakes, older browsers) the Origin
    header tells. Programs that are not browsers send neither.
    """
    if fetch_site:
        return fetch_site.lower() == b"cross-site"
    return bool(origin) and not hosts.is_near_origin(origin)


def refusal(cors: Collection[str], fetch_site: bytes, origin: bytes, hosts: Hosts) -> OriginRefused | None:
    """Why the request is refused, or None if it may pass. Fail-closed: a page that names no origin is refused."""
    if not is_cross_site(fetch_site, origin, hosts) or allows(cors, origin):
        return None
    name = origin.decode("latin-1")[:200] or "(none given)"
    listed = ", ".join(cors) or "nobody"
    return OriginRefused(
        f"A web page of the origin {name} called this API; its manifest allows {listed}",
        hint=f'Allow it in apimarket.toml: [gateway] cors = ["{name}"]'
        if origin
        else "Call it from a page with an origin.",
    )


def answer_headers(cors: Collection[str], origin: bytes) -> RawHeaders:
    """The headers that let a page of an allowed `origin` read the answer; none for others."""
    if not origin or not allows(cors, origin):
        return []
    if "*" in cors:
        return [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", _EXPOSED)]
    return [
        (b"access-control-allow-origin", origin),
        (b"vary", b"Origin"),
        (b"access-control-expose-headers", _EXPOSED),
    ]


def preflight_headers(cors: Collection[str], origin: bytes, method: bytes, wanted: bytes) -> RawHeaders:
    """The answer to a browser's question whether it may send `method` with the headers `wanted`: it may."""
    headers = [
        *answer_headers(cors, origin),
        (b"access-control-allow-methods", method),
        (b"access-control-max-age", b"%d" % PREFLIGHT_MAX_AGE_S),
        (b"vary", b"Access-Control-Request-Method, Access-Control-Request-Headers"),
    ]
    if wanted:
        headers.append((b"access-control-allow-headers", wanted))
    return headers
