"""HTTP of the request inspector, below `/api/v1/apis/{id}/exchanges`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel

from local_server.domain.ids import ApiId
from local_server.domain.registry import Api
from local_server.inspection.service import Inspection
from local_server.inspection.views import compare_view, concealed, exchange_summary, exchange_view, replay_view
from local_server.registry.reference import register_convertor
from local_server.wire.exchanges import (
    CompareExchange,
    CompareView,
    ExchangeSummary,
    ExchangeView,
    Forgotten,
    ReplayExchange,
    ReplayView,
)

V = TypeVar("V", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class InspectionPorts:
    """What the routes are handed by the composition root."""

    inspection: Callable[[Request], Inspection]
    find: Callable[[Request, str], Awaitable[Api]]
    """By id, slug or owner/slug. Raises ApiNotFound."""
    conceal: Callable[[Request, ApiId, str], str]
    """A text without the values of the API's secrets."""


def make_router(ports: InspectionPorts) -> APIRouter:
    register_convertor()
    router = APIRouter(prefix="/apis/{id:api}/exchanges", tags=["inspector"])

    @router.get("")
    async def exchanges(
        request: Request,
        id: str,
        limit: int = Query(50, ge=1, le=1000),
        path: str = Query("", max_length=2048, description="What the path begins with."),
        errors: bool = Query(False, description="Only what was not ok, callers' mistakes included."),
    ) -> list[ExchangeSummary]:
        """The last requests to the API that are kept whole, newest first."""
        api = await ports.find(request, id)
        found = ports.inspection(request).exchanges(api, limit, path, errors=errors)
        return [_concealed(ports, request, api, exchange_summary(one)) for one in found]

    @router.delete("")
    async def forget_exchanges(request: Request, id: str) -> Forgotten:
        """Forget every kept request of the API."""
        api = await ports.find(request, id)
        return Forgotten(forgotten=ports.inspection(request).forget(api))

    @router.get("/{request_id}")
    async def exchange(request: Request, id: str, request_id: str) -> ExchangeView:
        """One request and its answer: headers and bodies, with secrets redacted, and the curl command for it."""
        api = await ports.find(request, id)
        return _concealed(ports, request, api, exchange_view(ports.inspection(request).find(api, request_id)))

    @router.post("/{request_id}/replay")
    async def replay_exchange(
        request: Request, id: str, request_id: str, body: ReplayExchange | None = None
    ) -> ReplayView:
        """Send the request again as it was, to what serves now or to another generation, and answer what that says."""
        api = await ports.find(request, id)
        generation = body.generation if body else None
        answer = await ports.inspection(request).replay(api, request_id, generation)
        return _concealed(ports, request, api, replay_view(answer))

    @router.post("/{request_id}/compare")
    async def compare_exchange(request: Request, id: str, request_id: str, body: CompareExchange) -> CompareView:
        """Send the request again to another generation and to the one that serves, and tell how the answers differ."""
        api = await ports.find(request, id)
        comparison = await ports.inspection(request).compare(api, request_id, body.generation)
        return _concealed(ports, request, api, compare_view(comparison))

    return router


def _concealed(ports: InspectionPorts, request: Request, api: Api, view: V) -> V:
    return concealed(view, lambda text: ports.conceal(request, api.id, text))
