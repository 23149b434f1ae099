"""What a call has to pass before it may be made: its key, its caller's limit, its quota. Both ways ask here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from local_server.domain.account_errors import RateLimited
from local_server.domain.gateway_errors import BodyTooLarge
from local_server.domain.quota_errors import QuotaExceeded
from local_server.gateway.admission import full_name
from local_server.gateway.limits import rate_headers
from local_server.gateway.quotas import QUOTA_NAMES, quota_headers
from local_server.gateway.response_head import as_lines

if TYPE_CHECKING:
    from local_server.domain.errors import ApimarketError
    from local_server.domain.routing import Route
    from local_server.gateway.access_log import Trace
    from local_server.gateway.asgi_types import RawHeaders
    from local_server.gateway.callers import Callers
    from local_server.gateway.quotas import Quotas
    from local_server.gateway.request_head import RequestHead

_NO_NAMES: frozenset[bytes] = frozenset()


class Terms(Protocol):
    """What a call that may be made has to be told about its limit and its quota. Of a limit alone the verdict does."""

    def headers(self) -> RawHeaders:
        """As ASGI has them."""

    def lines(self) -> bytes:
        """The same, as lines of a head."""

    def names(self) -> frozenset[bytes]:
        """Those of the API's own headers that give way."""


class _Unlimited:
    def headers(self) -> RawHeaders:
        return []

    def lines(self) -> bytes:
        return b""

    def names(self) -> frozenset[bytes]:
        return _NO_NAMES


class _WithQuota(NamedTuple):
    limit: Terms
    quota: RawHeaders

    def headers(self) -> RawHeaders:
        return self.limit.headers() + self.quota

    def lines(self) -> bytes:
        return self.limit.lines() + as_lines(self.quota)

    def names(self) -> frozenset[bytes]:
        return self.limit.names() or QUOTA_NAMES  # the limit's hold the quota's


_UNLIMITED = _Unlimited()


class Policy:
    """The rules of `Callers` and `Quotas`, in order. Whoever is admitted has been counted; raises what they raise."""

    def __init__(self, callers: Callers, quotas: Quotas) -> None:
        self._callers = callers
        self._quotas = quotas

    def admit_at_once(self, route: Route, head: RequestHead, method: str, address: str, trace: Trace) -> Terms | None:
        """None: that cannot be told without asking elsewhere, and nothing was counted."""
        callers, quotas = self._callers, self._quotas
        grant = callers.identify(route, head, method, address, trace, websocket=False)
        if callers.must_ask(route, grant):
            return None
        if grant is None or grant.quota is None:
            return callers.limit(route, grant, address) or _UNLIMITED
        purse = quotas.ready(grant)
        if purse is None:
            return None
        verdict = callers.limit(route, grant, address)
        quotas.spend(purse)
        trace.purse = purse
        return _WithQuota(verdict or _UNLIMITED, quotas.headers(purse))

    async def admit(
        self, route: Route, head: RequestHead, method: str, address: str, trace: Trace, *, websocket: bool
    ) -> Terms:
        """The same, once storage, and who counts for all gateways, has been asked, where it has to be."""
        callers, quotas = self._callers, self._quotas
        grant = callers.identify(route, head, method, address, trace, websocket=websocket)
        if head.length > route.max_body_bytes:
            raise BodyTooLarge(full_name(route), route.max_body_bytes, head.length)
        verdict = await callers.limit_together(route, grant, address)
        if grant is None or grant.quota is None:
            return verdict or _UNLIMITED
        trace.purse = quotas.take(grant) or await quotas.wait(grant, full_name(route))
        return _WithQuota(verdict or _UNLIMITED, quotas.headers(trace.purse))


def refusal_headers(error: ApimarketError) -> RawHeaders:
    """What a refusal says in headers beside what every problem does."""
    if isinstance(error, RateLimited):
        return rate_headers(error.limit, 0, error.retry_after_s)
    return quota_headers(error.quota, error.period, 0, error.retry_after_s) if isinstance(error, QuotaExceeded) else []
