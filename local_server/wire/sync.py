"""Publishing and pulling on the wire; docs/sync.md says how they go together."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256, in lower-case hexadecimal."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


# -- The marketplace -----------------------------------------------------------------------------------------------


class SyncLimits(BaseModel):
    """What one publish may hold. Bytes are bytes of content unless it says packed."""

    files: int
    file_bytes: int
    tree_bytes: int
    openapi_bytes: int
    pack_frames_bytes: int
    """All frames of one pack, packed."""
    pack_blob_bytes: int
    """One blob in a pack; larger ones are sent alone."""
    pack_content_bytes: int
    staged_bytes: int
    """What one account may have waiting, uncommitted."""


class SyncInfo(BaseModel):
    """GET /api/v1/sync"""

    api: Literal["1"] = "1"
    marketplace_id: str
    """Part of what is signed: a version signed for one marketplace says nothing in another."""
    account: str
    """The handle of the caller, which is the owner in the names of its APIs."""
    cursor: str
    """Where the feed stands now."""
    limits: SyncLimits
    runs: bool = False
    """What is published here is run here, too: GET /api/v1/apis/{owner}/{slug}/versions/{version} says how."""


class RegisterSigningKey(Strict):
    """POST /api/v1/sync/keys"""

    name: str = Field(default="", max_length=100)
    """What it is on: `laptop`."""
    public_key: str = Field(max_length=64)
    """32 bytes of Ed25519, in base64."""


class SigningKeyView(BaseModel):
    id: str
    """The first 16 bytes of the public key's SHA-256, in hexadecimal: whoever signs knows it without asking."""
    name: str
    public_key: str
    created_at: datetime
    revoked_at: datetime | None = None


# -- Publishing ----------------------------------------------------------------------------------------------------


class PutFile(Strict):
    path: str
    sha256: Hash
    size_bytes: int = Field(ge=0)
    mode: Literal[644, 755] = 644


class PackedBlobView(Strict):
    """One frame of a pack, in the order in which they follow the head."""

    sha256: Hash
    size_bytes: int = Field(ge=0)
    packed_bytes: int = Field(ge=0)
    base_path: str | None = None
    """Where in the base tree the file is whose first and last bytes this blob has."""
    prefix_bytes: int = Field(default=0, ge=0)
    suffix_bytes: int = Field(default=0, ge=0)


class PublishHead(Strict):
    """The head of a pack that POST /api/v1/sync/apis/{owner}/{slug}/publish takes."""

    op: str
    """8 to 64 of A-Z, a-z, 0-9, '.', '_' and '-', chosen by whoever publishes. The same again is the same publish."""
    semver: str
    base_tree: Hash | None = None
    """A tree the marketplace has; None: `put` is the whole tree."""
    put: list[PutFile] = Field(default_factory=list)
    delete: list[str] = Field(default_factory=list)
    tree: Hash
    """The digest of the result."""
    if_head_rev: int = Field(ge=0)
    """The revision of the head this was made on; 0: nothing was published yet."""
    parents: list[Hash] = Field(default_factory=list, max_length=8)
    manifest: dict[str, Any]
    """The manifest's document, as it is part of the version's."""
    openapi: dict[str, Any] | None = None
    signer: str = Field(max_length=64)
    signature: str = Field(max_length=100)
    """Ed25519, in base64, over "apimarket-version-v1", NUL, the marketplace's id, NUL, and the version's id."""
    blobs: list[PackedBlobView] = Field(default_factory=list)


class PublishedView(BaseModel):
    """201: committed now. 200: had been committed before, under the same op."""

    api: str
    version: str
    semver: str
    tree: str
    head_rev: int
    change: int
    """Its number in the feed."""
    replayed: bool


class OpView(BaseModel):
    """GET /api/v1/sync/ops/{op}"""

    op: str
    state: Literal["committed", "staged", "unknown"]
    published: PublishedView | None = None
    """committed"""
    upload_id: str | None = None
    """staged"""
    received: list[str] = Field(default_factory=list)
    """staged: blobs of its tree that need not be sent."""
    missing: list[str] = Field(default_factory=list)


