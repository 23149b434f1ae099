"""The wire models of versions as typed JSON documents: see documents.py."""

from typing import TypedDict

from local_server.client.documents import FailureDocument


class VersionDocument(TypedDict):
    version: str
    id: str
    tree: str
    url: str
    state: str
    desired_state: str
    serving: bool
    weight: int
    channels: list[str]
    error: str | None
    failure: FailureDocument | None
    progress: str
    published: bool
    created_at: str
    deprecated_at: str | None
    sunset_at: str | None
    yanked_at: str | None
    yanked_reason: str


class ShareDocument(TypedDict):
    target: str
    weight: int


class PendingMoveDocument(TypedDict):
    target: str
    weight: int
    channel: str | None
    back: bool


class TrafficSplitDocument(TypedDict):
    shares: list[ShareDocument]
    pending: PendingMoveDocument | None
    earlier: list[list[ShareDocument]]
    revision: int


class ChannelsDocument(TypedDict):
    channels: dict[str, str]


class TreeSideDocument(TypedDict):
    name: str
    tree: str
    files: int
    size_bytes: int


class FileDifferenceDocument(TypedDict):
    path: str
    path_before: str | None
    change: str
    kind: str
    size_before: int | None
    size_after: int | None
    mode_before: str | None
    mode_after: str | None
    added: int | None
    removed: int | None
    lines: list[str]
    complete: bool


class TreeDifferenceDocument(TypedDict):
    first: TreeSideDocument
    second: TreeSideDocument
    same: bool
    files: list[FileDifferenceDocument]
    more: int


class DeployVersionDocument(TypedDict):
    version: str
    weight: int
    channel: str | None


class MoveTrafficDocument(TypedDict):
    target: str
    weight: int
