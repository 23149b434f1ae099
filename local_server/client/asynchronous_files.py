"""What the asynchronous client says about an API's files."""

from abc import ABC, abstractmethod
from typing import Any

from local_server.client import file_calls as calls
from local_server.client.calls import Call
from local_server.wire.files import FilesView, FileView


class AsyncFiles(ABC):
    @abstractmethod
    async def _send(self, call: Call) -> Any: ...

    async def files(self, name: str) -> FilesView:
        answer: FilesView = await self._send(calls.files(name))
        return answer

    async def file(self, name: str, path: str, of: str = "directory") -> FileView:
        answer: FileView = await self._send(calls.file(name, path, of))
        return answer
