"""HTTP of analytics: statistics and history, below `/api/v1/apis/{id}` and as the reference's analytics service."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from local_server.analytics.intake import take
from local_server.analytics.statistics import Point, Statistics, statistics
from local_server.analytics.windows import WINDOWS
from local_server.domain.executions import CallOutcome, Execution, outcome_of_status
from local_server.domain.ids import ApiId, KeyId, RequestId
from local_server.domain.registry import Api
from local_server.domain.usage import HistoryFilter
from local_server.registry.reference import register_convertor
from local_server.storage.base import Storage
from local_server.system import System
from local_server.wire.analytics import (
    ErrorGroup,
    GenerationStats,
    HistoryView,
    LogBatch,
    LogBody,
    LogExecution,
    Logged,
    PathStats,
    PopularityView,
    StatsPoint,
    StatsView,
    StatusClass,
    VersionStats,
    WindowName,
)
from local_server.wire.apis import ExecutionView, UsageView
from local_server.wire.moments import Moment

HISTORY_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class AnalyticsPorts:
    """What the routes are handed by the composition root."""

    store: Callable[[Request], tuple[Storage, System]]
    keep_days: Callable[[Request], int]
    """How long executions are kept."""
    find: Callable[[Request, str], Awaitable[Api]]
    """By id, slug or owner/slug. Raises ApiNotFound."""
    usage: Callable[[Request, Api], Awaitable[UsageView | None]]
    """Memory and CPU now; None while nothing runs."""
    execution_view: Callable[[Api, Execution], ExecutionView]


class HistoryQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: int = Field(100, ge=1, le=HISTORY_LIMIT)
    before: UUID | None = Field(None, description="The `next` of the page before.")
    errors: bool = Field(False, description="Only what was not ok, callers' mistakes included.")
    status: StatusClass | None = None
    outcome: CallOutcome | None = None
    method: str | None = Field(None, max_length=20)
    path: str | None = Field(None, max_length=2048, description="What the path begins with.")
    generation: int | None = Field(None, ge=0, le=2**31)
    key: str | None = Field(None, max_length=100, description="The id of the key it was made with.")
    version: str | None = Field(None, max_length=100, description="The version that answered.")
    since: Moment | None = Field(None, description="Started then or later.")
    until: Moment | None = Field(None, description="Started earlier.")

    def wanted(self) -> HistoryFilter:
        return HistoryFilter(
            status_class=int(self.status[0]) if self.status else None,
            outcome=self.outcome,
            not_ok=self.errors,
            method=self.method.upper() if self.method else None,
            path_prefix=self.path or None,
            generation=self.generation,
            key_id=KeyId(self.key) if self.key else None,
            version=self.version or None,
            since=self.since,
            until=self.until,
        )


def make_routers(ports: AnalyticsPorts) -> tuple[APIRouter, APIRouter]:
    """(control API below `/api/v1`, analytics service)."""
    register_convertor()
    control = APIRouter(tags=["analytics"])
    service = APIRouter(tags=["analytics service"])

    async def stats(request: Request, id: str, window: WindowName = "24h") -> StatsView:
        """Count, rate, errors, latency, popularity and resource use over the last hour, day, week or month."""
        api = await ports.find(request, id)
        storage, system = ports.store(request)
        found = await statistics(storage, system, api, WINDOWS[window])
        return stats_view(api, found, await ports.usage(request, api))

    async def history(request: Request, id: str, query: Annotated[HistoryQuery, Query()]) -> HistoryView:
        """Requests to the API, newest first, those that pass every filter that is given."""
        api = await ports.find(request, id)
        storage, _ = ports.store(request)
        before = str(query.before) if query.before else None
        page = await storage.read(lambda tx: tx.usage.page(api.id, query.wanted(), query.limit, before))
        return HistoryView(requests=[ports.execution_view(api, row) for row in page.rows], next=page.next)

    async def log(request: Request, body: LogBody) -> Logged:
        """Log one execution, or a batch, that was answered elsewhere. It is stored and counted when this answers."""
        storage, system = ports.store(request)
        entries = body.executions if isinstance(body, LogBatch) else [body]
        apis = {name: await ports.find(request, name) for name in dict.fromkeys(entry.api for entry in entries)}
        now = system.now()
        rows = [execution_from(entry, apis[entry.api].id, now, system.new_id) for entry in entries]
        accepted = await take(storage, rows, now, ports.keep_days(request))
        return Logged(accepted=accepted, known=len(rows) - accepted)

    control.add_api_route("/apis/{id:api}/stats", stats, methods=["GET"], operation_id="stats")
    control.add_api_route("/apis/{id:api}/history", history, methods=["GET"], operation_id="history")
    service.add_api_route("/log", log, methods=["POST"], status_code=201, operation_id="analytics_log")
    service.add_api_route("/stats/{id:api}", stats, methods=["GET"], operation_id="analytics_stats")
    service.add_api_route("/history/{id:api}", history, methods=["GET"], operation_id="analytics_history")
    return control, service


def stats_view(api: Api, found: Statistics, usage: UsageView | None) -> StatsView:
    tally = found.tally
    return StatsView(
        api=api.slug,
        id=api.id,
        window=found.window.name,
        since=found.since,
        until=found.until,
        requests=tally.requests,
        requests_per_s=round(found.requests_per_s, 6),
        success_rate=_share(found.success_rate),
        error_rate=_share(found.error_rate),
        mean_ms=_ms(found.mean_us),
        p50_ms=_ms(found.percentile_us(0.5)),
        p95_ms=_ms(found.percentile_us(0.95)),
        p99_ms=_ms(found.percentile_us(0.99)),
        bytes_in=tally.bytes_in,
        bytes_out=tally.bytes_out,
        statuses=by_class(tally.statuses),
        outcomes=dict(sorted(tally.outcomes.items())),
        points=[_point_view(point) for point in found.points],
        generations=[
            GenerationStats(
                number=number,
                requests=part.requests,
                errors=part.errors,
                mean_ms=_mean_ms(part.total_us, part.requests),
            )
            for number, part in found.generations
        ],
        versions=[
            VersionStats(
                version=version,
                requests=part.requests,
                errors=part.errors,
                mean_ms=_mean_ms(part.total_us, part.requests),
            )
            for version, part in found.versions
        ],
        paths=[
            PathStats(path=one.path, requests=one.requests, mean_ms=_mean_ms(one.total_us, one.requests))
            for one in found.paths
        ],
        errors=[ErrorGroup.model_validate(trouble, from_attributes=True) for trouble in found.troubles],
        popularity=PopularityView(rank=found.rank.place, of=found.rank.of, share=round(found.rank.share, 4)),
        usage=usage,
    )


def _point_view(point: Point) -> StatsPoint:
    return StatsPoint(
        starts_at=point.starts_at,
        requests=point.tally.requests,
        errors=point.tally.errors,
        p50_ms=_ms(point.percentile_us(0.5)),
        p95_ms=_ms(point.percentile_us(0.95)),
        p99_ms=_ms(point.percentile_us(0.99)),
        statuses=by_class(point.tally.statuses),
    )


def by_class(statuses: Mapping[int, int]) -> dict[str, int]:
    """Requests by `2xx`, in order; only the classes that occurred."""
    classes: dict[str, int] = {}
    for status, requests in sorted(statuses.items()):
        name = f"{status // 100}xx"
        classes[name] = classes.get(name, 0) + requests
    return classes


def execution_from(entry: LogExecution, api_id: ApiId, now: datetime, new_id: Callable[[], str]) -> Execution:
    return Execution(
        id=RequestId(str(entry.id) if entry.id else new_id()),
        api_id=api_id,
        generation=entry.generation,
        method=entry.method,
        path=entry.path.partition("?")[0],
        status=entry.status,
        outcome=entry.outcome or outcome_of_status(entry.status),
        started_at=entry.begun(now),
        total_us=round(entry.total_ms * 1000),
        upstream_us=round(entry.upstream_ms * 1000),
        bytes_in=entry.bytes_in,
        bytes_out=entry.bytes_out,
        held=entry.held,
        key_id=KeyId(entry.key_id) if entry.key_id else None,
        version=entry.version,
        cached=entry.cached,
    )


def _ms(us: float | None) -> float | None:
    return None if us is None else round(us / 1000, 3)


def _mean_ms(total_us: int, requests: int) -> float:
    return round(total_us / requests / 1000, 3) if requests else 0.0


def _share(share: float | None) -> float | None:
    return None if share is None else round(share, 4)
