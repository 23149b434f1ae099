"""What the command line's client says about an API's files."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, cast

from local_server.client import file_calls as calls
from local_server.client.calls import Call

if TYPE_CHECKING:
    from local_server.client import file_documents as doc


class Files(ABC):
    @abstractmethod
    def send(self, call: Call) -> Any: ...

    def files(self, name: str) -> "doc.FilesDocument":
        return cast("doc.FilesDocument", self.send(calls.files(name)))

    def file(self, name: str, path: str, of: str = "directory") -> "doc.FileDocument":
        return cast("doc.FileDocument", self.send(calls.file(name, path, of)))
