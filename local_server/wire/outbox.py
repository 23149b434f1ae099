"""Publishing from this machine and pulling to it: what is asked of the local server, and how it goes."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class TroubleView(BaseModel):
    code: str
    detail: str
    hint: str = ""


class OutboxEntryView(BaseModel):
    """One version on its way to one marketplace."""

    op: str
    api_id: str
    api: str
    """Its name on this machine."""
    name: str
    """`owner/name` on the marketplace."""
    remote: str
    version: str
    version_id: str
    tree: str
    state: str
    """queued, sending, need_blobs, uploading, committing, committed, applied, conflict, rejected, canceled"""
    attempts: int
    """That failed since anything last went forward."""
    next_at: datetime | None = None
    """When it is tried again; None: at once, or not by itself."""
    trouble: TroubleView | None = None
    sent_bytes: int
    total_bytes: int
    sent_blobs: int
    total_blobs: int
    url: str
    """Where the version is called, once it is there."""
    created_at: datetime
    updated_at: datetime


class RemoteView(BaseModel):
    """A marketplace this machine exchanges versions with."""

    url: str
    account: str
    marketplace_id: str
    reachable: bool | None = None
    """None: not tried since the server started."""
    trouble: TroubleView | None = None
    seen_at: datetime | None = None
    """When it last answered."""


class RemoteApiView(BaseModel):
    """What a marketplace has of one API of this machine."""

    remote: str
    name: str
    api: str | None = None
    version: str | None = None
    """The newest there."""
    base: str | None = None
    """The newest there that this machine's own state was made upon."""
    ahead: bool
    """Somebody else published after that: pull, or settle the conflict."""
    visibility: str
    deleted: bool
    yanked: dict[str, str] = Field(default_factory=dict)
    """Version -> reason."""


class CloneView(BaseModel):
    """Somebody's API that a pull brought to this machine."""

    remote: str
    name: str
    """`owner/name` there."""
    api: str
    """What it is called here."""
    version: str
    """Which was brought here."""
    newest: str
    """As far as it is known here."""
    update: bool
    """There is a newer one, and it is not to stay where it is."""
    pinned: bool
    deleted: bool
    """It is not there any more."""
    yanked: str | None = None
    """Why its publisher took this version out of sight; None: that was not done."""


class OutboxView(BaseModel):
    """GET /api/v1/outbox"""

    entries: list[OutboxEntryView]
    """Newest first."""
    remotes: list[RemoteView]
    apis: list[RemoteApiView]
    clones: list[CloneView] = Field(default_factory=list)


class PublishApi(BaseModel):
    """POST /api/v1/apis/{id}/publish"""

    model_config = ConfigDict(extra="forbid")

    version: str | None = None
    """None: the manifest's, where it is free and enough; else the next that the changes ask for."""
    remote: str | None = None
    """None: the one it was published to before, else the one that is logged in to."""
    dry_run: bool = False


class FileChangeView(BaseModel):
    path: str
    change: Literal["added", "changed", "removed"]
    size_bytes: int
    """Afterwards; 0 for a removed one."""
    before_bytes: int = 0


class ContractChangeView(BaseModel):
    rule: str
    severity: str
    """error (breaks callers), warning (may break some), info"""
    operation: str
    text: str


class PublishPlanView(BaseModel):
    """What a publish would do, or does."""

    name: str
    """`owner/name` on the marketplace."""
    remote: str
    version: str
    version_id: str
    tree: str
    generation: int | None = None
    """The one that serves now, and whose files these are."""
    published: str | None = None
    """The newest version on the marketplace, as far as it is known here."""
    files: list[FileChangeView]
    """Against that one."""
    total_files: int
    total_bytes: int
    send_bytes: int
    """What would go over the network, at most: less where the marketplace has some of it already."""
    requests: int
    contract_known: bool
    """Whether both versions have an OpenAPI document to compare."""
    contract: list[ContractChangeView]
    bump: Literal["major", "minor", "patch"] | None = None
    """The smallest step of the version number that tells callers the truth."""
    asked_version: str | None = None
    """The number after `published` that it leads to."""
    warnings: list[str] = Field(default_factory=list)
    visibility: Literal["public", "unlisted", "private"] = "private"
    """Whether it is in the catalogue, as its manifest says."""


class PublishView(BaseModel):
    plan: PublishPlanView
    entry: OutboxEntryView | None = None
    """None: a dry run."""


class PullApi(BaseModel):
    """POST /api/v1/apis/{id}/pull: what the marketplace has that this machine has not."""

    model_config = ConfigDict(extra="forbid")

    remote: str | None = None
    write: bool = False
    """Write it to the API's directory too, which must hold nothing that was not published."""


