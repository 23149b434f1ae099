"""Go under Docker: the agent compiled once, and one builder container for each Go version.

The builder sees every API's trees read-only and writes only into `home/builds`; a finished program is moved from there
to its place among the trees, where the sandboxes see it read-only.
"""

import asyncio
import os
import secrets
import shutil
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path

from local_server.domain.executor_errors import BuildFailed, DependenciesFailed
from local_server.domain.manifest import Runtime
from local_server.executor.agents.support import copied_agent
from local_server.executor.engine import BuildRequest, EngineSettings, Progress
from local_server.executor.engines.builder import Builder
from local_server.executor.engines.docker.hardening import Box, Mount, give_to_container
from local_server.executor.engines.docker.images import Images, image_name
from local_server.executor.engines.docker.installer import DockerInstaller
from local_server.executor.engines.docker.sandbox import DockerSandbox
from local_server.executor.engines.go_agent import COMPILE, build_environment, sources_digest
from local_server.executor.layers.index_settings import CA_FILE, container_settings, write_settings
from local_server.executor.layers.installer import Steps

AGENT_INSIDE = "/srv/agent"
BUILDER_MEMORY_MB, BUILDER_PIDS, BUILDER_TMP_MB = 4096, 1024, 1024
_CACHES = ("/srv/cache/go-build", "/srv/cache/go-mod")
StartBox = Callable[[Box], Awaitable[DockerSandbox]]


class DockerGo:
    def __init__(self, settings: EngineSettings, images: Images, installer: DockerInstaller, start: StartBox) -> None:
        """`start` creates and starts a builder's box; its network and labels are filled in there."""
        self._home = settings.home
        self._environment = settings.environment
        self._images = images
        self._installer = installer
        self._start = start
        self._builders: dict[str, Builder] = {}
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def agent(self, version: str | None, progress: Progress) -> Path:
        """The directory of the compiled agent: compiled now unless it was once, for this image and these sources.
        Raises ImageMissing, DependenciesFailed, EngineUnavailable."""
        image = image_name(Runtime.GO, version)
        made_for = await self._images.ensure(image, progress)
        source = await asyncio.to_thread(copied_agent, Runtime.GO, self._home / "cache")
        directory = self._home / "cache" / "agents" / await asyncio.to_thread(sources_digest, source, made_for)
        async with self._locks[str(directory)]:
            if not (directory / "agent").exists():
                progress("compiling the Go agent, once")
                await self._compile(image, source, directory, progress)
        return directory

    async def _compile(self, image: str, source: Path, directory: Path, progress: Progress) -> None:
        unfinished = directory.with_name(f"{directory.name}.{secrets.token_hex(4)}")
        give_to_container(unfinished)
        command = ("go", *COMPILE, "-o", "/srv/out/agent", ".")
        mounts = (Mount(source, "/srv/source"), Mount(unfinished, "/srv/out", writable=True), *self._caches())
        log: list[str] = []
        try:
            code = await self._installer.run(
                image, Steps((command,), build_environment({}, *_CACHES), "/srv/source"), mounts, {}, log.append
            )
            if code != 0:
                raise DependenciesFailed("the Go agent", log[-1] if log else f"go ended with {code}", "\n".join(log))
            shutil.rmtree(directory, ignore_errors=True)
            os.replace(unfinished, directory)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _caches(self) -> tuple[Mount, ...]:
        cache = self._home / "cache"
        for name in ("go-build", "go-mod"):
            give_to_container(cache / name)
        return tuple(Mount(cache / name, f"/srv/cache/{name}", writable=True) for name in ("go-build", "go-mod"))

    async def build(self, request: BuildRequest, progress: Progress) -> None:
        """Raises BuildFailed, ImageMissing, EngineUnavailable."""
        builder = await self._builder(request.runtime_version, progress)
        place = self._home / "builds" / secrets.token_hex(8)
        await asyncio.to_thread(give_to_container, place)
        message = {
            "dir": f"/srv/apis/{request.source.relative_to(self._home / 'apis').as_posix()}",
            "package": request.package,
            "output": f"/srv/builds/{place.name}/program",
            "env": {"GOFLAGS": self._flags()},
        }
        try:
            await builder.build(message, progress)
            await asyncio.to_thread(_deliver, place / "program", request.output)
        finally:
            await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)

    def _flags(self) -> str:
        return build_environment(self._environment, *_CACHES)["GOFLAGS"]

    async def _builder(self, version: str | None, progress: Progress) -> Builder:
        image = image_name(Runtime.GO, version)
        async with self._locks[image]:
            builder = self._builders.get(image)
            if builder is None or builder.ended:
                agent = await self.agent(version, progress)
                builder = Builder(await self._start(await asyncio.to_thread(self._box, image, agent)), "docker")
                self._builders[image] = builder
            return builder

    def _box(self, image: str, agent: Path) -> Box:
        settings = self._home / "cache" / "go-settings"
        write_settings(self._environment, settings)
        (self._home / "apis").mkdir(parents=True, exist_ok=True)
        give_to_container(self._home / "builds")
        bundle = bool((settings / CA_FILE).stat().st_size)
        chosen = container_settings(self._environment, "/srv/settings", bundle=bundle)
        mounts = (
            Mount(agent, AGENT_INSIDE),
            Mount(settings, "/srv/settings"),
            Mount(self._home / "apis", "/srv/apis"),
            Mount(self._home / "builds", "/srv/builds", writable=True),
            *self._caches(),
        )
        return Box(
            image,
            (f"{AGENT_INSIDE}/agent",),
            network="",
            labels={},
            environment={"HOME": "/tmp", **chosen, **build_environment(chosen, *_CACHES)},  # noqa: S108 - inside
            mounts=mounts,
            memory_mb=BUILDER_MEMORY_MB,
            cpus=float(os.cpu_count() or 1),
            pids=BUILDER_PIDS,
            tmp_mb=BUILDER_TMP_MB,
        )

    async def close(self) -> None:
        """Builders are rebuilt in a second: they end with the server."""
        builders, self._builders = list(self._builders.values()), {}
        await asyncio.gather(*(builder.close() for builder in builders))


def _deliver(program: Path, output: Path) -> None:
    try:
        program.chmod(0o755)
        os.replace(program, output)
    except FileNotFoundError as error:
        raise BuildFailed(
            f"the compiler wrote no program: is there a `package main` in it? ({error})", None, None, ""
        ) from error
