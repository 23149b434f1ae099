"""What storage can do for publishing from here: what is on its way, and what marketplaces have; part of `Tx` and
`ReadTx` (base.py)."""

from collections.abc import Sequence
from typing import Protocol

from local_server.domain.ids import ApiId, Digest, OpId
from local_server.domain.outbox import Outgoing, PublishedVersion, Remote, RemoteRef


class OutboxReader(Protocol):
    def get(self, op: OpId) -> Outgoing | None: ...
    def latest(self, limit: int = 100) -> Sequence[Outgoing]:
        """Newest first."""

    def unfinished(self) -> Sequence[Outgoing]:
        """All that a worker goes on with by itself, oldest first."""

    def pending(self, api_id: ApiId, remote: str) -> Sequence[Outgoing]:
        """Of one API to one marketplace, what is neither applied nor canceled, oldest first."""


class OutboxStore(OutboxReader, Protocol):
    def add(self, entry: Outgoing) -> None:
        """Add its tree in the same act: entries that are not finished keep theirs, and its blobs."""

    def save(self, entry: Outgoing) -> None:
        """How far it has come; what it is stays as it was added."""

    def prune(self, keep: int = 200) -> None:
        """Forget what is finished and not among the newest `keep`."""


class RemotesReader(Protocol):
    def get(self, url: str) -> Remote | None: ...
    def all(self) -> Sequence[Remote]:
        """By URL."""

    def ref(self, remote: str, owner: str, slug: str) -> RemoteRef | None: ...
    def refs(self, remote: str) -> Sequence[RemoteRef]:
        """By owner and slug."""

    def refs_of(self, api_id: ApiId) -> Sequence[RemoteRef]:
        """What marketplaces have of one API of this machine, by URL."""

    def version(self, remote: str, version: Digest) -> PublishedVersion | None: ...
    def versions(self, remote: str, owner: str, slug: str) -> Sequence[PublishedVersion]:
        """Those that are known here, in no order that means anything."""


class RemotesStore(RemotesReader, Protocol):
    def put(self, remote: Remote) -> None:
        """Insert or replace by URL."""

    def put_ref(self, ref: RemoteRef) -> None:
        """Insert or replace by remote, owner and slug. The remote is there already."""

    def add_version(self, version: PublishedVersion) -> None:
        """One that is there already is left alone: versions never change."""

    def forget(self, url: str) -> None:
        """With its refs and versions. Unknown: nothing happens."""
