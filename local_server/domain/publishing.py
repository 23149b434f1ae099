"""A publish: what is asked for, what it may hold, and what becomes of it."""

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from local_server.domain.ids import Digest, UserId
from local_server.domain.signatures import SignerId
from local_server.domain.sync_errors import PublishRefused, TreeMismatch, TreeTooLarge
from local_server.domain.trees import (
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_TREE_BYTES,
    Tree,
    TreeEntry,
    name_collisions,
    path_problem,
)

LEASE = timedelta(hours=24)
"""How long what was sent is kept before it is committed."""
MAX_PATH_BYTES = 1024
MAX_PARENTS = 8
MAX_OPENAPI_BYTES = 2 * 1024 * 1024
HASH = re.compile(r"[0-9a-f]{64}")
OP = re.compile(r"[A-Za-z0-9._-]{8,64}")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one publish, and what waits of one account, may hold."""

    files: int = MAX_FILES
    file_bytes: int = MAX_FILE_BYTES
    tree_bytes: int = MAX_TREE_BYTES
    staged_bytes: int = 4 * MAX_TREE_BYTES
    """Of blobs that one account sent and no version holds yet."""
    uploads: int = 200
    """Open ones of one account."""


@dataclass(frozen=True, slots=True)
class TreeDelta:
    """A tree, told by what it has other than another one."""

    base: Digest | None
    put: Mapping[str, TreeEntry]
    delete: frozenset[str]

    def check(self, limits: Limits) -> None:
        """What can be said without the base. Raises PublishRefused, TreeTooLarge."""
        if len(self.put) > limits.files or len(self.delete) > limits.files:
            _refuse_count(max(len(self.put), len(self.delete)), limits)
        for path, entry in self.put.items():
            if problem := _path_problem(path):
                raise PublishRefused("put", f"the path {path[:200]!r} {problem}")
            _check_entry(path, entry, limits)
        if self.base is None and self.delete:
            raise PublishRefused("delete", "there is nothing to delete from without a base tree")
        if both := self.delete & self.put.keys():
            raise PublishRefused("delete", f"{min(both)!r} is put as well")

    def applied(self, base: Tree | None, said: Digest, limits: Limits) -> Tree:
        """The whole tree, which must be the one of the digest `said`. Raises PublishRefused, TreeTooLarge,
        TreeMismatch."""
        entries = dict(base.entries) if base is not None else {}
        for path in self.delete:
            if entries.pop(path, None) is None:
                raise PublishRefused("delete", f"the base tree has no {path[:200]!r}")
        entries |= self.put
        tree = Tree(entries)
        _check_tree(tree, limits)
        if tree.digest != said:
            raise TreeMismatch(said, tree.digest)
        return tree


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """Everything but the blobs."""

    op: str
    """Chosen by whoever publishes; the same again is the same publish."""
    user_id: UserId
    owner: str
    slug: str
    semver: str
    delta: TreeDelta
    tree: Digest
    if_head_rev: int
    parents: tuple[Digest, ...]
    manifest: Mapping[str, Any]
    """The manifest's document, as it was signed."""
    openapi: Mapping[str, Any] | None
    signer: SignerId
    signature: bytes

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.slug}"


@dataclass(frozen=True, slots=True)
class Upload:
    """A publish that waits for blobs; nothing of it is visible."""

    id: str
    request: PublishRequest
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Published:
    """What a publish came to. The same for every repetition."""

    api: str
    version: Digest
    semver: str
    tree: Digest
    head_rev: int
    change: int
    """Its number in the feed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    published: Published
    replayed: bool
    """It had been committed before."""


@dataclass(frozen=True, slots=True)
class Missing:
    """The publish waits for blobs. Without a known base nothing else could be looked at."""

    upload_id: str
    missing: tuple[str, ...]
    base_known: bool = True


def request_hash(version_id: Digest, if_head_rev: int) -> str:
    """Tells a repetition from another publish under the same op. How its blobs are sent does not matter."""
    return hashlib.sha256(f"publish\n{version_id}\n{if_head_rev}\n".encode()).hexdigest()


def sizes(entries: Collection[TreeEntry]) -> Mapping[str, int]:
    """SHA-256 -> size of the blob. Raises PublishRefused where one hash is said to have two sizes."""
    known: dict[str, int] = {}
    for entry in entries:
        if known.setdefault(entry.sha256, entry.size_bytes) != entry.size_bytes:
            raise PublishRefused("put", f"the blob {entry.sha256} is said to have two sizes")
    return known


def _path_problem(path: str) -> str | None:
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "is not Unicode"
    if len(encoded) > MAX_PATH_BYTES:
        return f"has over {MAX_PATH_BYTES} bytes"
    return path_problem(path)


def _check_entry(path: str, entry: TreeEntry, limits: Limits) -> None:
    if not HASH.fullmatch(entry.sha256):
        raise PublishRefused("put", f"{entry.sha256[:80]!r}, of {path[:200]!r}, is no SHA-256")
    if entry.mode not in (0o644, 0o755):
        raise PublishRefused("put", f"{path[:200]!r} has the mode {entry.mode:o}; allowed are 644 and 755")
    if entry.size_bytes < 0:
        raise PublishRefused("put", f"{path[:200]!r} has {entry.size_bytes} bytes")
    if entry.size_bytes > limits.file_bytes:
        raise TreeTooLarge(
            "put", f"{path[:200]!r} has {entry.size_bytes:,} bytes; {limits.file_bytes:,} are allowed", _LEAVE_OUT
        )


def _check_tree(tree: Tree, limits: Limits) -> None:
    if len(tree.entries) > limits.files:
        _refuse_count(len(tree.entries), limits)
    if tree.size_bytes > limits.tree_bytes:
        raise TreeTooLarge("tree", f"has {tree.size_bytes:,} bytes; {limits.tree_bytes:,} are allowed", _LEAVE_OUT)
    sizes(tree.entries.values())
    for first, second in name_collisions(tree.entries):
        raise PublishRefused("put", f"{first!r} and {second!r} cannot both be in one directory on every system")


def _refuse_count(count: int, limits: Limits) -> None:
    raise TreeTooLarge("tree", f"has {count:,} files; {limits.files:,} are allowed", _LEAVE_OUT)


_LEAVE_OUT = "Leave out what is not code, with lines in .apimarketignore."
