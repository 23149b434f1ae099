"""What a program finds in its environment: variables, and secrets by name and time. No answer ever holds a secret's
value."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, SecretStr


class PutSecret(BaseModel):
    """PUT /api/v1/apis/{id}/secrets/{name}"""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    value: SecretStr
    """Up to 32 KiB of text."""


class SecretView(BaseModel):
    """A secret of an API, without its value."""

    name: str
    updated_at: datetime | None = None
    """None: apimarket.toml names it, and it has no value yet."""
    used: bool
    """apimarket.toml names it: the program sees it."""


class VariableView(BaseModel):
    """Of the table `env` in an API's manifest, which anybody who has its files may read."""

    name: str
    value: str


class SecretChanged(BaseModel):
    """What a change of a secret comes to."""

    name: str
    restarts: bool
    """The API starts afresh beside what serves; nothing is dropped."""
