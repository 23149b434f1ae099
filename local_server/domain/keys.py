"""API keys: how they are written, what is kept of them, and whether one admits a call.

`am_live_`, 32 random bytes in base 62 (43 characters), and 6 more of checksum: a mistyped key is told apart from an
unknown one without a look at the database, and scanners of source code can recognise one for certain.
"""

import hashlib
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from local_server.domain.account_errors import KeyFieldRefused
from local_server.domain.ids import ApiId, KeyId, UserId
from local_server.domain.manifest import RateLimit
from local_server.domain.manifest_values import Wrong, rate
from local_server.domain.quotas import Quota

PREFIX = "am_live_"
SECRET_BYTES = 32
SECRET_CHARS = 43
CHECK_CHARS = 6
KEY_CHARS = len(PREFIX) + SECRET_CHARS + CHECK_CHARS
SHOWN_CHARS = len(PREFIX) + 6
"""What lists show of a key, so that its owner knows which one it is."""
MAX_NAME_CHARS = 100
MAX_CIDRS = 64
LONGEST_GRACE = timedelta(days=30)
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

Network = IPv4Network | IPv6Network


class Scope(StrEnum):
    READ = "read"
    """GET, HEAD and OPTIONS."""
    WRITE = "write"
    """Every other method, and WebSockets."""


class KeyState(StrEnum):
    ACTIVE = "active"
    GRACE = "grace"
    """Replaced by another, and in force until `grace_until`."""
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is kept of a key. The key itself is not: its SHA-256 is enough to know it again, since 256 random bits
    cannot be guessed from it."""

    id: KeyId
    api_id: ApiId
    user_id: UserId
    """Whose key it is."""
    name: str
    digest: bytes
    prefix: str
    scopes: tuple[Scope, ...]
    cidrs: tuple[str, ...]
    """Networks it may be used from; none: from everywhere."""
    rate_limit: RateLimit | None
    """In place of the manifest's."""
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    grace_until: datetime | None = None
    replaced_by: KeyId | None = None
    last_used_at: datetime | None = None
    quota: Quota | None = None
    quota_subject: str | None = None
    """Names the counter of the quota, which keys may share: a key that replaces another goes on counting."""
    plan: str | None = None
    """The code of the plan that its quota came from."""

    def __repr__(self) -> str:
        return f"ApiKey({self.id!r}, {self.prefix!r})"

    @property
    def counted_as(self) -> str:
        """The counter of its quota; of its own where none is named."""
        return self.quota_subject or f"key:{self.id}"

    @property
    def ends_at(self) -> datetime | None:
        """When it stops being in force, revocation aside."""
        return min((at for at in (self.expires_at, self.grace_until) if at is not None), default=None)

    def state(self, now: datetime) -> KeyState:
        if self.revoked_at is not None:
            return KeyState.REVOKED
        if self.ends_at is not None and self.ends_at <= now:
            return KeyState.EXPIRED
        return KeyState.GRACE if self.replaced_by is not None else KeyState.ACTIVE


def write_key(random: bytes) -> str:
    """The key that 32 random bytes make."""
    return write_secret(PREFIX, random)


def is_well_formed(key: str) -> bool:
    """Whether this was once a key: length, beginning and checksum are right."""
    return has_checksum(PREFIX, key)


def write_secret(prefix: str, random: bytes) -> str:
    """What 32 random bytes make, written as a key is, with another beginning."""
    if len(random) != SECRET_BYTES:
        raise ValueError(f"a secret takes {SECRET_BYTES} random bytes, not {len(random)}")
    body = prefix + _base62(int.from_bytes(random, "big"), SECRET_CHARS)
    return body + _checksum(body)


def has_checksum(prefix: str, text: str) -> bool:
    """Whether `write_secret` made this once."""
    if len(text) != len(prefix) + SECRET_CHARS + CHECK_CHARS or not text.isascii() or not text.startswith(prefix):
        return False
    return _checksum(text[:-CHECK_CHARS]) == text[-CHECK_CHARS:]


