"""Who may call the control API, and what.

The machine's owner (whoever can read the token file) may call everything. An account with a session may call what is
named here, and the routes of one API where that API is its own; of other APIs it is told that there are none. An access
token may publish its one API. Fails closed: a route that nobody thought of here is the machine's owner's.
"""

import hmac

from fastapi import Request
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from local_server.accounts.service import Accounts
from local_server.domain.access_tokens import is_token
from local_server.domain.account_errors import MachineOwnerOnly, OutsideScope, TokenRequired
from local_server.domain.accounts import Caller
from local_server.domain.registry import User
from local_server.publishing.tokens import AccessTokens
from local_server.registry.service import Registry

bearer = HTTPBearer(auto_error=False, description="The token in $APIMARKET_HOME/token, or a session's.")

FOR_ACCOUNTS = (
    frozenset({"list_apis", "list_templates", "executor_deploy", "me", "logout", "change_password"})
    | frozenset({"list_all_keys", "rotate_key", "revoke_key"})
    | frozenset(
        {
            "subscribe",
            "list_subscriptions",
            "get_subscription",
            "change_subscription",
            "cancel_subscription",
            "list_usage",
            "write_review",
            "remove_review",
            "answer_review",
        }
    )
    | frozenset(
        {
            "sync_info",
            "list_signing_keys",
            "register_signing_key",
            "revoke_signing_key",
            "publish_version",
            "commit_upload",
            "read_op",
            "upload_blobs",
            "upload_offset",
            "upload_part",
            "read_published_api",
            "read_published_version",
            "read_changes",
            "read_snapshot",
            "read_tree",
            "read_blobs",
            "read_blob",
            "change_visibility",
            "change_yanked",
            "remove_published",
            "create_token",
            "list_tokens",
            "revoke_token",
        }
    )
)
"""By operation id. They look after their callers themselves."""
NEVER_FOR_ACCOUNTS = frozenset(
    {"upload_api", "publish_api", "yank_version", "pull_api", "read_conflict", "resolve_conflict"}
)
"""They write to this machine's disk, or act with its sessions elsewhere, even where the API is the account's own."""
FOR_ACCESS_TOKENS = frozenset(
    {
        "sync_info",
        "list_signing_keys",
        "register_signing_key",
        "publish_version",
        "commit_upload",
        "read_op",
        "upload_blobs",
        "upload_offset",
        "upload_part",
        "read_published_api",
        "read_published_version",
        "read_tree",
        "get_version",
    }
)
"""What a pipeline needs to publish, and to see whether it runs. What their paths do not name they confine to the
token's API themselves."""


async def require_token(request: Request) -> None:
    """Find out who calls, for `caller_of`. Raises TokenRequired, SessionInvalid, AccessTokenInvalid, OutsideScope,
    MachineOwnerOnly, ApiNotFound."""
    runtime = request.app.state.runtime
    if await is_machine(request):
        request.state.caller = Caller(runtime.registry.owner, is_machine=True)
        return
    given = await bearer(request)
    if given is None:
        raise TokenRequired
    if is_token(given.credentials):
        tokens: AccessTokens = runtime.publications.tokens
        caller = await tokens.authenticate(given.credentials)
        await _within_scope(request, caller, runtime.registry)
        request.state.caller = caller
        return
    accounts: Accounts = runtime.accounts
    caller = await accounts.authenticate(given.credentials)
    await _confine(request, caller, runtime.registry)
    request.state.caller = caller


async def is_machine(request: Request) -> bool:
    """Whether the request carries the local token."""
    given = await bearer(request)
    expected: str = request.app.state.token
    return given is not None and hmac.compare_digest(given.credentials.encode(), expected.encode())


def caller_of(request: Request) -> Caller:
    """Who was let in."""
    caller: Caller = request.state.caller
    return caller


def only_of(request: Request) -> User | None:
    """Whose APIs the caller may see; None: everybody's."""
    caller = caller_of(request)
    return None if caller.is_machine else caller.user


async def _within_scope(request: Request, caller: Caller, registry: Registry) -> None:
    """Raises OutsideScope, ApiNotFound. Fails closed: an operation that nobody thought of here is none of a token's."""
    assert caller.token is not None
    scope, params = caller.token.scope, request.path_params
    allowed = operation_of(request) in FOR_ACCESS_TOKENS
    if allowed and "slug" in params:
        allowed = scope.allows(params["owner"], params["slug"])
    elif allowed and "id" in params:
        api = await registry.resolve(params["id"], caller.user)
        allowed = scope.allows(api.owner, api.slug)
        params["id"] = api.id
    if not allowed:
        meant = f"{params['owner']}/{params['slug']}" if "slug" in params else "OWNER/NAME"
        raise OutsideScope(str(scope), f"{request.method} {request.url.path}", meant)


def operation_of(request: Request) -> str:
    """The id of the operation that was asked for."""
    route = request.scope["route"]
    return (route.operation_id or route.name) if isinstance(route, APIRoute) else ""


async def _confine(request: Request, caller: Caller, registry: Registry) -> None:
    name = operation_of(request)
    if "id" in request.path_params and name not in NEVER_FOR_ACCOUNTS:
        api = await registry.resolve(request.path_params["id"], caller.user)
        # From here on it is named by its id: a name alone would mean the machine's owner's to the route itself.
        request.path_params["id"] = api.id
    elif name not in FOR_ACCOUNTS:
        raise MachineOwnerOnly(f"{request.method} {request.url.path}")
