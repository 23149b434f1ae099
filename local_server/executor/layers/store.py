"""The layers on disk: `home/layers/KEY/root`, and beside it `complete` once the layer is whole.

A virtual environment knows its own path, so a layer is installed where it will stay and not renamed into place: the
file `complete` is what makes it one. A directory without it is what a killed installation left, and is thrown away by
the next.
"""

import asyncio
import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from local_server.domain.executor_errors import DependenciesFailed
from local_server.domain.manifest import Runtime
from local_server.domain.storage_errors import StorageFull
from local_server.executor.engine import Layer, LayerRequest, Progress
from local_server.executor.layers.declared import Declared, read_declared
from local_server.executor.layers.flights import Flights
from local_server.executor.layers.installer import Installer, Work
from local_server.executor.layers.steps import is_disk_full, reason, redact, shown_line

_LOG_LINES = 200


class Layers:
    def __init__(self, home: Path, installer: Installer, give: Callable[[Path], None]) -> None:
        """`give` makes a directory and lets the installer's user write into it."""
        self._home = home
        self._root = home / "layers"
        self._installer = installer
        self._give = give
        self._flights: Flights[Layer] = Flights()

    async def prepare(self, request: LayerRequest, image: str, progress: Progress) -> Layer:
        """The layer for a request, installed when it is not there. `image` names it for people.
        Raises DependenciesFailed, StorageFull, and what the installer raises."""
        made_for = await self._installer.made_for(request.runtime, request.runtime_version, progress)
        declared = await asyncio.to_thread(read_declared, request.runtime, request.source)
        key = layer_key(request.runtime, declared, made_for)
        if await asyncio.to_thread(self._is_complete, key):
            return Layer(key, self._root / key / "root", image)

        async def install(tell: Progress) -> Layer:
            return await self._install(request, declared, key, image, tell)

        return await self._flights.join(key, install, progress)

    async def close(self) -> None:
        await self._flights.close()

    def _is_complete(self, key: str) -> bool:
        return (self._root / key / "complete").is_file()

    async def _install(
        self, request: LayerRequest, declared: Declared | None, key: str, image: str, tell: Progress
    ) -> Layer:
        home = self._root / key
        try:
            await _to_the_end(self._lay_out, home, request.runtime, declared)
            await self._run(request, declared, home, tell)
            await asyncio.to_thread(_complete, home)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise StorageFull(str(self._home)) from error
            raise
        finally:
            if not (home / "complete").exists():
                await asyncio.to_thread(remove_tree, home)
        return Layer(key, home / "root", image)

    def _lay_out(self, home: Path, runtime: Runtime, declared: Declared | None) -> None:
        remove_tree(home)
        (home / "source").mkdir(parents=True)
        (home / "settings").mkdir()
        self._give(home / "root")
        for name, text in declared.files.items() if declared else ():
            places = [home / "source"] + ([home / "root"] if runtime is Runtime.NODE else [])
            for place in places:
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                (place / name).write_bytes(text)
                (place / name).chmod(0o644)

    async def _run(self, request: LayerRequest, declared: Declared | None, home: Path, tell: Progress) -> None:
        work = Work(request.runtime, request.runtime_version, home / "root", home / "source", home / "settings")
        if declared is None:
            return await self._installer.install_nothing(work)
        log: list[str] = []

        def heard(line: str) -> None:
            log.append(line)
            if len(log) > 2 * _LOG_LINES:
                del log[:_LOG_LINES]
            if shown := shown_line(line):
                tell(shown)

        code = await self._installer.install(work, heard)
        if code == 0:
            return None
        if is_disk_full(log):
            raise StorageFull(str(self._home))
        tail = "\n".join(redact(line) for line in log[-_LOG_LINES:])
        raise DependenciesFailed(declared.source, reason(log), tail)


def layer_key(runtime: Runtime, declared: Declared | None, made_for: str) -> str:
    """Nothing declared is a key too: one for each image, shared by every API that needs nothing."""
    return (declared or Declared("", {})).key(runtime, made_for)


def _complete(home: Path) -> None:
    # A project's .npmrc may hold a token, and no layer keeps one.
    (home / "root" / ".npmrc").unlink(missing_ok=True)
    for work in ("source", "settings"):
        shutil.rmtree(home / work)
    with open(home / "complete.tmp", "wb") as file:
        os.fsync(file.fileno())
    os.replace(home / "complete.tmp", home / "complete")


def remove_tree(path: Path) -> None:
    """Delete a directory at once for everybody who looks: it is renamed first. Blocking; missing: nothing happens."""
    if not path.exists():
        return
    grave = Path(tempfile.mkdtemp(prefix=f"{path.name}.gone-", dir=path.parent))
    os.replace(path, grave / "x")
    shutil.rmtree(grave, onerror=_make_writable)


def _make_writable(function: Callable[[str], object], path: str, _error: object) -> None:
    # Go's module cache is read-only, directories too.
    os.chmod(os.path.dirname(path), 0o700)
    function(path)


async def _to_the_end(act: Callable[..., None], *arguments: object) -> None:
    """Run a blocking act in a thread; when cancelled, wait for it first, so that cleaning up meets nobody."""
    task = asyncio.ensure_future(asyncio.to_thread(act, *arguments))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
