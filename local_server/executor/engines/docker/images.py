"""Base images: which one a runtime needs, whether it is here, and pulling it."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, cast

from docker import auth
from docker.errors import APIError, DockerException, ImageNotFound

from local_server.domain.executor_errors import ImageMissing
from local_server.domain.manifest import Runtime
from local_server.domain.storage_errors import StorageFull
from local_server.executor.engine import Progress
from local_server.executor.engines.docker.daemon import Client, Daemon, Refused, query

DEFAULT_IMAGES: Mapping[Runtime, str] = {
    Runtime.PYTHON: "python:3.11-slim",
    Runtime.NODE: "node:18-alpine",
    Runtime.GO: "golang:1.21-alpine",
}
_PATTERNS: Mapping[Runtime, str] = {
    Runtime.PYTHON: "python:{}-slim",
    Runtime.NODE: "node:{}-alpine",
    Runtime.GO: "golang:{}-alpine",
}
_USUAL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def image_name(runtime: Runtime, version: str | None) -> str:
    """The image for a manifest's runtime: `python3.12` is `python:3.12-slim`."""
    return _PATTERNS[runtime].format(version) if version else DEFAULT_IMAGES[runtime]


class Images:
    def __init__(self, daemon: Daemon, home: str) -> None:
        self._daemon = daemon
        self._home = home
        self._pulls: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._ids: dict[str, str] = {}

    def cached_id(self, image: str) -> str:
        """The id found by the last `ensure`, or empty."""
        return self._ids.get(image, "")

    async def search_path(self, image: str) -> str:
        """The PATH the image sets, which a container with a PATH of its own would hide."""
        found = await self._daemon.call(lambda client: _inspect(client, image))
        for variable in found["Config"].get("Env") or ():
            if str(variable).startswith("PATH="):
                return str(variable)[5:]
        return _USUAL_PATH

    async def ensure(self, image: str, progress: Progress) -> str:
        """The image's id; pulls what is not here. Two calls pull once. Raises ImageMissing, EngineUnavailable."""
        async with self._pulls[image]:
            found = await self._daemon.call(lambda client: image_id(client, image))
            if found is None:
                await self._pull(image, progress)
                found = await self._daemon.call(lambda client: image_id(client, image))
            if found is None:
                raise ImageMissing(image, "the daemon pulled it and does not have it")
            self._ids[image] = found
            return found

    async def _pull(self, image: str, progress: Progress) -> None:
        name, _, tag = image.rpartition(":")
        headers = await self._daemon.call(lambda client: _credentials(client, image))
        count = PullCount(image)
        try:
            stream = await self._daemon.open("POST", query("/images/create", fromImage=name, tag=tag), headers)
        except Refused as refusal:
            raise ImageMissing(image, refusal.message) from refusal
        try:
            async for event in stream.json_lines():
                if reason := event.get("error"):
                    if "no space left" in str(reason):
                        raise StorageFull(self._home)
                    raise ImageMissing(image, str(reason))
                if line := count.see(event):
                    progress(line)
        except (OSError, EOFError, ValueError) as error:
            raise ImageMissing(image, f"the daemon broke off ({error})") from error
        finally:
            await stream.close()


class PullCount:
    """Turns the daemon's progress into a line each time a layer is complete."""

    def __init__(self, image: str) -> None:
        self._image = image
        self._layers: dict[str, bool] = {}
        self._told = ""

    def see(self, event: Mapping[str, Any]) -> str:
        """A new line to show, or nothing."""
        layer, status = str(event.get("id", "")), str(event.get("status", ""))
        if not layer or status.startswith("Pulling from"):
            return ""
        self._layers[layer] = self._layers.get(layer, False) or status in {"Pull complete", "Already exists"}
        line = f"{self._image} layer {sum(self._layers.values())}/{len(self._layers)}"
        if line == self._told:
            return ""
        self._told = line
        return line


def image_id(client: Client, image: str) -> str | None:
    """Blocking."""
    try:
        return str(_inspect(client, image)["Id"])
    except ImageNotFound:
        return None
    except APIError as error:
        if error.status_code == 400:  # not a well-formed reference, for instance golang:-1-alpine
            raise ImageMissing(image, str(error.explanation)) from error
        raise


def _inspect(client: Client, image: str) -> dict[str, Any]:
    return cast("dict[str, Any]", client.inspect_image(image))  # type: ignore[no-untyped-call]


def _credentials(client: Client, image: str) -> dict[str, str]:
    """The user's own login for the image's registry; anonymous when there is none or its helper fails."""
    registry, _ = auth.resolve_repository_name(image)
    try:
        header = auth.get_config_header(client, registry)
    except DockerException:
        return {}
    return {"X-Registry-Auth": header.decode() if isinstance(header, bytes) else header} if header else {}
