"""Accounts and keys over HTTP. What is needed of the rest of the server comes in as `AccountsPorts`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response

from local_server.accounts.keys import Keys, KeyWish, NewKey
from local_server.accounts.quotas import QuotaUse, QuotaUses
from local_server.accounts.service import Accounts, LoggedIn
from local_server.domain.account_errors import EmailRefused, KeyFieldRefused
from local_server.domain.accounts import Account, Caller, Role
from local_server.domain.keys import ApiKey, check_cidrs, check_expiry, check_name, check_rate, check_scopes, rate_text
from local_server.domain.names import slugify
from local_server.domain.quotas import check_quota, plan_of, quota_of
from local_server.domain.registry import Api
from local_server.wire.accounts import (
    AccountView,
    ChangePassword,
    CreateKey,
    KeyView,
    LogIn,
    NewKeyView,
    RotateKey,
    SessionView,
    SignUp,
)


@dataclass(frozen=True, slots=True)
class AccountsPorts:
    accounts: Callable[[Request], Accounts]
    keys: Callable[[Request], Keys]
    quotas: Callable[[Request], QuotaUses]
    caller: Callable[[Request], Caller]
    """Who was let in."""
    is_machine: Callable[[Request], Awaitable[bool]]
    """Whether a request that nobody has looked at carries the local token."""
    find: Callable[[Request, str], Awaitable[Api]]
    """An API of the caller's, by id, slug or owner/slug. Raises ApiNotFound."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


def make_routers(ports: AccountsPorts) -> tuple[APIRouter, APIRouter]:
    """(needs no token, needs one), both below `/api/v1`. The registry's `{…:api}` must be registered before."""
    open_router = APIRouter(prefix="/api/v1", tags=["accounts"])
    router = APIRouter(prefix="/api/v1")
    _add_entrance(open_router, ports)
    _add_account(router, ports)
    _add_keys(router, ports)
    return open_router, router


