"""`/metrics`: what a Prometheus collects. Labels are bounded: the APIs that are registered, and five classes of status.

Open on loopback like `/health`, since collectors seldom hold tokens; from elsewhere, and for what a proxy passes on,
the token is required: the names of APIs and their traffic are the owner's business.
"""

import ipaddress
from collections.abc import Mapping

import psutil
from fastapi import APIRouter, Depends, Request, Response

from local_server import __version__
from local_server.analytics.exposition import MEDIA_TYPE, Family, exposition
from local_server.analytics.meter import BOUNDS_S, ApiMeter
from local_server.control.access import bearer, require_token
from local_server.control.routes import runtime_of
from local_server.domain.ids import ApiId
from local_server.gateway.shared_limits import SharedLimits
from local_server.runtime import Runtime

_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


async def require_token_from_afar(request: Request) -> None:
    """Raises TokenRequired unless the request comes from this machine itself or carries the token."""
    if not _is_local(request) or any(name in request.headers for name in _FORWARDED):
        await require_token(request)


def _is_local(request: Request) -> bool:
    try:
        address = ipaddress.ip_address(request.client.host if request.client else "")
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


class Metrics(Response):
    media_type = MEDIA_TYPE


router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    response_class=Metrics,
    dependencies=[Depends(bearer), Depends(require_token_from_afar)],
)
async def metrics(request: Request) -> Metrics:
    """Counters in the text format of Prometheus. Needs the token unless asked from this machine."""
    runtime = runtime_of(request)
    apis = await runtime.storage.read(lambda tx: tx.registry.all())
    names = {api.id: api.full_name for api in apis}
    return Metrics(exposition([*_server(runtime), *_traffic(runtime, names)]))


def _server(runtime: Runtime) -> list[Family]:
    health = runtime.executor.health
    generations = Family("apimarket_generations_total", "counter", "Saves by what became of them.")
    for outcome, count in sorted(runtime.meter.generations.items()):
        generations.add(count, outcome=outcome)
    return [
        Family("apimarket_info", "gauge", "What the server is made of.").add(
            1, version=__version__, engine=runtime.executor.engine_name, storage=runtime.storage.description
        ),
        Family("apimarket_engine_up", "gauge", "1 while the engine answers.").add(int(health.available)),
        Family("apimarket_loop_stalls_total", "counter", "Times the event loop stood still for over 50 ms.").add(
            runtime.loop_watch.stalls
        ),
        Family("apimarket_executions_dropped_total", "counter", "Rows the request log found no room for.").add(
            runtime.access_log.dropped
        ),
        generations,
        *_limits(runtime.limits),
        Family("process_resident_memory_bytes", "gauge", "Memory of the server itself.").add(
            psutil.Process().memory_info().rss
        ),
    ]


def _limits(limits: SharedLimits | None) -> list[Family]:
    """Where gateways count limits together."""
    if limits is None:
        return []
    alone = Family("apimarket_limiter_fallbacks_total", "counter", "Calls limited by this server alone, by why.")
    for reason, count in limits.fallbacks.items():
        alone.add(count, reason=reason)
    return [
        Family("apimarket_limiter_shared", "gauge", "1 while limits are counted together with other servers.").add(
            int(not limits.resting)
        ),
        alone,
    ]


def _traffic(runtime: Runtime, names: Mapping[ApiId, str]) -> list[Family]:
    requests = Family("apimarket_requests_total", "counter", "Requests through the gateway.")
    seconds = Family("apimarket_request_duration_seconds", "histogram", "Time until an API's whole answer was sent.")
    in_flight = Family("apimarket_requests_in_flight", "gauge", "Requests and WebSockets under way.")
    circuits = Family("apimarket_circuit_open", "gauge", "1 while requests are refused because an API does not answer.")
    serving = Family("apimarket_replicas_serving", "gauge", "Replicas of an API that take requests.")
    wanted = Family("apimarket_replicas_wanted", "gauge", "Replicas of an API that should.")
    for api_id, meter in runtime.meter.of(names).items():
        _add(requests, seconds, meter, names[api_id])
    for api_id, count in runtime.gateway.routing.in_flight().items():
        if api_id in names:
            in_flight.add(count, api=names[api_id])
    for api_id, name in names.items():
        circuits.add(int(runtime.gateway.routing.circuit(api_id) != "closed"), api=name)
        status = runtime.executor.status(api_id)
        serving.add(status.replicas, api=name)
        wanted.add(status.replicas_wanted, api=name)
    return [requests, seconds, in_flight, circuits, serving, wanted]


def _add(requests: Family, seconds: Family, meter: ApiMeter, name: str) -> None:
    for status, count in sorted(meter.classes.items()):
        requests.add(count, api=name, status=status)
    seconds.add_histogram(BOUNDS_S, meter.buckets, meter.total_us / 1_000_000, api=name)