def digest_of(key: bytes) -> bytes:
    """Its SHA-256: 32 bytes. No salt and no stretching, for the key is no password but 256 random bits."""
    return hashlib.sha256(key).digest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), CHECK_CHARS)


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


# -- What a key may be given -------------------------------------------------------------------------------------


def check_scopes(scopes: Collection[str]) -> tuple[Scope, ...]:
    """In the order of the enum, each once. Raises KeyFieldRefused."""
    unknown = [scope for scope in scopes if scope not in set(Scope)]
    if unknown or not scopes:
        raise KeyFieldRefused("scopes", f"found {unknown or 'none'}; allowed: {' and '.join(Scope)}, at least one")
    return tuple(scope for scope in Scope if scope in scopes)


def check_cidrs(cidrs: Sequence[str]) -> tuple[str, ...]:
    """As networks are written: `10.0.0.0/8`, `::1/128`. Raises KeyFieldRefused."""
    if len(cidrs) > MAX_CIDRS:
        raise KeyFieldRefused("cidrs", f"found {len(cidrs)}; allowed: up to {MAX_CIDRS}")
    return tuple(dict.fromkeys(str(network_of(cidr)) for cidr in cidrs))


def network_of(cidr: str) -> Network:
    """Raises KeyFieldRefused."""
    try:
        return ip_network(cidr[:64])
    except ValueError:
        allowed = 'an address or a network without host bits, as "192.0.2.7" or "10.0.0.0/8"'
        raise KeyFieldRefused("cidrs", f"found {cidr[:64]!r}; allowed: {allowed}") from None


def check_rate(text: str) -> RateLimit:
    """Raises KeyFieldRefused."""
    try:
        return rate(text)
    except Wrong as wrong:
        raise KeyFieldRefused("rate_limit", str(wrong)) from None


def check_name(name: str) -> str:
    """Raises KeyFieldRefused."""
    if len(name) > MAX_NAME_CHARS or not (name.isprintable() or not name):
        raise KeyFieldRefused("name", f"found {name[:40]!r}; allowed: up to {MAX_NAME_CHARS} printable characters")
    return name


def check_expiry(expires_at: datetime, now: datetime) -> datetime:
    """Raises KeyFieldRefused."""
    if expires_at.tzinfo is None:
        raise KeyFieldRefused("expires_at", "found a time without a zone; allowed: one with, as 2030-01-31T12:00:00Z")
    if expires_at <= now:
        raise KeyFieldRefused("expires_at", f"found {expires_at.isoformat()}; allowed: a time that is still to come")
    return expires_at


def rate_text(limit: RateLimit) -> str:
    """As a manifest has it: `60/min`."""
    names = {1: "s", 60: "min", 3600: "h", 86400: "day"}
    return f"{limit.requests}/{names.get(limit.window_s, f'{limit.window_s}s')}"


# -- What the gateway knows of a key -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Grant:
    """A key as a request meets it."""

    key_id: KeyId
    api_id: ApiId
    scopes: frozenset[Scope]
    networks: tuple[Network, ...]
    rate_limit: RateLimit | None
    revoked: bool
    ends_at: datetime | None
    quota: Quota | None
    counted_as: str
    caller: str = ""
    """Who calls with it, as far as limits go."""
    replaced: bool = False
    """Another key took its place, and `ends_at` is when that came into force alone."""

    def admits_from(self, address: str) -> bool:
        """Whether it may be used from `address` (no address: only where it may from everywhere)."""
        if not self.networks:
            return True
        try:
            ip = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        # A dual-stack socket tells of IPv4 callers as ::ffff:192.0.2.7.
        ip = getattr(ip, "ipv4_mapped", None) or ip
        return any(ip in network for network in self.networks)


def grant_of(key: ApiKey) -> Grant:
    return Grant(
        key.id,
        key.api_id,
        frozenset(key.scopes),
        tuple(network_of(cidr) for cidr in key.cidrs),
        key.rate_limit,
        key.revoked_at is not None,
        key.ends_at,
        key.quota,
        key.counted_as,
        f"key {key.id}",
        key.replaced_by is not None and key.grace_until == key.ends_at,
    )
