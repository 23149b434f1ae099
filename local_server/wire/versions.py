"""Versions of an API, their channels, and where its traffic goes."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from local_server.wire.apis import FailureView
from local_server.wire.moments import Moment


class VersionView(BaseModel):
    """`versions NAME --json`, one row each."""

    version: str
    """Its number: `1.2.0`."""
    id: str
    tree: str
    url: str
    """Leads to this version, whatever becomes of the traffic."""
    state: str
    """stopped, building, starting, running, failed, stopping"""
    desired_state: str
    serving: bool
    weight: int
    """Percent of the traffic of the URL without a pin."""
    channels: list[str]
    """Those that lead to it, `latest` among them."""
    error: str | None = None
    """One line: why it does not serve."""
    failure: FailureView | None = None
    progress: str = ""
    published: bool
    """Signed, and published from a registry to this one."""
    created_at: datetime
    deprecated_at: datetime | None = None
    sunset_at: datetime | None = None
    """From this time on its callers are answered 410."""
    yanked_at: datetime | None = None
    yanked_reason: str = ""


class DeployVersion(BaseModel):
    """POST /api/v1/apis/{id}/deploy: make a version of what serves now, run it, and move the traffic to it."""

    model_config = ConfigDict(extra="forbid")

    version: str
    """Its number; one that exists must have the very files that serve now."""
    weight: int = Field(100, ge=0, le=100)
    """Percent of the traffic, once it is ready; 0: it only gets a URL of its own."""
    channel: str | None = None
    """Leads to it from then on."""


class ShareView(BaseModel):
    target: str
    """The number of a version, or `dev`: the working directory."""
    weight: int
    """Percent."""


class PendingMove(BaseModel):
    """Waits for a version to become ready."""

    target: str
    weight: int
    channel: str | None = None
    back: bool = False
    """A roll-back to where the traffic was before."""


class TrafficSplitView(BaseModel):
    shares: list[ShareView]
    """Where the URL without a pin leads."""
    pending: PendingMove | None = None
    earlier: list[list[ShareView]]
    """What it was before, newest first: where roll-backs go."""
    revision: int
    """Counts the moves."""


class MoveTraffic(BaseModel):
    """PUT /api/v1/apis/{id}/traffic: once the target is ready."""

    model_config = ConfigDict(extra="forbid")

    target: str
    """The number of a version, or `dev`: the working directory."""
    weight: int = Field(100, ge=1, le=100)
    """Percent; the others share the rest as they shared all before."""


class RollBack(BaseModel):
    """POST /api/v1/apis/{id}/rollback"""

    model_config = ConfigDict(extra="forbid")

    version: str | None = None
    """None: where the traffic was before the last move. Else a version, or `dev`."""


class ChannelsView(BaseModel):
    channels: dict[str, str]
    """Name -> the number of the version that it leads to; `latest` among them."""


class PutChannel(BaseModel):
    """PUT /api/v1/apis/{id}/channels/{name}"""

    model_config = ConfigDict(extra="forbid")

    version: str


class TreeSideView(BaseModel):
    """One of two states of an API's files that are compared."""

    name: str
    """The number of a version, `dev`: what the directory holds, or `g14`: a generation."""
    tree: str
    files: int
    size_bytes: int


class FileDifferenceView(BaseModel):
    path: str
    """In the second state; of a file that is gone, in the first."""
    path_before: str | None
    """Where the same content was before, if it moved."""
    change: str
    """added, removed, renamed, changed; mode: only whether it can be executed"""
    kind: str
    """text; binary; large: not compared line by line"""
    size_before: int | None
    """Bytes; None: it was not there."""
    size_after: int | None
    mode_before: str | None
    """`644`, or `755` where it can be executed."""
    mode_after: str | None
    added: int | None
    """Lines; None where they were not compared."""
    removed: int | None
    lines: list[str]
    """Of a text, as `diff -u` has them: `@@ -1,3 +1,4 @@`, then lines that begin with a blank, `-`, `+` or
    `\\`. Without their line feeds, and else as they are: whoever shows them takes out what would steer a terminal."""
    complete: bool
    """False: there are more. Ask for the file alone, by its path."""


class TreeDifferenceView(BaseModel):
    """GET /api/v1/apis/{id}/diff"""

    first: TreeSideView
    second: TreeSideView
    same: bool
    files: list[FileDifferenceView]
    """By path."""
    more: int
    """Files that differ too, and are not listed."""


class MarkVersion(BaseModel):
    """PATCH /api/v1/apis/{id}/versions/{version}: what is given changes."""

    model_config = ConfigDict(extra="forbid")

    deprecated: bool | None = None
    """Callers are told; false takes it back, with its sunset."""
    sunset_at: Moment | None = None
    """From this time on callers are answered 410. Given alone, it deprecates too; `deprecated` without it takes the
    sunset back."""
    yanked: bool | None = None
    """A yanked version is found under its full number alone."""
    reason: str = Field("", max_length=500)
    """Why it is yanked."""
