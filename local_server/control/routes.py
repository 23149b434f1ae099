"""Routes about the server itself."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from local_server import __version__
from local_server.doctor import examine
from local_server.registry.reference import register_convertor
from local_server.runtime import Runtime
from local_server.views import execution_view
from local_server.wire.apis import ExecutionView
from local_server.wire.server import Ack, Check, Health, Ready, ServerView

register_convertor()
open_router = APIRouter(tags=["health"])
"""Needs no token."""
router = APIRouter(prefix="/api/v1", tags=["server"])


class EventStream(StreamingResponse):
    media_type = "text/event-stream"


def runtime_of(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


@open_router.get("/", include_in_schema=False)
async def root() -> RedirectResponse:
    return RedirectResponse("/docs")


@open_router.get("/health")
async def health(request: Request) -> Health:
    """The server is alive, and what it is made of."""
    runtime = runtime_of(request)
    return Health(
        status="ok",
        version=__version__,
        profile=runtime.settings.profile,
        engine=runtime.executor.engine_name,
        storage=runtime.storage.description,
    )


@open_router.get("/ready", responses={503: {"description": "The engine does not answer", "model": Ready}})
async def ready(request: Request, response: Response) -> Ready:
    """Whether APIs can be started now: 503 while the engine does not answer (what serves may serve on)."""
    engine = runtime_of(request).executor.health
    response.status_code = 200 if engine.available else 503
    return Ready(ready=engine.available, engine=engine.detail or engine.version)


@router.get("/server")
async def server(request: Request) -> ServerView:
    """This server, in detail."""
    return runtime_of(request).server_view()


@router.post("/server/stop", status_code=202)
async def stop_server(request: Request, apis: bool = False) -> Ack:
    """End the server. Under Docker the APIs run on, unless `apis` is true."""
    runtime_of(request).stop(apis)
    return Ack(detail="The server ends." if not apis else "The server and its APIs end.")


@router.get("/doctor")
async def doctor(request: Request) -> list[Check]:
    """What works on this machine, what does not, and what mends it."""
    runtime = runtime_of(request)
    executor = runtime.executor
    return await asyncio.to_thread(
        examine, runtime.settings.home, executor.engine_name, executor.health, executor.memory_mb(), runtime.limits
    )


@router.get("/apis/{id:api}/requests")
async def requests(
    request: Request, id: str, limit: int = Query(100, ge=1, le=1000), before: UUID | None = None
) -> list[ExecutionView]:
    """The last requests through the gateway, newest first; `before` is the id of the last one seen."""
    runtime = runtime_of(request)
    api = await runtime.registry.resolve(id)
    rows = await runtime.access_log.history(api.id, limit, str(before) if before else None)
    return [execution_view(api, row) for row in rows]


@router.get("/events", response_class=EventStream)
async def events(request: Request, topics: str = "api,traffic,engine") -> StreamingResponse:
    """Server-Sent Events. Topics: api, traffic, engine, outbox, pull, and for one API log:ID and requests:ID. A stream
    that broke off resumes with Last-Event-ID; a `resync` event says that something was missed."""
    runtime = runtime_of(request)
    wanted = [topic for topic in topics.split(",") if topic]
    resume = request.headers.get("last-event-id")
    stream: AsyncIterator[bytes] = runtime.stream.follow(wanted, resume)
    return EventStream(stream, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
