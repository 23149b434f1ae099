"""What the asynchronous client says about secrets."""

from abc import ABC, abstractmethod
from typing import Any

from local_server.client import secret_calls as calls
from local_server.client.calls import Call
from local_server.wire.secrets import SecretChanged, SecretView, VariableView


class AsyncSecrets(ABC):
    @abstractmethod
    async def _send(self, call: Call) -> Any: ...

    async def secrets(self, name: str) -> list[SecretView]:
        answer: list[SecretView] = await self._send(calls.secrets(name))
        return answer

    async def variables(self, name: str) -> list[VariableView]:
        answer: list[VariableView] = await self._send(calls.variables(name))
        return answer

    async def put_secret(self, name: str, secret: str, value: str) -> SecretChanged:
        answer: SecretChanged = await self._send(calls.put_secret(name, secret, value))
        return answer

    async def remove_secret(self, name: str, secret: str) -> SecretChanged:
        answer: SecretChanged = await self._send(calls.remove_secret(name, secret))
        return answer
