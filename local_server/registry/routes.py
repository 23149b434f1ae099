"""The registry over HTTP. What it needs of the rest of the server comes in as `RegistryPorts`."""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fastapi import APIRouter, Request, Response

from local_server.domain.manifest import Visibility
from local_server.domain.registry import Api, User
from local_server.registry import reference
from local_server.registry.service import Registry
from local_server.registry.upload_routes import add_upload_route
from local_server.wire.apis import ApiView, PatchApi, RegisterApi, ScaffoldApi, TemplateView


@dataclass(frozen=True, slots=True)
class RegistryPorts:
    registry_of: Callable[[Request], Registry]
    view_of: Callable[[Request, Api], ApiView | Awaitable[ApiView]]
    """An API with what the executor knows of it."""
    after_register: Callable[[Request, Api, bool], Awaitable[None]]
    """Told of each new API, and whether to start it. The answer waits for it."""
    before_remove: Callable[[Request, Api], Awaitable[None]]
    """Ends what runs for the API."""
    only_of: Callable[[Request], User | None] = lambda _request: None
    """Whose APIs the caller may see; None: everybody's."""


def make_router(ports: RegistryPorts) -> APIRouter:
    """Routes below `/api/v1`."""
    reference.register_convertor()
    router = APIRouter(prefix="/api/v1", tags=["apis"])
    _add_collection(router, ports)
    _add_item(router, ports)
    add_upload_route(router, ports.registry_of, partial(_view, ports))
    return router


async def _view(ports: RegistryPorts, request: Request, api: Api) -> ApiView:
    view = ports.view_of(request, api)
    return await view if inspect.isawaitable(view) else view


def _add_collection(router: APIRouter, ports: RegistryPorts) -> None:
    @router.get("/apis")
    async def list_apis(request: Request, q: str = "") -> list[ApiView]:
        """All APIs by name, or those that match `q`, best first."""
        found = await ports.registry_of(request).search(q, ports.only_of(request))
        return [await _view(ports, request, api) for api in found]

    @router.post("/apis", status_code=201)
    async def register_api(request: Request, body: RegisterApi) -> ApiView:
        """Register an existing directory."""
        api = await ports.registry_of(request).register(Path(body.directory), body.name)
        await ports.after_register(request, api, body.start)
        return await _view(ports, request, api)

    @router.post("/apis/scaffold", status_code=201)
    async def scaffold_api(request: Request, body: ScaffoldApi) -> ApiView:
        """Write a template into a new directory and register it."""
        directory = Path(body.directory) if body.directory is not None else None
        api = await ports.registry_of(request).scaffold(body.name, body.template, directory)
        await ports.after_register(request, api, body.start)
        return await _view(ports, request, api)

    @router.get("/templates")
    async def list_templates(request: Request) -> list[TemplateView]:
        """What a new API can begin as."""
        found = await ports.registry_of(request).templates()
        return [TemplateView(name=one.name, runtime=one.runtime, title=one.title, summary=one.summary) for one in found]


def _add_item(router: APIRouter, ports: RegistryPorts) -> None:
    @router.get("/apis/{id:api}")
    async def get_api(request: Request, id: str) -> ApiView:
        """One API, by id, name, or owner/name."""
        return await _view(ports, request, await ports.registry_of(request).resolve(id))

    @router.patch("/apis/{id:api}")
    async def patch_api(request: Request, id: str, body: PatchApi) -> ApiView:
        """Change summary, tags or visibility, in apimarket.toml too."""
        registry = ports.registry_of(request)
        visibility = Visibility(body.visibility) if body.visibility is not None else None
        api = await registry.resolve(id)
        api = await registry.patch(api, summary=body.summary, tags=body.tags, visibility=visibility)
        return await _view(ports, request, api)

    @router.delete("/apis/{id:api}", status_code=204)
    async def remove_api(request: Request, id: str) -> Response:
        """Forget an API. Its directory stays as it is."""
        registry = ports.registry_of(request)
        api = await registry.resolve(id)
        await ports.before_remove(request, api)
        await registry.remove(api)
        return Response(status_code=204)
