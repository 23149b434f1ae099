"""What storage can do for the secrets of APIs; part of `Tx` and `ReadTx` (base.py). It never sees a value."""

from collections.abc import Sequence
from typing import Protocol

from local_server.domain.api_secrets import SealedSecret
from local_server.domain.ids import ApiId


class SecretsReader(Protocol):
    def of_api(self, api_id: ApiId) -> Sequence[SealedSecret]:
        """By name."""

    def all(self) -> Sequence[SealedSecret]:
        """Of every API."""


class SecretsStore(SecretsReader, Protocol):
    def put(self, secret: SealedSecret) -> None:
        """Add, or replace what has that name."""

    def remove(self, api_id: ApiId, name: str) -> bool:
        """False: there is none."""
