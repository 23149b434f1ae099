"""Secrets as JSON, for who must not pay for importing the models: wire/secrets.py, field by field."""

from typing import TypedDict


class SecretDocument(TypedDict):
    name: str
    updated_at: str | None
    used: bool


class SecretChangedDocument(TypedDict):
    name: str
    restarts: bool
