"""What storage can do for APIs: what is registered, what runs of it, its versions, and the ways that lead there; part
of `Tx` and `ReadTx` (base.py)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from local_server.domain.deployments import Deployment, Generation
from local_server.domain.ids import ApiId, Digest, UserId
from local_server.domain.registry import Api
from local_server.domain.trees import Tree
from local_server.domain.versions import ApiVersion, Traffic
from local_server.domain.ways import Way


class RegistryReader(Protocol):
    def get(self, api_id: ApiId) -> Api | None: ...
    def by_name(self, owner: str, slug: str) -> Api | None: ...
    def by_directory(self, directory: str) -> Api | None: ...
    def all(self, user_id: UserId | None = None) -> Sequence[Api]:
        """Every API that is not removed, or those of one user, by owner and slug."""

    def search(self, text: str, limit: int = 50, user_id: UserId | None = None) -> Sequence[Api]:
        """Full text over slug, summary, tags and category; words match by prefix; best first. Any text is a valid
        query: what would be operators is taken as words. Empty text finds nothing."""


class RegistryStore(RegistryReader, Protocol):
    def add(self, api: Api) -> None:
        """Raises NameTaken or DirectoryTaken."""

    def save(self, api: Api, expected_revision: int) -> Api:
        """Replace, if the stored revision is the expected one; returns it with the next revision.
        Raises RevisionConflict, ApiNotFound, NameTaken, DirectoryTaken."""

    def remove(self, api_id: ApiId) -> None:
        """Delete with its generations, versions, deployments, executions and rollups. Unknown: nothing happens."""


class DeploymentsReader(Protocol):
    def get(self, api_id: ApiId) -> Deployment | None:
        """What should run of its directory, and what does."""

    def all(self) -> Sequence[Deployment]:
        """Of directories."""

    def of_version(self, api_id: ApiId, semver: str) -> Deployment | None: ...
    def of_versions(self) -> Sequence[Deployment]:
        """Every version that was ever run here, by API and number as text."""

    def generation(self, api_id: ApiId, number: int) -> Generation | None: ...
    def generations(self, api_id: ApiId, limit: int = 50) -> Sequence[Generation]:
        """Newest first."""

    def tree(self, digest: Digest) -> Tree | None: ...
    def live_trees(self) -> frozenset[Digest]:
        """Digests that something kept points at: a generation, a version, an unfinished outgoing version, a remote
        ref."""


class DeploymentsStore(DeploymentsReader, Protocol):
    def put(self, deployment: Deployment) -> None:
        """Insert or replace the row of its API, or of its version. Raises ApiNotFound, VersionNotFound."""

    def put_generation(self, generation: Generation) -> None:
        """Insert or replace by (api, number). Raises ApiNotFound. Add its tree in the same act, or a prune for another
        API may take the tree away between the two."""

    def next_number(self, api_id: ApiId) -> int:
        """One more than the highest generation ever stored for the API; pruning does not set it back.
        Raises ApiNotFound."""

    def add_tree(self, tree: Tree) -> None:
        """A digest that is there already is left alone."""

    def prune(self, api_id: ApiId, keep: int) -> None:
        """Forget all but the newest `keep` generations (the last good one is always kept), and trees that are not
        live any more."""


class VersionsReader(Protocol):
    def get(self, api_id: ApiId, version: Digest) -> ApiVersion | None: ...
    def by_semver(self, api_id: ApiId, semver: str) -> ApiVersion | None: ...
    def of_api(self, api_id: ApiId, limit: int = 1000) -> Sequence[ApiVersion]:
        """Newest first, by when they were made."""

    def openapi(self, api_id: ApiId, semver: str) -> bytes | None:
        """The OpenAPI document it was published with, if one was."""

    def channels(self, api_id: ApiId) -> Mapping[str, str]:
        """Name -> number; those that everybody has, `dev` and `latest`, are not kept."""

    def traffic(self, api_id: ApiId) -> Traffic:
        """Where it goes; to the directory, as long as nobody ever moved it."""


class VersionsStore(VersionsReader, Protocol):
    def add(self, version: ApiVersion, openapi: bytes | None = None) -> bool:
        """Whether it is new; the same version again is left alone. Add its tree in the same act: it is kept for as long
        as the API is. Raises VersionExists when the number is another version's, ApiNotFound."""

    def yank(self, api_id: ApiId, semver: str, at: datetime | None, reason: str = "") -> None:
        """With None as the time it is yanked no more. Raises VersionNotFound, as the next two do."""

    def deprecate(self, api_id: ApiId, semver: str, at: datetime | None, sunset_at: datetime | None = None) -> None:
        """With None as the time it is deprecated no more."""

    def put_channel(self, api_id: ApiId, name: str, semver: str, at: datetime) -> None:
        """Insert or move."""

    def remove_channel(self, api_id: ApiId, name: str) -> None:
        """Unknown: nothing happens."""

    def move_traffic(self, api_id: ApiId, traffic: Traffic) -> Traffic:
        """Store it if the revision is the stored one; returns it with the next one. Raises TrafficConflict,
        ApiNotFound."""


class WaysReader(Protocol):
    def get(self, api_id: ApiId) -> Way | None: ...
    def all(self) -> Sequence[Way]:
        """Of every API that an executor has told of."""


class WaysStore(WaysReader, Protocol):
    def put(self, way: Way) -> None:
        """Insert or replace by API. One that was removed: nothing happens."""

    def remove(self, api_id: ApiId) -> None:
        """Unknown: nothing happens."""
