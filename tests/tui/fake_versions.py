"""Versions in every state, and traffic between three of them: all in memory."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from local_server.wire.apis import ApiView
from local_server.wire.versions import (
    ChannelsView,
    DeployVersion,
    MarkVersion,
    MoveTraffic,
    PendingMove,
    ShareView,
    TrafficSplitView,
    TreeDifferenceView,
    VersionView,
)

from .fake_diff import a_difference, a_file, some_files
from .fake_market import NOW


def a_version(number: str, **fields: object) -> VersionView:
    values: dict[str, object] = {
        "version": number,
        "id": number.replace(".", "") * 16,
        "tree": "9e3779b1" * 8,
        "url": f"http://127.0.0.1:8080/ana/weather@{number}/",
        "state": "stopped",
        "desired_state": "stopped",
        "serving": False,
        "weight": 0,
        "channels": [],
        "published": False,
        "created_at": NOW - timedelta(days=3),
    }
    return VersionView.model_validate(values | fields)


def some_versions() -> list[VersionView]:
    up = {"state": "running", "desired_state": "running", "serving": True}
    return [
        a_version("1.3.0", state="starting", desired_state="running", progress="waiting for the port",
                  created_at=NOW - timedelta(seconds=9)),
        a_version("1.2.0", **up, weight=90, channels=["latest"], published=True),
        a_version("1.1.4", **up, weight=10, channels=["beta", "1"], deprecated_at=NOW - timedelta(days=1),
                  sunset_at=NOW + timedelta(days=20)),
        a_version("1.1.0", state="failed", error="SyntaxError: invalid syntax (main.py:12)"),
        a_version("1.0.0", yanked_at=NOW - timedelta(days=2), yanked_reason="leaks memory"),
        a_version("0.9.0", deprecated_at=NOW - timedelta(days=40), sunset_at=NOW - timedelta(days=10)),
    ]  # fmt: skip


def some_traffic_split() -> TrafficSplitView:
    return TrafficSplitView(
        shares=[ShareView(target="1.2.0", weight=90), ShareView(target="1.1.4", weight=10)],
        pending=PendingMove(target="1.3.0", weight=100),
        earlier=[[ShareView(target="dev", weight=100)]],
        revision=4,
    )


class FakeVersions:
    """The calls about versions. `_reached` and `known` are the server's."""

    _reached: Callable[..., Awaitable[None]]
    known: dict[str, ApiView]

    def __init__(self) -> None:
        self.version_list: list[VersionView] = some_versions()
        self.split = some_traffic_split()
        self.changed_files = some_files()

    async def versions(self, name: str) -> list[VersionView]:
        await self._reached("versions")
        return self.version_list

    async def diff(
        self, name: str, first: str | None = None, second: str | None = None, path: str | None = None
    ) -> TreeDifferenceView:
        await self._reached("diff", f"{name} {first} {second} {path}")
        files = self.changed_files
        if path is not None:
            whole = ["@@ -0,0 +1,840 @@", *(f"+place {number}" for number in range(840))]
            files = [a_file(path, "added", added=840, lines=whole)]
        return a_difference(first or "1.2.0", second or "dev", files)

    async def traffic(self, name: str) -> TrafficSplitView:
        await self._reached("traffic")
        return self.split

    async def deploy_version(self, name: str, wanted: DeployVersion) -> ApiView:
        await self._reached("deploy_version", f"{name} {wanted.version}")
        return self.known[name]

    async def move_traffic(self, name: str, wanted: MoveTraffic) -> TrafficSplitView:
        await self._reached("move_traffic", f"{wanted.target} {wanted.weight}")
        return self.split

    async def roll_back(self, name: str, version: str | None = None) -> TrafficSplitView:
        await self._reached("roll_back", f"{name} {version}")
        return self.split

    async def mark_version(self, name: str, number: str, marks: MarkVersion) -> VersionView:
        given = marks.model_dump(exclude_unset=True)
        await self._reached("mark_version", f"{number} {given}")
        return a_version(number)

    async def put_channel(self, name: str, channel: str, version: str) -> ChannelsView:
        await self._reached("put_channel", f"{channel} {version}")
        return ChannelsView(channels={channel: version})
