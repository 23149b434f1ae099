"""Whether a caller may call: its key, where from, what for, and how often.

The keys are one immutable snapshot, replaced whole and read without a lock; no call waits for a database, and only one
whose limit several gateways share waits for anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from time import perf_counter
from types import MappingProxyType
from typing import TYPE_CHECKING

from local_server.domain.account_errors import KeyNotAllowed, KeyRefused, KeyRequired, RateLimited
from local_server.domain.keys import Grant, Scope, grant_of, is_well_formed
from local_server.gateway.admission import full_name
from local_server.gateway.limits import Limits, Verdict
from local_server.gateway.request_head import KEY_START
from local_server.gateway.shared_limits import SharedLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from local_server.domain.ids import KeyId
    from local_server.domain.keys import ApiKey
    from local_server.domain.manifest import RateLimit
    from local_server.domain.routing import Route
    from local_server.gateway.access_log import Trace
    from local_server.gateway.limits import Subject
    from local_server.gateway.request_head import RequestHead
    from local_server.gateway.shared_limits import Counter

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
STREAM_S = 1.0
"""What goes on for longer, without having said how long it is, is a stream."""


class Callers:
    """`used` is told of each call that a key admits; it must not block. `now` tells the time, aware. With `enforce`, a
    call over loopback needs a key like any other."""

    def __init__(self, now: Callable[[], datetime], *, enforce: bool = False) -> None:
        self._now = now
        self._enforce = enforce
        self._grants: Mapping[bytes, Grant] = MappingProxyType({})
        self._made: Mapping[KeyId, tuple[ApiKey, Grant]] = {}
        """The same by id, each with the key that it was made of."""
        self._limits = Limits()
        self._shared: SharedLimits | None = None
        self.used: Callable[[KeyId, datetime], None] = _nobody

    def use_keys(self, keys: Iterable[ApiKey]) -> None:
        """From now on these keys are known, and no others. One step: no request sees a state between. What was made of
        a key the last time stays, where it is the same object: of many thousands one changes at a time."""
        made = self._made
        self._made = {key.id: made[key.id] if self._is_known(key) else (key, grant_of(key)) for key in keys}
        self._grants = MappingProxyType({key.digest: grant for key, grant in self._made.values()})

    def _is_known(self, key: ApiKey) -> bool:
        known = self._made.get(key.id)
        return known is not None and known[0] is key

    def share_limits(self, counter: Counter) -> SharedLimits:
        """From now on limits are counted with `counter`, and here while it fails."""
        self._shared = SharedLimits(counter, self._limits)
        return self._shared

    def identify(
        self, route: Route, head: RequestHead, method: str, address: str, trace: Trace, *, websocket: bool
    ) -> Grant | None:
        """The grant of the caller's key, which `trace` is told of; None for a call that needs none. Raises
        KeyRequired, KeyRefused, KeyNotAllowed. Fails closed, and a key is looked at wherever there is one."""
        if head.keys:
            if route.auth == "none" and head.keys == 1 and not head.key.startswith(KEY_START):
                head.pass_key_on()  # it is the API's own
            else:
                return self._checked(route, head, method, address, trace, websocket)
        if route.auth == "key" and (self._enforce or not is_loopback(address)):
            raise KeyRequired(full_name(route))
        return None

    def has_ended(self, key_id: KeyId) -> bool:
        """Whether the key is in force no more: revoked, expired, or gone."""
        _, grant = self._made.get(key_id, (None, None))
        return grant is None or grant.revoked or (grant.ends_at is not None and grant.ends_at <= self._now())

    def outlived(self, trace: Trace) -> bool:
        """Whether an answer that has not said how long it is goes on beyond the key it was asked for with. Asked again
        and again: nothing else would ever end it."""
        key_id = trace.key_id
        return key_id is not None and perf_counter() - trace.first_byte_s > STREAM_S and self.has_ended(key_id)

    def audience(self, head: RequestHead) -> str | None:
        """With whom a caller may share answers: who has the same key; empty: who has none; None: nobody. Says
        nothing of whether the key is good."""
        if not head.keys:
            return ""
        grant = self._grants.get(head.key_digest())
        return grant.key_id if grant is not None else None

    def must_ask(self, route: Route, grant: Grant | None) -> bool:
        """Whether only `limit_together` can tell if the call is admitted: gateways share its limit."""
        return self._shared is not None and not self._shared.resting and _limit_of(route, grant) is not None

    def limit(self, route: Route, grant: Grant | None, address: str) -> Verdict | None:
        """Count the call; what its answer has to say about the caller's limit, None: there is none. For calls that
        need not ask. Raises RateLimited."""
        limit = _limit_of(route, grant)
        if limit is None:
            return None
        admit = self._limits.admit if self._shared is None else self._shared.admit_alone
        return _passed(admit(_subject(route, grant, address), limit, perf_counter()), route)

    async def limit_together(self, route: Route, grant: Grant | None, address: str) -> Verdict | None:
        """The same, of all calls: with the other gateways where there are some."""
        limit = _limit_of(route, grant)
        if limit is None or self._shared is None or self._shared.resting:
            return self.limit(route, grant, address)
        return _passed(await self._shared.admit(_subject(route, grant, address), limit, perf_counter()), route)

    def _checked(
        self, route: Route, head: RequestHead, method: str, address: str, trace: Trace, websocket: bool
    ) -> Grant:
        if head.keys > 1:
            raise KeyRefused("is not one: the request carries several", "Send one, in Authorization or in X-Api-Key.")
        grant = self._grants.get(head.key_digest())
        if grant is None:
            raise _unknown(head.key)
        if grant.api_id == route.api_id:
            trace.key_id = grant.key_id
        if grant.revoked:
            raise KeyRefused("was revoked")
        if grant.ends_at is not None and grant.ends_at <= trace.started_at:
            raise _ended(grant, grant.ends_at)
        if grant.api_id != route.api_id:
            raise KeyNotAllowed("is for another API", f"{full_name(route)} needs a key of its own.")
        if not grant.admits_from(address):
            raise KeyNotAllowed("may not be used from this address", "Its owner says from where: docs/keys.md")
        wanted = Scope.READ if method in _READING and not websocket else Scope.WRITE
        if wanted not in grant.scopes:
            what = "a WebSocket" if websocket else method[:20]
            raise KeyNotAllowed(f"lacks the scope {wanted!s}, which {what} needs", "Use a key that has it.")
        self.used(grant.key_id, trace.started_at)
        return grant


def _limit_of(route: Route, grant: Grant | None) -> RateLimit | None:
    return grant.rate_limit if grant is not None and grant.rate_limit is not None else route.rate_limit


def _subject(route: Route, grant: Grant | None, address: str) -> Subject:
    return route.api_id, grant.caller if grant is not None else caller_of(address)


def _passed(verdict: Verdict, route: Route) -> Verdict:
    if not verdict.admitted:
        raise RateLimited(full_name(route), verdict.limit, verdict.reset_s)
    return verdict


def _ended(grant: Grant, at: datetime) -> KeyRefused:
    moment = at.isoformat(timespec="seconds")
    if grant.replaced:
        return KeyRefused(f"was replaced by another, and held until {moment}", "Use the key that took its place.")
    return KeyRefused(f"has expired, at {moment}")


def _unknown(key: bytes) -> KeyRefused:
    text = key.decode("latin-1")
    if not key.startswith(KEY_START):
        return KeyRefused(
            "in X-Api-Key is none of apimarket's, which begin with 'am_'",
            'If the API checks keys of its own there, say so in apimarket.toml: [gateway] auth = "none"',
        )
    if not is_well_formed(text):
        return KeyRefused("is mistyped or cut off: its checksum is wrong", "Copy it again, whole.")
    return KeyRefused("is not known here")


def is_loopback(address: str) -> bool:
    return address.startswith(("127.", "::ffff:127.")) or address == "::1"


@lru_cache(maxsize=4096)
def caller_of(address: str) -> str:
    """Who calls without a key: an address; of IPv6 the first 64 bits, since a single caller may have all the others."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return f"address {address}"
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is None:
        return f"network {int(ip) >> 64:x}"
    return f"address {ip}"


def caller_id(head: RequestHead, address: str) -> bytes:
    """Who calls, as far as the shares of the traffic go: whoever has the key, else whoever is at the address."""
    return head.key or caller_of(address).encode()


def _nobody(_key_id: KeyId, _at: datetime) -> None:
    """Until somebody wants to know."""
