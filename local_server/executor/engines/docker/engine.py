"""Docker as an engine: one container a sandbox, layers and builds in containers of their own."""

import asyncio
import logging
import os
import shutil
import socket
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from docker.errors import APIError

from local_server.domain.errors import ApimarketError
from local_server.domain.executor_errors import EngineUnavailable, SandboxFailed
from local_server.domain.ids import ApiId
from local_server.domain.manifest import Runtime
from local_server.executor.engine import (
    BuildRequest,
    EngineHealth,
    EngineSettings,
    Layer,
    LayerRequest,
    Progress,
    Sandbox,
    SandboxSpec,
)
from local_server.executor.engines.docker.boxes import (
    adopted_identity,
    builder_identity,
    sandbox_box,
    sandbox_identity,
)
from local_server.executor.engines.docker.containers import (
    create_container,
    inspect_container,
    ours,
    refused_start,
    remove_container,
)
from local_server.executor.engines.docker.daemon import Client, Daemon, DaemonFacts, Refused
from local_server.executor.engines.docker.events import watch_out_of_memory
from local_server.executor.engines.docker.go import DockerGo
from local_server.executor.engines.docker.hardening import Box, give_to_container
from local_server.executor.engines.docker.identity import ContainerIdentity
from local_server.executor.engines.docker.images import Images, image_id, image_name
from local_server.executor.engines.docker.installer import DockerInstaller
from local_server.executor.engines.docker.labels import Labels
from local_server.executor.engines.docker.links import LinkGuard, Links, resolvers
from local_server.executor.engines.docker.networks import (
    ensure_network,
    is_internal,
    network_name,
    remove_network,
    remove_unused_networks,
)
from local_server.executor.engines.docker.sandbox import DockerSandbox
from local_server.executor.engines.ports import random_block
from local_server.executor.layers.declared import read_declared
from local_server.executor.layers.store import Layers, layer_key

log = logging.getLogger(__name__)

_HEALTH_S = 3.0


def _silently(_line: str) -> None:
    """Progress nobody watches."""


