"""HTTP of the executor: run, restart, stop, undo, and what became of it.

The same acts stand below `/api/v1/apis/{id}` (the control API) and as the reference's executor service
(`/executor/deploy`, `/executor/stop/{id}` ...), which a role of its own serves at its root.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Body, Query, Request

from local_server.domain.deployments import Failure, Generation
from local_server.domain.events import LogLine
from local_server.domain.executor_errors import NothingToUndo
from local_server.domain.registry import Api
from local_server.executor.fleet import Move
from local_server.executor.service import Executor
from local_server.registry.reference import register_convertor
from local_server.wire.apis import ApiView, DeployApi, FailureView, GenerationView, LogLineView
from local_server.wire.moments import Moment
from local_server.wire.versions import DeployVersion


@dataclass(frozen=True, slots=True)
class ExecutorPorts:
    """What the routes are handed by the composition root."""

    executor: Callable[[Request], Executor]
    find: Callable[[Request, str], Awaitable[Api]]
    """By id, slug or owner/slug. Raises ApiNotFound."""
    view: Callable[[Request, Api], Awaitable[ApiView]]


def make_routers(ports: ExecutorPorts) -> tuple[APIRouter, APIRouter]:
    """(control API below `/api/v1`, executor service)."""
    register_convertor()
    control = APIRouter(tags=["executor"])
    service = APIRouter(tags=["executor service"])

    async def deploy(request: Request, id: str, body: DeployVersion | None = None) -> ApiView:
        """Run the API from its directory, now and after every restart of the server; or, with a `version`, make an
        immutable version of what serves now, run that beside, and move the traffic to it once it is ready."""
        api = await ports.find(request, id)
        if body is None:
            await ports.executor(request).deploy(api)
        else:
            move = Move(body.version, body.weight, body.channel)
            await ports.executor(request).deploy_version(api, body.version, move)
        return await ports.view(request, api)

    async def restart(request: Request, id: str) -> ApiView:
        """Start a fresh process of the same code beside the old one, and move the traffic over: nothing is dropped."""
        api = await ports.find(request, id)
        await ports.executor(request).restart(api)
        return await ports.view(request, api)

    async def stop(
        request: Request,
        id: str,
        directory: bool = Query(False, description="Only what its directory runs, which may have no traffic."),
    ) -> ApiView:
        """Stop the API and all its versions after the requests under way, and keep it stopped."""
        api, executor = await ports.find(request, id), ports.executor(request)
        await (executor.stop_directory(api) if directory else executor.stop(api))
        return await ports.view(request, api)

    async def status(request: Request, id: str) -> ApiView:
        """What the API is doing now."""
        return await ports.view(request, await ports.find(request, id))

    async def undo(request: Request, id: str) -> ApiView:
        """Go back to the generation before; the directory counts again at the next save."""
        api = await ports.find(request, id)
        if await ports.executor(request).undo(api) is None:
            raise NothingToUndo(api.slug)
        return await ports.view(request, api)

    async def generations(request: Request, id: str, limit: int = Query(50, ge=1, le=500)) -> list[GenerationView]:
        """What became of the last saves, newest first."""
        api = await ports.find(request, id)
        found = await ports.executor(request).generations(api, limit)
        return [generation_view(generation) for generation in found]

    async def logs(
        request: Request,
        id: str,
        limit: int = Query(200, ge=1, le=5000),
        since: Moment | None = None,
        version: str = Query("", max_length=64, description="What one version printed, rather than the directory."),
        generation: int | None = Query(
            None, ge=0, description="Only what this one printed; 0: what is no generation's."
        ),
    ) -> list[LogLineView]:
        """The newest lines that the API printed, oldest first. Follow them with `/api/v1/events?topics=log:ID`, those
        of a version with `log:ID@VERSION`."""
        api, executor = await ports.find(request, id), ports.executor(request)
        log = await executor.versions.log(api, version) if version else executor.log(api)
        if generation is None:
            return log_views(api, log.tail(limit, since))
        return log_views(api, await log.of_generation(generation, limit, since))

    for name, act in {"deploy": deploy, "restart": restart, "stop": stop, "undo": undo}.items():
        control.add_api_route(f"/apis/{{id:api}}/{name}", act, methods=["POST"], status_code=202, operation_id=name)
    control.add_api_route("/apis/{id:api}/status", status, methods=["GET"], operation_id="status")
    control.add_api_route("/apis/{id:api}/generations", generations, methods=["GET"], operation_id="generations")
    control.add_api_route("/apis/{id:api}/logs", logs, methods=["GET"], operation_id="logs")

    async def service_deploy(request: Request, wanted: DeployApi = Body(...)) -> ApiView:
        """Deploy a registered API."""
        return await deploy(request, wanted.id)

    service.add_api_route("/deploy", service_deploy, methods=["POST"], status_code=202, operation_id="executor_deploy")
    for name, act in {"stop": stop, "restart": restart}.items():
        path = f"/{name}/{{id:api}}"
        service.add_api_route(path, act, methods=["POST"], status_code=202, operation_id=f"executor_{name}")
    service.add_api_route("/status/{id:api}", status, methods=["GET"], operation_id="executor_status")
    return control, service


def failure_view(failure: Failure) -> FailureView:
    return FailureView(
        kind=failure.kind,
        message=failure.message,
        headline=failure.headline,
        file=failure.file,
        line=failure.line,
        traceback=failure.traceback,
        hint=failure.hint,
    )


def generation_view(generation: Generation) -> GenerationView:
    return GenerationView(
        number=generation.number,
        digest=generation.tree,
        outcome=generation.outcome,
        started_at=generation.started_at,
        deps_key=generation.deps_key,
        timings_ms={str(phase): ms for phase, ms in generation.timings_ms.items()},
        failure=failure_view(generation.failure) if generation.failure else None,
    )


def log_views(api: Api, lines: Sequence[LogLine]) -> list[LogLineView]:
    return [
        LogLineView(
            api=api.slug,
            generation=line.generation,
            stream=line.stream,
            text=line.text,
            at=line.at,
            replica=line.replica,
        )
        for line in lines
    ]
