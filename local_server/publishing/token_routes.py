"""Access tokens over HTTP."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response

from local_server.accounts.routes import address_of
from local_server.domain.access_tokens import AccessToken, scope_from
from local_server.domain.account_errors import TokenFieldRefused
from local_server.domain.accounts import Caller
from local_server.publishing.tokens import AccessTokens
from local_server.wire.tokens import CreateToken, NewTokenView, TokenView


@dataclass(frozen=True, slots=True)
class TokenPorts:
    tokens: Callable[[Request], AccessTokens]
    caller: Callable[[Request], Caller]
    """Who was let in."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


def make_token_router(ports: TokenPorts) -> APIRouter:
    """Below `/api/v1`."""
    router = APIRouter(prefix="/tokens", tags=["sync"])

    @router.post("", status_code=201)
    async def create_token(request: Request, body: CreateToken) -> NewTokenView:
        """A token that may publish one API, for a pipeline. This answer is the only one that ever holds it."""
        if body.expires_at.tzinfo is None:
            raise TokenFieldRefused("expires_at", f"found {body.expires_at}, without an offset; allowed: 2027-01-01Z")
        made = await ports.tokens(request).create(
            ports.caller(request).user, scope_from(body.scope), body.name, body.expires_at, address=address_of(request)
        )
        return NewTokenView(token=made.text, info=_view(made.token, ports.now()))

    @router.get("")
    async def list_tokens(request: Request) -> list[TokenView]:
        """Your access tokens, newest first, those no longer in force too."""
        found = await ports.tokens(request).of(ports.caller(request).user)
        return [_view(token, ports.now()) for token in found]

    @router.delete("/{token_id}", status_code=204)
    async def revoke_token(request: Request, token_id: str) -> Response:
        """The token is refused from now on, and so is what its keys sign. A second time changes nothing."""
        await ports.tokens(request).revoke(ports.caller(request).user, token_id, address=address_of(request))
        return Response(status_code=204)

    return router


def _view(token: AccessToken, now: datetime) -> TokenView:
    state = "revoked" if token.revoked_at is not None else "active" if token.is_valid(now) else "expired"
    return TokenView(
        id=token.id,
        name=token.name,
        prefix=token.prefix,
        scope=str(token.scope),
        state=state,
        created_at=token.created_at,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
        last_used_at=token.last_used_at,
    )