class PullVersion(BaseModel):
    """POST /api/v1/pull: a version one may read, as an API of this machine."""

    model_config = ConfigDict(extra="forbid")

    name: str
    """owner/name, or owner/name@version"""
    remote: str | None = None
    directory: str | None = None
    """A new or empty one; None: below the server's projects directory. Where the API is here already from an earlier
    pull it is brought to the version in its place, unless another directory is named."""
    start: bool = False
    follow: bool = False
    """Although a version is named, not to stay at it: newer ones are told of."""
    choices: list["ChoiceBody"] = Field(default_factory=list)
    """What counts where its edits here clash with the version."""


class PulledView(BaseModel):
    name: str
    remote: str
    version: str
    version_id: str
    tree: str
    fetched_bytes: int
    """Over the network."""
    new_versions: list[str]
    moved: bool
    """The local head is the marketplace's now."""
    written: bool
    conflict: bool
    """Both sides have versions that the other has not."""
    yanked: str | None = None
    """Why its publisher took this version out of sight; None: that was not done."""
    directory: str | None = None
    api_id: str | None = None
    kept: list[str] = Field(default_factory=list)
    """Of an API that an earlier pull brought here: paths that are not as in the version, but as changed here."""
    updated: bool = False
    """It is such an API."""
    pinned: bool = False
    """It stays at this version until another is asked for."""


class SideView(BaseModel):
    """A version, or a file in it, of one side of a conflict."""

    version: str | None = None
    """None: not published yet."""
    version_id: str | None = None
    tree: str


class FileSideView(BaseModel):
    sha256: str
    size_bytes: int
    mode: int
    """644 or 755"""
    text: str | None = None
    """None: not text, or too long to be shown."""


class FieldConflictView(BaseModel):
    """A key of apimarket.toml that both sides changed. None: it is not there."""

    key: str
    base: Any = None
    mine: Any = None
    theirs: Any = None


class FileConflictView(BaseModel):
    path: str
    kind: Literal["text", "manifest", "binary", "name"]
    """name: `path` of mine and `other` of theirs cannot both be in one directory."""
    base: FileSideView | None = None
    mine: FileSideView | None = None
    theirs: FileSideView | None = None
    fields: list[FieldConflictView] = Field(default_factory=list)
    draft: str | None = None
    """Of a text, both sides between markers."""
    other: str | None = None


class ConflictView(BaseModel):
    """GET /api/v1/apis/{id}/conflict"""

    name: str
    remote: str
    op: str | None = None
    """The outgoing version that waits for the answer."""
    base: SideView | None = None
    mine: SideView
    theirs: SideView
    merged: list[str]
    """Paths that both sides changed, and that merge by themselves."""
    files: list[FileConflictView]
    """What must be chosen."""
    next_version: str


class ChoiceBody(BaseModel):
    """The answer for one file, or for one key of apimarket.toml."""

    model_config = ConfigDict(extra="forbid")

    path: str
    field: str | None = None
    """`api.summary`; only of apimarket.toml."""
    take: Literal["mine", "theirs", "base", "edited"]
    text: str | None = None
    """With `edited`, the whole file."""
    value: Any = None
    """With `edited` and `field`, the key's value."""


class ResolveConflict(BaseModel):
    """POST /api/v1/apis/{id}/conflict"""

    model_config = ConfigDict(extra="forbid")

    how: Literal["merge", "mine", "theirs", "fork"]
    """merge: one version made of both. mine: my files, as a version after theirs. theirs: give mine up. fork: mine
    goes on under another name."""
    choices: list[ChoiceBody] = Field(default_factory=list)
    version: str | None = None
    name: str | None = None
    """Of the fork."""
    remote: str | None = None


class ResolvedView(BaseModel):
    how: str
    tree: str
    version: str | None = None
    """Of the version that was made of it; None: nothing had to be published."""
    entry: OutboxEntryView | None = None
    written: bool


class ForgetMarketplace(BaseModel):
    """POST /api/v1/sync/forget"""

    model_config = ConfigDict(extra="forbid")

    remote: str
    """Its address."""


class YankVersion(BaseModel):
    """POST /api/v1/apis/{id}/yank"""

    model_config = ConfigDict(extra="forbid")

    version: str
    reason: str = Field(default="", max_length=500)
    """What is wrong with it; needed, but for `undo`."""
    remote: str | None = None
    undo: bool = False
    """Put it back in sight."""

    @model_validator(mode="after")
    def _says_why(self) -> "YankVersion":
        if not self.reason and not self.undo:
            raise ValueError("a reason is needed, for those who use it")
        return self
