"""What the command line's client says about secrets."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, cast

from local_server.client import secret_calls as calls
from local_server.client.calls import Call

if TYPE_CHECKING:
    from local_server.client import secret_documents as doc


class Secrets(ABC):
    @abstractmethod
    def send(self, call: Call) -> Any: ...

    def secrets(self, name: str) -> "list[doc.SecretDocument]":
        return cast("list[doc.SecretDocument]", self.send(calls.secrets(name)))

    def put_secret(self, name: str, secret: str, value: str) -> "doc.SecretChangedDocument":
        return cast("doc.SecretChangedDocument", self.send(calls.put_secret(name, secret, value)))

    def remove_secret(self, name: str, secret: str) -> "doc.SecretChangedDocument":
        return cast("doc.SecretChangedDocument", self.send(calls.remove_secret(name, secret)))
