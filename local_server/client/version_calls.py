"""The calls about versions, described as in calls.py."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from local_server.client.calls import Call, api_path


def _version(name: str, version: str, act: str = "") -> str:
    return api_path(name, f"/versions/{quote(version, safe='')}{act}")


def deploy_version(name: str, body: Mapping[str, Any]) -> Call:
    return Call("POST", api_path(name, "/deploy"), "apis:ApiView", body=body)


def versions(name: str) -> Call:
    return Call("GET", api_path(name, "/versions"), "versions:VersionView", many=True)


def version(name: str, number: str) -> Call:
    return Call("GET", _version(name, number), "versions:VersionView")


def mark_version(name: str, number: str, body: Mapping[str, Any]) -> Call:
    return Call("PATCH", _version(name, number), "versions:VersionView", body=body)


def start_version(name: str, number: str) -> Call:
    return Call("POST", _version(name, number, "/start"), "versions:VersionView")


def stop_version(name: str, number: str) -> Call:
    return Call("POST", _version(name, number, "/stop"), "versions:VersionView", timeout_s=60.0)


def diff(name: str, first: str | None, second: str | None, path: str | None) -> Call:
    """From `first` to `second`; None: what the server takes in their place."""
    wanted = {"from": first, "to": second, "path": path}
    query = urlencode({key: value for key, value in wanted.items() if value is not None})
    path_and_query = api_path(name, "/diff") + (f"?{query}" if query else "")
    return Call("GET", path_and_query, "versions:TreeDifferenceView", timeout_s=60.0)


def traffic(name: str) -> Call:
    return Call("GET", api_path(name, "/traffic"), "versions:TrafficSplitView")


def move_traffic(name: str, body: Mapping[str, Any]) -> Call:
    return Call("PUT", api_path(name, "/traffic"), "versions:TrafficSplitView", body=body)


def roll_back(name: str, version: str | None = None) -> Call:
    return Call("POST", api_path(name, "/rollback"), "versions:TrafficSplitView", body={"version": version})


def channels(name: str) -> Call:
    return Call("GET", api_path(name, "/channels"), "versions:ChannelsView")


def put_channel(name: str, channel: str, version: str) -> Call:
    return Call(
        "PUT",
        api_path(name, f"/channels/{quote(channel, safe='')}"),
        "versions:ChannelsView",
        body={"version": version},
    )


def remove_channel(name: str, channel: str) -> Call:
    return Call("DELETE", api_path(name, f"/channels/{quote(channel, safe='')}"), "versions:ChannelsView")
