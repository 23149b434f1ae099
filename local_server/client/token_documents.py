"""Access tokens as JSON, for who must not pay for importing the models: wire/tokens.py, field by field."""

from typing import TypedDict


class CreateTokenDocument(TypedDict):
    scope: str
    name: str
    expires_at: str


class TokenDocument(TypedDict):
    id: str
    name: str
    prefix: str
    scope: str
    state: str
    created_at: str
    expires_at: str
    revoked_at: str | None
    last_used_at: str | None


class NewTokenDocument(TypedDict):
    token: str
    info: TokenDocument
