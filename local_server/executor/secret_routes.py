"""HTTP of what a program finds in its environment: variables, and secrets, whose values go in one direction only."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import APIRouter, Request

from local_server.accounts.routes import address_of
from local_server.domain.accounts import Caller
from local_server.domain.registry import Api
from local_server.executor.secrets import Secrets
from local_server.registry.reference import register_convertor
from local_server.wire.secrets import PutSecret, SecretChanged, SecretView, VariableView


@dataclass(frozen=True, slots=True)
class SecretPorts:
    """What the routes are handed by the composition root."""

    secrets: Callable[[Request], Secrets]
    find: Callable[[Request, str], Awaitable[Api]]
    """By id, slug or owner/slug. Raises ApiNotFound."""
    caller: Callable[[Request], Caller]
    """Who was let in."""


def make_router(ports: SecretPorts) -> APIRouter:
    register_convertor()
    router = APIRouter(prefix="/apis/{id:api}", tags=["secrets"])

    @router.get("/env")
    async def list_variables(request: Request, id: str) -> list[VariableView]:
        """The variables that the API's manifest gives its program, by name. Secrets are not among them."""
        variables = (await ports.find(request, id)).manifest.run.env
        return [VariableView(name=name, value=variables[name]) for name in sorted(variables)]

    @router.get("/secrets")
    async def list_secrets(request: Request, id: str) -> list[SecretView]:
        """The API's secrets by name, those that lack a value too. Values are never shown."""
        found = await ports.secrets(request).of(await ports.find(request, id))
        return [SecretView(name=one.name, updated_at=one.updated_at, used=one.used) for one in found]

    @router.put("/secrets/{name}")
    async def put_secret(request: Request, id: str, name: str, body: PutSecret) -> SecretChanged:
        """Keep a value, encrypted. What uses it starts afresh with it, with nothing dropped."""
        api, value = await ports.find(request, id), body.value.get_secret_value()
        restarts = await ports.secrets(request).put(
            api, name, value, ports.caller(request), address=address_of(request)
        )
        return SecretChanged(name=name, restarts=restarts)

    @router.delete("/secrets/{name}")
    async def remove_secret(request: Request, id: str, name: str) -> SecretChanged:
        """Forget a value. What serves keeps what it was started with; without the value it does not start again."""
        api = await ports.find(request, id)
        restarts = await ports.secrets(request).remove(api, name, ports.caller(request), address=address_of(request))
        return SecretChanged(name=name, restarts=restarts)

    return router
