"""What the command line's client says about versions."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, cast

from local_server.client import version_calls as calls
from local_server.client.calls import Call

if TYPE_CHECKING:
    from local_server.client import version_documents as doc
    from local_server.client.documents import ApiDocument


class Versions(ABC):
    @abstractmethod
    def send(self, call: Call) -> Any: ...

    def deploy_version(self, name: str, body: "doc.DeployVersionDocument") -> "ApiDocument":
        return cast("ApiDocument", self.send(calls.deploy_version(name, body)))

    def versions(self, name: str) -> "list[doc.VersionDocument]":
        return cast("list[doc.VersionDocument]", self.send(calls.versions(name)))

    def version(self, name: str, number: str) -> "doc.VersionDocument":
        return cast("doc.VersionDocument", self.send(calls.version(name, number)))

    def mark_version(self, name: str, number: str, body: dict[str, Any]) -> "doc.VersionDocument":
        return cast("doc.VersionDocument", self.send(calls.mark_version(name, number, body)))

    def start_version(self, name: str, number: str) -> "doc.VersionDocument":
        return cast("doc.VersionDocument", self.send(calls.start_version(name, number)))

    def stop_version(self, name: str, number: str) -> "doc.VersionDocument":
        return cast("doc.VersionDocument", self.send(calls.stop_version(name, number)))

    def diff(
        self, name: str, first: str | None = None, second: str | None = None, path: str | None = None
    ) -> "doc.TreeDifferenceDocument":
        return cast("doc.TreeDifferenceDocument", self.send(calls.diff(name, first, second, path)))

    def traffic(self, name: str) -> "doc.TrafficSplitDocument":
        return cast("doc.TrafficSplitDocument", self.send(calls.traffic(name)))

    def move_traffic(self, name: str, body: "doc.MoveTrafficDocument") -> "doc.TrafficSplitDocument":
        return cast("doc.TrafficSplitDocument", self.send(calls.move_traffic(name, body)))

    def roll_back(self, name: str, version: str | None = None) -> "doc.TrafficSplitDocument":
        return cast("doc.TrafficSplitDocument", self.send(calls.roll_back(name, version)))

    def channels(self, name: str) -> "doc.ChannelsDocument":
        return cast("doc.ChannelsDocument", self.send(calls.channels(name)))

    def put_channel(self, name: str, channel: str, version: str) -> "doc.ChannelsDocument":
        return cast("doc.ChannelsDocument", self.send(calls.put_channel(name, channel, version)))

    def remove_channel(self, name: str, channel: str) -> "doc.ChannelsDocument":
        return cast("doc.ChannelsDocument", self.send(calls.remove_channel(name, channel)))