class BatchHead(Strict):
    """The head of a pack that POST /api/v1/sync/uploads/{id}/blobs takes."""

    blobs: list[PackedBlobView]


class BatchView(BaseModel):
    stored: list[str]
    missing: list[str]
    """What the upload still needs."""


class BlobReceived(BaseModel):
    """PATCH /api/v1/sync/uploads/{id}/blobs/{sha256}"""

    offset: int
    """How many bytes are here."""
    complete: bool


# -- Reading -------------------------------------------------------------------------------------------------------


class HeadView(BaseModel):
    version: str
    semver: str
    tree: str


class RefsView(BaseModel):
    """All that moves of one published API. Revisions count up by one; a change names the one it read, in If-Match."""

    id: str
    owner: str
    slug: str
    head: HeadView | None = None
    head_rev: int
    visibility: str
    """private, unlisted, public"""
    visibility_rev: int
    yanked: dict[str, str]
    """Version number -> reason."""
    yanked_rev: int
    removed: bool = False


class PublishedVersionView(BaseModel):
    """One version, to be checked before it is believed: `id` is the SHA-256 of `document` in canonical JSON (keys
    sorted, no spaces, UTF-8), and `signature` is over it."""

    id: str
    document: dict[str, Any]
    """{api, semver, tree, parents, manifest}"""
    signer: str
    public_key: str
    signature: str
    published_at: datetime
    openapi: dict[str, Any] | None = None
    yanked: str | None = None
    """The reason, for a version that was yanked."""


class VersionLineView(BaseModel):
    id: str
    semver: str
    tree: str
    parents: list[str]
    published_at: datetime
    yanked: str | None = None


class PublishedApiView(BaseModel):
    """GET /api/v1/sync/apis/{owner}/{slug}"""

    refs: RefsView
    versions: list[VersionLineView]
    """Newest first."""


class ChangeView(BaseModel):
    number: int
    """1, 2, 3 …; those of APIs that the caller may not read are left out."""
    at: datetime
    kind: str
    """published, visibility, yanked, removed; withdrawn: the caller may read the API no longer"""
    refs: RefsView
    """As they were after it; of a withdrawn API only the name."""


class ChangesView(BaseModel):
    """GET /api/v1/sync/changes"""

    changes: list[ChangeView]
    cursor: str
    """For the next question. Moves past what was left out, too."""
    more: bool
    """There are further changes already."""


class SnapshotView(BaseModel):
    """GET /api/v1/sync/snapshot: how everything stands that the caller may read."""

    apis: list[RefsView]
    next: str | None = None
    """For `after`, while there is more."""
    cursor: str
    """Take the first page's, and go on from it in the feed."""


class TreeView(BaseModel):
    """GET /api/v1/sync/trees/{tree}"""

    tree: str
    base: str | None = None
    put: list[PutFile]
    delete: list[str]


class WantBlobs(Strict):
    """POST /api/v1/sync/blobs:batch"""

    tree: Hash
    """A tree the caller may read; the blobs are its."""
    base: Hash | None = None
    """Another one that the caller has: blobs may come as differences to its files."""
    want: list[Hash] = Field(max_length=20_000)
    api: str | None = None
    """owner/name, for a tree of an API that is unlisted."""


class BlobsHead(Strict):
    """The head of the pack that blobs:batch answers with."""

    blobs: list[PackedBlobView]
    missing: list[str] = Field(default_factory=list)
    """Not in the tree."""
    more: list[str] = Field(default_factory=list)
    """Ask again for these: they found no room."""
    alone: list[str] = Field(default_factory=list)
    """Too large for a pack: GET /api/v1/sync/trees/{tree}/blobs/{sha256}, which takes Range."""


# -- Refs ----------------------------------------------------------------------------------------------------------


class PatchVisibility(Strict):
    """PATCH /api/v1/sync/apis/{owner}/{slug}/visibility"""

    visibility: Literal["private", "unlisted", "public"]


class PatchYanked(Strict):
    """PATCH /api/v1/sync/apis/{owner}/{slug}/yanked"""

    semver: str
    yanked: bool = True
    reason: str = Field(default="", max_length=500)
