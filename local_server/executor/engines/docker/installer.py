"""Installing dependencies, and compiling the Go agent, in containers that are thrown away.

The container is as hardened as a sandbox, with a network to reach package indexes and more memory. It sees the layer
under the path the sandboxes will see it under, so that the paths pip writes into scripts are right.
"""

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from docker.errors import APIError

from local_server.domain.executor_errors import EngineUnavailable, SandboxFailed
from local_server.domain.manifest import Runtime
from local_server.executor.engines.docker.attach import attach
from local_server.executor.engines.docker.containers import (
    create_container,
    inspect_container,
    refused_start,
    remove_container,
)
from local_server.executor.engines.docker.daemon import Daemon, Refused
from local_server.executor.engines.docker.hardening import Box, Mount, give_to_container
from local_server.executor.engines.docker.images import Images, image_name
from local_server.executor.engines.docker.labels import Labels
from local_server.executor.engines.docker.links import CLOSED, LinkGuard, resolvers
from local_server.executor.engines.docker.networks import ensure_network
from local_server.executor.layers.index_settings import container_settings, write_settings
from local_server.executor.layers.installer import LineSink, Places, Steps, Work
from local_server.executor.layers.steps import install_steps

LAYER_INSIDE = "/srv/api/layer"
MEMORY_MB, PIDS, TMP_MB = 2048, 1024, 1024
_WAIT = "read -r go"
"""For a line, which comes when the container is as it should be."""
_PLACES = Places(LAYER_INSIDE, "/srv/source", "/srv/settings", "/srv/cache")


class DockerInstaller:
    def __init__(
        self,
        daemon: Daemon,
        images: Images,
        labels: Labels,
        cache: Path,
        environment: Mapping[str, str],
        guard: Callable[[str], LinkGuard],
    ) -> None:
        """`guard` of an image: packages run code of their own while they are installed."""
        self._daemon = daemon
        self._images = images
        self._labels = labels
        self._cache = cache
        self._environment = environment
        self._guard = guard

    async def made_for(self, runtime: Runtime, version: str | None, progress: LineSink) -> str:
        return await self._images.ensure(image_name(runtime, version), progress)

    async def install(self, work: Work, line: LineSink) -> int:
        for name in ("pip", "npm"):
            give_to_container(self._cache / name)
        write_settings(self._environment, work.settings)
        locked = (work.source / "package-lock.json").is_file()
        tool = ("python", "-m", "pip") if work.runtime is Runtime.PYTHON else ("npm",)
        steps = install_steps(work.runtime, _PLACES, "python", tool, locked=locked)
        mounts = (
            Mount(work.layer, LAYER_INSIDE, writable=True),
            Mount(work.source, _PLACES.source),
            Mount(work.settings, _PLACES.settings),
            Mount(self._cache / "pip", f"{_PLACES.cache}/pip", writable=True),
            Mount(self._cache / "npm", f"{_PLACES.cache}/npm", writable=True),
        )
        bundle = bool((work.settings / "ca.pem").stat().st_size)
        chosen = container_settings(self._environment, _PLACES.settings, bundle=bundle)
        return await self.run(image_name(work.runtime, work.runtime_version), steps, mounts, chosen, line)

    async def install_nothing(self, work: Work) -> None:
        """An empty directory will do: the image's interpreter has no packages of anybody's."""

    async def run(
        self, image: str, steps: Steps, mounts: tuple[Mount, ...], environment: Mapping[str, str], line: LineSink
    ) -> int:
        """Run commands in a container of their own; the exit code. Cancelling removes the container.
        Raises EngineUnavailable, SandboxFailed."""
        facts = await self._daemon.facts()
        network, labels = self._labels.outside(), self._labels.of("installer")
        name = self._labels.new_name("install")
        await self._daemon.call(
            lambda client: ensure_network(client, network, self._labels.of("outside"), internal=False)
        )
        script = " && ".join(shlex.join(command) for command in steps.commands)
        box = Box(
            image,
            ("sh", "-c", f"{_WAIT} && cd {shlex.quote(steps.workdir)} && {script}"),
            network,
            labels,
            {"HOME": "/tmp", **environment, **steps.environment},  # noqa: S108 - inside the container
            mounts,
            MEMORY_MB,
            facts.cpus,
            PIDS,
            TMP_MB,
            resolvers=await resolvers() if facts.dials_containers else (),
        )
        try:
            container = await self._daemon.make(
                lambda client: create_container(client, box, facts, name), remove_container
            )
        except APIError as error:
            raise refused_start(error, "an installation") from error
        try:
            return await self._follow(container, self._guard(image), line)
        finally:
            await self._daemon.call(lambda client: remove_container(client, container))

    async def _follow(self, container: str, guard: LinkGuard, line: LineSink) -> int:
        try:
            channel = await attach(self._daemon, container)
        except Refused as refusal:
            raise SandboxFailed(f"Docker did not attach to an installation: {refusal.message}") from refusal
        try:
            await self._daemon.call(lambda client: client.start(container))
            if open_why := await guard.close_off(container):
                words = f"{CLOSED} cannot be closed off from an installation: {open_why}"
                if guard.must:
                    raise SandboxFailed(words)
                line(f"WARNING: {words}")
            await channel.send({"t": "go"})
            async for text in channel.texts():
                line(text)
        except APIError as error:
            raise refused_start(error, "an installation") from error
        except OSError as error:
            raise SandboxFailed(f"The channel to an installation broke: {error}") from error
        finally:
            await channel.close()
        result = await self._daemon.call(lambda client: client.wait(container, timeout=30))
        state = await self._daemon.call(lambda client: inspect_container(client, container))
        if state is None:
            raise EngineUnavailable("docker", "the container of an installation was removed by somebody else")
        if state.out_of_memory:
            line(f"ERROR: the installation needed more than {MEMORY_MB} MB of memory")
        return int(result["StatusCode"])
