"""Accounts, sessions and API keys on the wire."""

from datetime import datetime
from typing import Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from local_server.wire.moments import MaybeZoned


class SignUp(BaseModel):
    """POST /api/v1/auth/signup"""

    model_config = ConfigDict(extra="forbid")

    handle: str | None = None
    """The owner's part in an API's URL. None: from the e-mail address."""
    email: str | None = None
    password: str = Field(max_length=1024)
    """8 characters to 72 bytes."""
    role: Literal["developer", "consumer"] = "developer"


class LogIn(BaseModel):
    """POST /api/v1/auth/login"""

    model_config = ConfigDict(extra="forbid")

    login: str = Field(validation_alias=AliasChoices("login", "email", "handle"), max_length=320)
    """A handle or an e-mail address; may be sent as `email` or `handle` too."""
    password: str = Field(max_length=1024)


class ChangePassword(BaseModel):
    """POST /api/v1/auth/password"""

    model_config = ConfigDict(extra="forbid")

    current: str | None = Field(None, max_length=1024)
    """Not needed with the local token."""
    new: str = Field(max_length=1024)
    """8 characters to 72 bytes."""


class AccountView(BaseModel):
    id: str
    handle: str
    email: str | None = None
    role: str
    """developer, consumer"""
    machine_owner: bool
    """Whether this call came with the local token: it may do everything on this machine."""
    created_at: datetime


class SessionView(BaseModel):
    """The token is for `Authorization: Bearer`, until `expires_at`, a logout, or another password."""

    token: str
    token_type: str = "bearer"  # noqa: S105 -- the kind of token, not one
    expires_at: datetime
    account: AccountView


class CreateKey(BaseModel):
    """POST /api/v1/apis/{id}/keys"""

    model_config = ConfigDict(extra="forbid")

    name: str = ""
    """What it is for."""
    scopes: list[str] = Field(default_factory=lambda: ["read", "write"])
    """read: GET, HEAD, OPTIONS; write: every other method, and WebSockets"""
    cidrs: list[str] = Field(default_factory=list)
    """Networks it may be used from; none: from everywhere."""
    expires_at: MaybeZoned | None = None
    rate_limit: str | None = None
    """In place of the manifest's: `600/min`."""
    quota: str | None = None
    """Requests each day or month of the calendar (UTC): `1000/month`. Beyond it the key is refused."""
    plan: str | None = None
    """The code of a plan of the manifest, whose quota the key then has; excludes `quota`."""


class RotateKey(BaseModel):
    """POST /api/v1/keys/{key_id}/rotate"""

    model_config = ConfigDict(extra="forbid")

    grace_s: int = Field(default=3600, ge=0, le=30 * 86400)
    """How long the old key stays in force."""


class KeyView(BaseModel):
    """A key, without the key itself."""

    id: str
    api: str
    """owner/name"""
    name: str
    prefix: str
    """How it begins."""
    state: str
    """active, grace (replaced, in force until `grace_until`), expired, revoked"""
    scopes: list[str]
    cidrs: list[str]
    rate_limit: str | None = None
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    grace_until: datetime | None = None
    replaced_by: str | None = None
    last_used_at: datetime | None = None
    plan: str | None = None
    quota: str | None = None
    quota_overage: str | None = None
    """Beyond the quota: block, bill"""
    quota_used: int | None = None
    """In this period, by all keys that share the counter; with `bill` it may be more than the quota."""
    quota_left: int | None = None
    quota_resets_at: datetime | None = None


class NewKeyView(BaseModel):
    """The only answer that ever holds the key."""

    key: str
    info: KeyView
