"""The wire models of publishing and pulling as typed JSON documents, as documents.py has the others."""

from typing import Any, Literal, NotRequired, TypedDict


class TroubleDocument(TypedDict):
    code: str
    detail: str
    hint: str


class SyncLimitsDocument(TypedDict):
    files: int
    file_bytes: int
    tree_bytes: int
    openapi_bytes: int
    pack_frames_bytes: int
    pack_blob_bytes: int
    pack_content_bytes: int
    staged_bytes: int


class SyncInfoDocument(TypedDict):
    api: Literal["1"]
    marketplace_id: str
    account: str
    cursor: str
    limits: SyncLimitsDocument
    runs: bool


class OutboxEntryDocument(TypedDict):
    op: str
    api_id: str
    api: str
    name: str
    remote: str
    version: str
    version_id: str
    tree: str
    state: str
    attempts: int
    next_at: str | None
    trouble: TroubleDocument | None
    sent_bytes: int
    total_bytes: int
    sent_blobs: int
    total_blobs: int
    url: str
    created_at: str
    updated_at: str


class RemoteDocument(TypedDict):
    url: str
    account: str
    marketplace_id: str
    reachable: bool | None
    trouble: TroubleDocument | None
    seen_at: str | None


class RemoteApiDocument(TypedDict):
    remote: str
    name: str
    api: str | None
    version: str | None
    base: str | None
    ahead: bool
    visibility: str
    deleted: bool
    yanked: dict[str, str]


class CloneDocument(TypedDict):
    remote: str
    name: str
    api: str
    version: str
    newest: str
    update: bool
    pinned: bool
    deleted: bool
    yanked: str | None


class OutboxDocument(TypedDict):
    entries: list[OutboxEntryDocument]
    remotes: list[RemoteDocument]
    apis: list[RemoteApiDocument]
    clones: list[CloneDocument]


class FileChangeDocument(TypedDict):
    path: str
    change: Literal["added", "changed", "removed"]
    size_bytes: int
    before_bytes: int


class ContractChangeDocument(TypedDict):
    rule: str
    severity: str
    operation: str
    text: str


class PublishPlanDocument(TypedDict):
    name: str
    remote: str
    version: str
    version_id: str
    tree: str
    generation: int | None
    published: str | None
    files: list[FileChangeDocument]
    total_files: int
    total_bytes: int
    send_bytes: int
    requests: int
    contract_known: bool
    contract: list[ContractChangeDocument]
    bump: Literal["major", "minor", "patch"] | None
    asked_version: str | None
    warnings: list[str]
    visibility: Literal["public", "unlisted", "private"]


class PublishDocument(TypedDict):
    plan: PublishPlanDocument
    entry: OutboxEntryDocument | None


class PulledDocument(TypedDict):
    name: str
    remote: str
    version: str
    version_id: str
    tree: str
    fetched_bytes: int
    new_versions: list[str]
    moved: bool
    written: bool
    conflict: bool
    yanked: NotRequired[str | None]
    """Servers of before do not say."""
    directory: str | None
    api_id: str | None
    kept: list[str]
    updated: bool
    pinned: bool


class SideDocument(TypedDict):
    version: str | None
    version_id: str | None
    tree: str


class FileSideDocument(TypedDict):
    sha256: str
    size_bytes: int
    mode: int
    text: str | None


class FieldConflictDocument(TypedDict):
    key: str
    base: Any
    mine: Any
    theirs: Any


class FileConflictDocument(TypedDict):
    path: str
    kind: Literal["text", "manifest", "binary", "name"]
    base: FileSideDocument | None
    mine: FileSideDocument | None
    theirs: FileSideDocument | None
    fields: list[FieldConflictDocument]
    draft: str | None
    other: str | None


class ConflictDocument(TypedDict):
    name: str
    remote: str
    op: str | None
    base: SideDocument | None
    mine: SideDocument
    theirs: SideDocument
    merged: list[str]
    files: list[FileConflictDocument]
    next_version: str


class ResolvedDocument(TypedDict):
    how: str
    tree: str
    version: str | None
    entry: OutboxEntryDocument | None
    written: bool
