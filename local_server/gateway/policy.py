"""What a call has to pass before it may be made: its key, its caller's limit, its quota. Both ways ask here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from local_server.domain.account_errors import RateLimited
from local_server.domain.gateway_errors import BodyTooLarge
from local_server.domain.quota_errors import QuotaExceeded
from local_server.gateway.admission import full_name
from local_server.gateway.limits import RATE_NAMES, rate_headers
from local_server.gateway.quotas import QUOTA_NAMES, quota_headers
from local_server.gateway.response_head import as_lines

if TYPE_CHECKING:
    from local_server.domain.errors import ApimarketError
    from local_server.domain.routing import Route
    from local_server.gateway.access_log import Trace
    from local_server.gateway.asgi_types import RawHeaders
    from local_server.gateway.callers import Callers
    from local_server.gateway.limits import Verdict
    from local_server.gateway.quotas import Quotas
    from local_server.gateway.request_head import RequestHead

_NO_NAMES: frozenset[bytes] = frozenset()


class Admitted(NamedTuple):
    """What a call that may be made has to be told about its limit and its quota."""

    verdict: Verdict | None = None
    quota: RawHeaders | None = None

    def headers(self) -> RawHeaders:
        return (self.verdict.headers() if self.verdict is not None else []) + (self.quota or [])

    def lines(self) -> bytes:
        """The same, as lines of a head."""
        lines = self.verdict.lines() if self.verdict is not None else b""
        return lines + as_lines(self.quota) if self.quota else lines

    def names(self) -> frozenset[bytes]:
        """Those of the API's own headers that give way."""
        if self.verdict is not None:
            return RATE_NAMES
        return QUOTA_NAMES if self.quota else _NO_NAMES


class Policy:
    """The rules of `Callers` and `Quotas`, in order. Whoever is admitted has been counted; raises what they raise."""

    def __init__(self, callers: Callers, quotas: Quotas) -> None:
        self._callers = callers
        self._quotas = quotas

    def admit_at_once(
        self, route: Route, head: RequestHead, method: str, address: str, trace: Trace
    ) -> Admitted | None:
        """None: that cannot be told without asking elsewhere, and nothing was counted."""
        callers, quotas = self._callers, self._quotas
        grant = callers.identify(route, head, method, address, trace, websocket=False)
        if callers.must_ask(route, grant):
            return None
        if grant is None or grant.quota is None:
            return Admitted(callers.limit(route, grant, address))
        purse = quotas.ready(grant)
        if purse is None:
            return None
        verdict = callers.limit(route, grant, address)
        quotas.spend(purse)
        trace.purse = purse
        return Admitted(verdict, quotas.headers(purse))

    async def admit(
        self, route: Route, head: RequestHead, method: str, address: str, trace: Trace, *, websocket: bool
    ) -> Admitted:
        """The same, once storage, and who counts for all gateways, has been asked, where it has to be."""
        callers, quotas = self._callers, self._quotas
        grant = callers.identify(route, head, method, address, trace, websocket=websocket)
        if head.length > route.max_body_bytes:
            raise BodyTooLarge(full_name(route), route.max_body_bytes, head.length)
        verdict = await callers.limit_together(route, grant, address)
        if grant is None or grant.quota is None:
            return Admitted(verdict)
        trace.purse = quotas.take(grant) or await quotas.wait(grant, full_name(route))
        return Admitted(verdict, quotas.headers(trace.purse))


def refusal_headers(error: ApimarketError) -> RawHeaders:
    """What a refusal says in headers beside what every problem does."""
    if isinstance(error, RateLimited):
        return rate_headers(error.limit, 0, error.retry_after_s)
    return quota_headers(error.quota, error.period, 0, error.retry_after_s) if isinstance(error, QuotaExceeded) else []
