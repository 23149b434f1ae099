"""Puts together what outsiders see of one API, from the registry, the executor and the traffic."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from local_server.domain.executions import Execution
from local_server.domain.ids import ApiId
from local_server.domain.registry import Api
from local_server.domain.traffic import TrafficFigures
from local_server.executor.routes import failure_view, generation_view
from local_server.executor.service import Executor
from local_server.wire.apis import ApiView, ContainerView, ExecutionView, ReplicasView, TrafficView, UsageView

USAGE_S = 2.0
"""Memory and CPU are asked of the engine at most this often for one API."""


@dataclass(slots=True)
class _Usage:
    asked_at: float
    cpu_seconds: float
    view: UsageView | None


class Views:
    """`base_url` is where the server answers, without a slash at the end; `port` is in the host URLs."""

    def __init__(
        self,
        executor: Executor,
        figures: Callable[[ApiId], TrafficFigures],
        circuit: Callable[[ApiId], str],
        base_url: str,
        port: int,
    ) -> None:
        self._executor = executor
        self._figures = figures
        self._circuit = circuit
        self._base_url = base_url
        self._port = port
        self._usage: dict[ApiId, _Usage] = {}

    def api(self, api: Api) -> ApiView:
        """The API as it is now, without asking the engine anything."""
        status = self._executor.status(api.id)
        manifest = api.manifest
        known = self._usage.get(api.id)
        return ApiView(
            id=api.id,
            name=api.slug,
            owner=api.owner,
            runtime=manifest.runtime + (manifest.runtime_version or ""),
            state=status.state,
            engine=self._executor.engine_name,
            isolated=self._executor.isolated,
            url=f"{self._base_url}/{api.owner}/{api.slug}/",
            host_url=f"http://{api.slug}.localhost:{self._port}/",
            version=manifest.version,
            error=status.failure.headline if status.failure else None,
            failure=failure_view(status.failure) if status.failure else None,
            progress=status.progress,
            generation=generation_view(status.newest) if status.newest else None,
            serving=status.serving,
            replicas=ReplicasView(serving=status.replicas, wanted=status.replicas_wanted),
            circuit=self._circuit(api.id),
            shares=self._shares(api.id),
            directory=api.directory,
            summary=manifest.summary,
            tags=list(manifest.tags),
            visibility=manifest.visibility,
            desired_state=status.desired,
            entry=manifest.run.entry,
            health=manifest.run.health,
            memory_mb=manifest.run.memory_mb,
            cpus=manifest.run.cpus,
            revision=api.revision,
            created_at=api.created_at,
            updated_at=api.updated_at,
            traffic=traffic_view(self._figures(api.id)),
            usage=known.view if known and status.serving else None,
            container=self._container(api.id),
        )

    def _container(self, api_id: ApiId) -> ContainerView | None:
        found = self._executor.container(api_id)
        return ContainerView(id=found[0], trees=found[1]) if found is not None else None

    def _shares(self, api_id: ApiId) -> dict[str, int]:
        fleet = self._executor.versions.known(api_id)
        return {} if fleet is None or fleet.pointer.is_directory else dict(fleet.pointer.shares)

    async def api_with_usage(self, api: Api) -> ApiView:
        """The same with memory and CPU, which the engine is asked for if the last answer is old."""
        await self._ask_usage(api.id)
        return self.api(api)

    async def _ask_usage(self, api_id: ApiId) -> None:
        now = time.monotonic()
        before = self._usage.get(api_id)
        if before is not None and now - before.asked_at < USAGE_S:
            return
        usage = await self._executor.usage(api_id)
        if usage is None:
            self._usage.pop(api_id, None)
            return
        percent = 0.0
        if before is not None and usage.cpu_seconds >= before.cpu_seconds:
            percent = (usage.cpu_seconds - before.cpu_seconds) / (now - before.asked_at) * 100
        view = UsageView(memory_bytes=usage.memory_bytes, cpu_percent=round(percent, 1))
        self._usage[api_id] = _Usage(now, usage.cpu_seconds, view)


def traffic_view(figures: TrafficFigures) -> TrafficView:
    return TrafficView(
        requests_per_s=figures.requests_per_s,
        p95_ms=figures.p95_ms,
        error_rate=figures.error_rate,
        history=list(figures.history),
    )


def execution_view(api: Api, row: Execution) -> ExecutionView:
    return ExecutionView(
        id=row.id,
        api=api.slug,
        generation=row.generation,
        method=row.method,
        path=row.path,
        status=row.status,
        outcome=row.outcome,
        started_at=row.started_at,
        total_ms=row.total_us / 1000,
        upstream_ms=row.upstream_us / 1000,
        bytes_in=row.bytes_in,
        bytes_out=row.bytes_out,
        held=row.held,
        key_id=row.key_id,
        version=row.version,
        cached=row.cached,
    )
