"""What the asynchronous client says about versions."""

from abc import ABC, abstractmethod
from typing import Any

from local_server.client import version_calls as calls
from local_server.client.calls import Call
from local_server.wire.apis import ApiView
from local_server.wire.versions import (
    ChannelsView,
    DeployVersion,
    MarkVersion,
    MoveTraffic,
    TrafficSplitView,
    TreeDifferenceView,
    VersionView,
)


class AsyncVersions(ABC):
    @abstractmethod
    async def _send(self, call: Call) -> Any: ...

    async def deploy_version(self, name: str, wanted: DeployVersion) -> ApiView:
        answer: ApiView = await self._send(calls.deploy_version(name, wanted.model_dump(mode="json")))
        return answer

    async def versions(self, name: str) -> list[VersionView]:
        answer: list[VersionView] = await self._send(calls.versions(name))
        return answer

    async def version(self, name: str, number: str) -> VersionView:
        return await self._version(calls.version(name, number))

    async def mark_version(self, name: str, number: str, marks: MarkVersion) -> VersionView:
        """What was not set stays as it is."""
        body = marks.model_dump(mode="json", exclude_unset=True)
        return await self._version(calls.mark_version(name, number, body))

    async def start_version(self, name: str, number: str) -> VersionView:
        return await self._version(calls.start_version(name, number))

    async def stop_version(self, name: str, number: str) -> VersionView:
        return await self._version(calls.stop_version(name, number))

    async def diff(
        self, name: str, first: str | None = None, second: str | None = None, path: str | None = None
    ) -> TreeDifferenceView:
        answer: TreeDifferenceView = await self._send(calls.diff(name, first, second, path))
        return answer

    async def traffic(self, name: str) -> TrafficSplitView:
        return await self._traffic(calls.traffic(name))

    async def move_traffic(self, name: str, wanted: MoveTraffic) -> TrafficSplitView:
        return await self._traffic(calls.move_traffic(name, wanted.model_dump(mode="json")))

    async def roll_back(self, name: str, version: str | None = None) -> TrafficSplitView:
        return await self._traffic(calls.roll_back(name, version))

    async def channels(self, name: str) -> ChannelsView:
        return await self._channels(calls.channels(name))

    async def put_channel(self, name: str, channel: str, version: str) -> ChannelsView:
        return await self._channels(calls.put_channel(name, channel, version))

    async def remove_channel(self, name: str, channel: str) -> ChannelsView:
        return await self._channels(calls.remove_channel(name, channel))

    async def _version(self, call: Call) -> VersionView:
        answer: VersionView = await self._send(call)
        return answer

    async def _traffic(self, call: Call) -> TrafficSplitView:
        answer: TrafficSplitView = await self._send(call)
        return answer

    async def _channels(self, call: Call) -> ChannelsView:
        answer: ChannelsView = await self._send(call)
        return answer
