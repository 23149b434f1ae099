"""Access tokens over HTTP: what pipelines publish with."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from local_server.wire.moments import MaybeZoned


class CreateToken(BaseModel):
    """POST /api/v1/tokens"""

    model_config = ConfigDict(extra="forbid")

    scope: str = Field(max_length=200)
    """publish:OWNER/NAME, of an API of yours, which need not exist yet."""
    name: str = Field(default="", max_length=100)
    """What it is for."""
    expires_at: MaybeZoned
    """Within a year."""


class TokenView(BaseModel):
    """An access token, without the token itself."""

    id: str
    name: str
    prefix: str
    """How it begins."""
    scope: str
    state: str
    """active, expired, revoked"""
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


class NewTokenView(BaseModel):
    """The only answer that ever holds the token."""

    token: str
    info: TokenView