def address_of(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _add_entrance(router: APIRouter, ports: AccountsPorts) -> None:
    @router.post("/auth/signup", status_code=201)
    async def signup(request: Request, body: SignUp) -> SessionView:
        """Make an account and log it in. With the local token, the machine's owner gives its own account a password."""
        handle = body.handle
        if handle is None:
            if body.email is None:
                raise EmailRefused("")
            handle = slugify(body.email.partition("@")[0], fallback="user")
        done = await ports.accounts(request).signup(
            handle,
            body.email,
            body.password,
            Role(body.role),
            address=address_of(request),
            by_machine=await ports.is_machine(request),
        )
        return _session_view(done)

    @router.post("/auth/login")
    async def login(request: Request, body: LogIn) -> SessionView:
        """Begin a session of 24 hours. Who guesses is slowed down, and nobody locked out."""
        return _session_view(
            await ports.accounts(request).login(body.login, body.password, address=address_of(request))
        )


def _add_account(router: APIRouter, ports: AccountsPorts) -> None:
    @router.post("/auth/logout", status_code=204, tags=["accounts"])
    async def logout(request: Request) -> Response:
        """End every session of the account, everywhere."""
        await ports.accounts(request).logout(ports.caller(request), address=address_of(request))
        return Response(status_code=204)

    @router.post("/auth/password", tags=["accounts"])
    async def change_password(request: Request, body: ChangePassword) -> SessionView:
        """Give the account another password. Ends every session of it, everywhere, and begins one; keys and access
        tokens go on."""
        done = await ports.accounts(request).change_password(
            ports.caller(request), body.current, body.new, address=address_of(request)
        )
        return _session_view(done)

    @router.get("/auth/me", tags=["accounts"])
    async def me(request: Request) -> AccountView:
        """Whose token this is."""
        caller = ports.caller(request)
        return _account_view(await ports.accounts(request).account(caller.user.id), caller.is_machine)


def _add_keys(router: APIRouter, ports: AccountsPorts) -> None:
    @router.get("/apis/{id:api}/keys", tags=["keys"])
    async def list_keys(request: Request, id: str) -> list[KeyView]:
        """The API's keys, newest first, those no longer in force too."""
        api = await ports.find(request, id)
        now = ports.now()
        keys = await ports.keys(request).of_api(api)
        uses = await ports.quotas(request).of(keys)
        return [key_view(key, api.full_name, now, uses.get(key.id)) for key in keys]

    @router.get("/keys", tags=["keys"])
    async def list_all_keys(request: Request) -> list[KeyView]:
        """The caller's keys to whichever API, newest first, those no longer in force too."""
        now = ports.now()
        found = await ports.keys(request).of_user(ports.caller(request).user.id)
        uses = await ports.quotas(request).of([key for key, _ in found])
        return [key_view(key, api, now, uses.get(key.id)) for key, api in found]

    @router.post("/apis/{id:api}/keys", status_code=201, tags=["keys"])
    async def create_key(
        request: Request, id: str, body: CreateKey, idempotency_key: Annotated[str | None, Header()] = None
    ) -> NewKeyView:
        """A new key for the API. This answer is the only one that ever holds it. Sent again with the same
        Idempotency-Key, the key made before is revoked, and the new one takes its place."""
        api = await ports.find(request, id)
        wish = _wish(body, api, ports.now())
        made = await ports.keys(request).create(
            api, wish, ports.caller(request), address=address_of(request), idempotency_key=idempotency_key
        )
        return await _new_key_view(ports, request, made, api.full_name)

    @router.post("/keys/{key_id}/rotate", status_code=201, tags=["keys"])
    async def rotate_key(
        request: Request, key_id: str, body: RotateKey, idempotency_key: Annotated[str | None, Header()] = None
    ) -> NewKeyView:
        """Another key with the same rights; the old one stays in force for `grace_s` seconds. Sent again with the same
        Idempotency-Key, the new key made before is revoked, and another takes its place."""
        grace, caller, address = timedelta(seconds=body.grace_s), ports.caller(request), address_of(request)
        made = await ports.keys(request).rotate(key_id, grace, caller, address=address, idempotency_key=idempotency_key)
        return await _new_key_view(ports, request, made, await ports.keys(request).api_name(made.key.api_id))

    @router.delete("/keys/{key_id}", status_code=204, tags=["keys"])
    async def revoke_key(request: Request, key_id: str) -> Response:
        """The key is refused from now on. A second time changes nothing."""
        await ports.keys(request).revoke(key_id, ports.caller(request), address=address_of(request))
        return Response(status_code=204)


def _wish(body: CreateKey, api: Api, now: datetime) -> KeyWish:
    """A plan is taken as it stands now: what the manifest says of it later is for later keys."""
    if body.plan is not None and body.quota is not None:
        raise KeyFieldRefused(
            "quota", f"found {body.quota[:40]!r} beside a plan, which has its own; allowed: one of both"
        )
    quota = check_quota(body.quota) if body.quota is not None else None
    if body.plan is not None:
        quota = quota_of(plan_of(api.manifest.plans, body.plan))
    return KeyWish(
        name=check_name(body.name),
        scopes=check_scopes(body.scopes),
        cidrs=check_cidrs(body.cidrs),
        expires_at=check_expiry(body.expires_at, now) if body.expires_at is not None else None,
        rate_limit=check_rate(body.rate_limit) if body.rate_limit is not None else None,
        quota=quota,
        plan=body.plan,
    )


def _account_view(account: Account, is_machine: bool) -> AccountView:
    return AccountView(
        id=account.id,
        handle=account.handle,
        email=account.email,
        role=account.role,
        machine_owner=is_machine,
        created_at=account.created_at,
    )


def _session_view(done: LoggedIn) -> SessionView:
    return SessionView(token=done.token, expires_at=done.expires_at, account=_account_view(done.account, False))


async def _new_key_view(ports: AccountsPorts, request: Request, made: NewKey, api: str) -> NewKeyView:
    uses = await ports.quotas(request).of([made.key])
    return NewKeyView(key=made.text, info=key_view(made.key, api, ports.now(), uses.get(made.key.id)))


def key_view(key: ApiKey, api: str, now: datetime, use: QuotaUse | None = None) -> KeyView:
    return KeyView(
        id=key.id,
        api=api,
        name=key.name,
        prefix=key.prefix,
        state=key.state(now),
        scopes=list(key.scopes),
        cidrs=list(key.cidrs),
        rate_limit=rate_text(key.rate_limit) if key.rate_limit else None,
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        grace_until=key.grace_until,
        replaced_by=key.replaced_by,
        last_used_at=key.last_used_at,
        plan=key.plan,
        quota=str(key.quota) if key.quota else None,
        quota_overage=key.quota.overage if key.quota else None,
        quota_used=use.used if use else None,
        quota_left=use.left if use else None,
        quota_resets_at=use.period.ends_at if use else None,
    )