class DockerEngine:
    name: ClassVar[Literal["docker"]] = "docker"
    isolated = True

    def __init__(self, settings: EngineSettings) -> None:
        environment = settings.environment or dict(os.environ)
        self._settings = replace(settings, environment=environment, home=settings.home.resolve())
        self._home = self._settings.home
        self._daemon = Daemon(environment)
        self._labels = Labels(settings.install_id)
        self._images = Images(self._daemon, str(self._home))
        self._links = Links(self._daemon, self._labels)
        self._installer = DockerInstaller(
            self._daemon, self._images, self._labels, self._home / "cache", environment, self._guard
        )
        self._layers = Layers(self._home, self._installer, give_to_container)
        self._go = DockerGo(self._settings, self._images, self._installer, self._start_builder)
        self._sandboxes: dict[str, DockerSandbox] = {}
        self._starts: dict[ApiId, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._events: asyncio.Task[None] | None = None
        self._cleanups: set[asyncio.Task[None]] = set()
        self._closed = False

    async def health(self) -> EngineHealth:
        try:
            async with asyncio.timeout(_HEALTH_S):
                await self._daemon.call(lambda client: client.ping())
                facts = await self._daemon.facts()
        except TimeoutError:
            return EngineHealth(False, "", f"{self._daemon.url} did not answer within {_HEALTH_S:.0f} s")
        except EngineUnavailable as error:
            self._daemon.forget()
            return EngineHealth(False, "", error.detail)
        except APIError as error:
            return EngineHealth(False, "", f"{self._daemon.url} refused to answer: {error.explanation}")
        return EngineHealth(True, facts.version, f"{facts.operating_system}, {facts.cpus} processors")

    # -- layers and builds -----------------------------------------------------------------------------------------

    def layer_key(self, request: LayerRequest) -> str:
        image = image_name(request.runtime, request.runtime_version)
        made_for = self._images.cached_id(image) or self._daemon.call_here(lambda client: image_id(client, image))
        return layer_key(request.runtime, read_declared(request.runtime, request.source), made_for or image)

    async def prepare(self, request: LayerRequest, progress: Progress) -> Layer:
        image = image_name(request.runtime, request.runtime_version)
        if request.runtime is Runtime.GO:
            await self._go.agent(request.runtime_version, progress)
        return await self._layers.prepare(request, image, progress)

    async def build(self, request: BuildRequest, progress: Progress) -> None:
        await self._go.build(request, progress)

    # -- sandboxes -------------------------------------------------------------------------------------------------

    async def start(self, spec: SandboxSpec) -> Sandbox:
        facts = await self._daemon.facts()
        if not spec.egress and not facts.dials_containers:
            raise SandboxFailed(
                f"{spec.name} forbids outgoing connections, which this Docker ({facts.operating_system}) cannot do "
                "for a container that is reached through published ports",
                hint="Set `egress = true` in apimarket.toml, or run it where Docker is native to Linux.",
            )
        await self._images.ensure(spec.layer.image, _silently)
        agent = await self._go.agent(spec.runtime_version, _silently) if spec.runtime is Runtime.GO else None
        path = await self._images.search_path(spec.layer.image)
        network = network_name(self._settings.install_id, spec.api_id, egress=spec.egress)
        ports = random_block()
        labels = self._labels.of("sandbox", ports=f"{ports.start}-{ports.stop - 1}")
        published = {} if facts.dials_containers else await asyncio.to_thread(_publish, ports)
        box = await asyncio.to_thread(sandbox_box, spec, labels, network, self._home / "cache", path, agent)
        box = replace(box, published=published)
        async with self._starts[spec.api_id]:
            await self._remove_strays(spec.api_id)
            name = spec.name if spec.replica == 1 else f"{spec.name}.{spec.replica}"
            return await self._create(box, name, lambda container: sandbox_identity(spec, container, ports), facts)

    async def _start_builder(self, box: Box) -> DockerSandbox:
        facts = await self._daemon.facts()
        box = replace(box, network=self._labels.outside(), labels=self._labels.of("builder"))
        return await self._create(box, "go-builder", lambda container: builder_identity(box, container), facts)

    async def _create(
        self, box: Box, name: str, identify: Callable[[str], ContainerIdentity], facts: DaemonFacts
    ) -> DockerSandbox:
        closed = is_internal(box.network)
        if not closed and facts.dials_containers:
            box = replace(box, resolvers=await resolvers())
        container_name = self._labels.new_name(name)
        labels = self._labels.of("network")

        def create(client: Client) -> str:
            ensure_network(client, box.network, labels, internal=is_internal(box.network))
            return create_container(client, box, facts, container_name)

        try:
            container = await self._daemon.make(create, remove_container)
        except APIError as error:
            raise refused_start(error, name) from error
        guard = None if closed else self._guard(box.image)
        sandbox = DockerSandbox(self._daemon, identify(container), dial=facts.dials_containers, guard=guard)
        try:
            await sandbox.start_new()
        except BaseException as error:
            await self._daemon.call(lambda client: remove_container(client, container))
            await self._daemon.call(lambda client: remove_network(client, box.network))
            if isinstance(error, APIError):
                raise refused_start(error, name) from error
            if isinstance(error, Refused):
                raise SandboxFailed(f"Docker did not attach to the container of {name}: {error.message}") from error
            raise
        self._register(sandbox, box.network)
        return sandbox

    def _guard(self, image: str) -> LinkGuard:
        return LinkGuard(self._links, image, self._settings.for_others)

    def _register(self, sandbox: DockerSandbox, network: str) -> None:
        self._sandboxes[sandbox.id] = sandbox
        sandbox.on_end = lambda ended: self._ended(ended, network)
        if self._events is None:
            watching = watch_out_of_memory(self._daemon, self._settings.install_id, self._out_of_memory)
            self._events = asyncio.create_task(watching, name="docker-events")

    def _out_of_memory(self, container: str) -> None:
        if sandbox := self._sandboxes.get(container):
            sandbox.note_out_of_memory()

    def _ended(self, sandbox: DockerSandbox, network: str) -> None:
        self._sandboxes.pop(sandbox.id, None)
        if sandbox.detached:
            return
        cleanup = asyncio.create_task(self._remove_network(sandbox.api_id, network), name=f"network-{network}")
        self._cleanups.add(cleanup)
        cleanup.add_done_callback(self._cleanups.discard)

    async def _remove_network(self, api_id: ApiId, network: str) -> None:
        async with self._starts[api_id]:
            try:
                await self._daemon.call(lambda client: remove_network(client, network))
            except (APIError, EngineUnavailable) as error:
                log.info("network %s stays until the next start: %s", network, error)

    async def _remove_strays(self, api_id: ApiId) -> None:
        """Containers of this API nobody holds: a daemon that was away may have brought them back."""
        known = set(self._sandboxes)

        def remove(client: Client) -> None:
            for container in ours(client, self._settings.install_id, role="sandbox", api=api_id):
                if container["Id"] not in known:
                    remove_container(client, container["Id"])

        await self._daemon.call(remove)

    # -- what an earlier server left -------------------------------------------------------------------------------

    async def adopt(self) -> list[Sandbox]:
        facts = await self._daemon.facts()
        await asyncio.to_thread(shutil.rmtree, self._home / "builds", ignore_errors=True)
        containers = await self._daemon.call(lambda client: ours(client, self._settings.install_id))
        adopted = [await self._adopt(str(found["Id"]), facts) for found in containers]
        await self._daemon.call(lambda client: remove_unused_networks(client, self._settings.install_id))
        return [sandbox for sandbox in adopted if sandbox is not None]

    async def _adopt(self, container: str, facts: DaemonFacts) -> Sandbox | None:
        if container in self._sandboxes:
            return None
        state = await self._daemon.call(lambda client: inspect_container(client, container))
        if state is None:
            return None
        identity = adopted_identity(state.labels, container)
        if identity is not None and state.running:
            guard = None if is_internal(state.network) else self._guard(state.image)
            sandbox = DockerSandbox(self._daemon, identity, dial=facts.dials_containers, guard=guard)
            try:
                await sandbox.adopt(state)
            except (Refused, ApimarketError) as error:
                log.warning("container %s cannot be adopted and is removed: %s", container[:12], error)
                await sandbox.detach()
            else:
                self._register(sandbox, state.network)
                return sandbox
        await self._daemon.call(lambda client: remove_container(client, container))
        return None

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._layers.close()
        await self._go.close()
        await asyncio.gather(*(sandbox.detach() for sandbox in list(self._sandboxes.values())))
        tasks = [*self._cleanups, *([self._events] if self._events else [])]
        if self._events is not None:
            self._events.cancel()
        if tasks:
            await asyncio.wait(tasks)
        try:
            await self._daemon.call(lambda client: remove_unused_networks(client, self._settings.install_id))
        except (APIError, EngineUnavailable) as error:
            log.info("unused networks stay until the next start: %s", error)
        self._daemon.close()


def _publish(ports: Sequence[int]) -> dict[int, int]:
    """Ports of 127.0.0.1 for the ports inside, fixed for the container's life. Blocking."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in ports]
    try:
        return {port: int(found.getsockname()[1]) for port, found in zip(ports, sockets, strict=True)}
    finally:
        for found in sockets:
            found.close()
