"""Puts sync together with the rest of the server."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

from local_server.client import sessions
from local_server.data_directory import DataDirectory
from local_server.domain.deployments import Outcome, State
from local_server.domain.events import Event
from local_server.domain.exchange_errors import GenerationNotFound, GenerationNotStarted
from local_server.domain.gateway_errors import ApiUnavailable
from local_server.domain.manifest_document import manifest_document
from local_server.domain.registry import Api
from local_server.domain.trees import Tree
from local_server.executor.service import Executor, Status
from local_server.registry.checkout import read_tree, write_new, write_over
from local_server.registry.manifest_file import edit
from local_server.registry.service import Registry
from local_server.settings import Settings
from local_server.storage.base import Storage
from local_server.storage.blobs import BlobStore
from local_server.sync.contract import read_contract
from local_server.sync.marketplaces import Marketplaces
from local_server.sync.ports import Serving, SyncPorts
from local_server.sync.service import Sync
from local_server.system import System


def make_sync(
    settings: Settings,
    data: DataDirectory,
    url: str,
    storage: Storage,
    blobs: BlobStore,
    system: System,
    registry: Registry,
    executor: Executor,
    publish: Callable[[Event], None],
) -> Sync:
    """`url` is this server's own: its sessions are no marketplace's."""
    home = settings.home

    def token(remote: str) -> str | None:
        kept = sessions.find(home, remote)
        return kept["token"] if kept else None

    def logins() -> list[str]:
        return [remote for remote in sorted(sessions.every(home)) if remote != url]

    markets = Marketplaces(storage, system, data.device_key(), token, logins, settings.remote)
    parts = _Parts(storage, blobs, registry, executor)
    ports = SyncPorts(
        serving=parts.serving,
        openapi=parts.openapi,
        manifest_document=manifest_document,
        read_directory=lambda api: read_tree(Path(api.directory), blobs),
        write_directory=lambda api, tree, known: write_over(Path(api.directory), tree, blobs, known),
        add_directory=parts.add_directory,
        edit_manifest=edit,
        projects=settings.projects,
    )
    return Sync(storage, blobs, system, markets, ports, publish)


class _Parts:
    def __init__(self, storage: Storage, blobs: BlobStore, registry: Registry, executor: Executor) -> None:
        self._storage = storage
        self._blobs = blobs
        self._registry = registry
        self._executor = executor

    async def serving(self, api: Api) -> Serving:
        status = self._executor.status(api.id)
        if status.serving is None:
            return Serving(None, None, _why_not(status.state))
        number = status.serving
        generation = await self._storage.read(lambda tx: tx.deployments.generation(api.id, number))
        tree = generation.tree if generation else None
        return Serving(number, tree, "was not written down yet; try again", _unserved(status))

    async def openapi(self, api: Api, generation: int | None) -> bytes | None:
        """Asked of the very generation: the API's URL may lead to a version, wants a key, and counts its calls."""
        if generation is None:
            return None
        try:
            async with self._executor.borrow(api, generation) as lane:
                return await read_contract(lane.address)
        except (ApiUnavailable, GenerationNotFound, GenerationNotStarted):  # another serves by now
            return None

    async def add_directory(self, directory: Path, tree: Tree, start: bool) -> Api:
        await asyncio.to_thread(write_new, directory, tree, self._blobs)
        try:
            api = await self._registry.register(directory)
        except Exception:  # not when cancelled: what storage has begun it finishes
            await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
            raise
        await (self._executor.deploy(api) if start else self._executor.know(api))
        return api


def _unserved(status: Status) -> str:
    if status.failure is not None:
        return status.failure.headline
    starting = status.newest is not None and status.newest.outcome is Outcome.STARTING
    return "it is starting still" if starting else ""


def _why_not(state: State) -> str:
    if state in (State.BUILDING, State.STARTING):
        return "is starting still"
    return f"is {state}"
