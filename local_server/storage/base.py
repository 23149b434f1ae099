"""What storage can do, whatever it is made of.

Work is shipped to it as functions. `await storage.write(lambda tx: ...)` runs its function inside one transaction on
the writer; `await storage.read(lambda tx: ...)` runs beside it on a snapshot. Store methods are plain, synchronous
domain acts. Events go out after the commit, in the order of the commits, and not at all if the function raises.

In SQLite an act is alone; in PostgreSQL others write beside it. There what a store reads of one row by its key stays as
it was read until the act ends, and an act that another one got into the way of is rolled back and run again. So an act
does nothing but through its `tx`, and may be run twice.

    await storage.write(lambda tx: tx.registry.add(api))

Every implementation passes `tests/contracts/test_storage.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from local_server.domain.accounts import Account, AuditEntry
from local_server.domain.deployments import Deployment, Generation
from local_server.domain.events import Event
from local_server.domain.executions import Execution
from local_server.domain.ids import ApiId, Digest, KeyId, OpId, UserId
from local_server.domain.keys import ApiKey
from local_server.domain.outbox import Outgoing, PublishedVersion, Remote, RemoteRef
from local_server.domain.quotas import Lease, Period, Quota
from local_server.domain.registry import Api, User
from local_server.domain.trees import Tree
from local_server.domain.usage import (
    HistoryFilter,
    HistoryPage,
    PathCount,
    Popularity,
    Rollup,
    Step,
    TroubleCount,
)
from local_server.domain.versions import ApiVersion, Traffic
from local_server.domain.ways import Way
from local_server.storage import market, publishing, secrets

T = TypeVar("T")


class AccountsReader(Protocol):
    def by_handle(self, handle: str) -> User | None: ...
    def all(self) -> Sequence[User]:
        """Every user, oldest first."""

    def account(self, user_id: UserId) -> Account | None: ...
    def account_by_login(self, login: str) -> Account | None:
        """By handle, or by e-mail address however it is written."""


class AccountsStore(AccountsReader, Protocol):
    def add(self, user: User) -> None:
        """Raises NameTaken when the handle is."""

    def add_account(self, account: Account) -> None:
        """Raises HandleTaken, EmailTaken."""

    def claim(self, account: Account) -> bool:
        """Give a user who has no password yet that of `account`, and its address. False, and nothing changed, when
        there is one, or no such user. Raises EmailTaken."""

    def end_sessions(self, user_id: UserId) -> None:
        """Count `token_version` up: every session begun before is over."""

    def change_password(self, user_id: UserId, password_hash: str) -> None:
        """And end every session begun before."""


class KeysReader(Protocol):
    def get(self, key_id: KeyId, owner: UserId | None = None) -> ApiKey | None:
        """With `owner`, only if it is that user's."""

    def of_api(self, api_id: ApiId) -> Sequence[ApiKey]:
        """Newest first, those no longer in force too."""

    def of_user(self, user_id: UserId) -> Sequence[ApiKey]:
        """To whichever API, newest first, those no longer in force too."""

    def of_subject(self, api_id: ApiId, subject: str) -> Sequence[ApiKey]:
        """Those of an API that count together: of one subscription, or that took each other's place. Newest first."""

    def all(self) -> Sequence[ApiKey]: ...


class KeysStore(KeysReader, Protocol):
    changed: set[KeyId]
    """What this transaction has added, replaced, revoked, or had follow."""

    def add(self, key: ApiKey) -> None: ...
    def replace(self, key_id: KeyId, by: ApiKey, grace_until: datetime) -> None:
        """Add `by`; the key it replaces is in force until `grace_until`."""

    def revoke(self, key_id: KeyId, at: datetime) -> None:
        """A second time changes nothing."""

    def follow(self, subject: str, quota: Quota | None, plan: str | None, expires_at: datetime | None) -> None:
        """Every key whose quota is counted as `subject` has these from now on; revoked ones stay revoked."""

    def used(self, times: Mapping[KeyId, datetime]) -> None:
        """Set `last_used_at`, never back. Unknown keys are passed over."""


class QuotasReader(Protocol):
    def used(self, wanted: Sequence[tuple[str, Period]]) -> Mapping[tuple[str, str], int]:
        """(subject, name of the period) -> calls, those leased included; 0 where nothing was counted."""


class QuotasStore(QuotasReader, Protocol):
    def lease(self, subject: str, period: Period, cap: int | None, wanted: int) -> Lease:
        """Count `wanted` calls, at least 1, or as many as there is room for below `cap` (None: any number). However
        many lease at once, the counter never passes the cap."""

    def give_back(self, subject: str, period: Period, unspent: int) -> None:
        """Take so many of the leased calls off the counter again. Nothing leased: nothing happens."""

    def prune(self, before: datetime, limit: int = 10_000) -> int:
        """Forget counters whose period ended earlier, at most `limit`; returns how many."""


class AuditReader(Protocol):
    def latest(self, limit: int = 100) -> Sequence[AuditEntry]:
        """Newest first."""


class AuditStore(AuditReader, Protocol):
    def add(self, entry: AuditEntry) -> None: ...


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


class UsageReader(Protocol):
    def history(self, api_id: ApiId, limit: int = 100, before: str | None = None) -> Sequence[Execution]:
        """Newest first; `before` is the id of the last row seen."""

    def count(self, api_id: ApiId, since: datetime) -> Mapping[str, int]:
        """Outcome -> number of requests that started at or after `since`."""

    def page(self, api_id: ApiId, wanted: HistoryFilter, limit: int = 100, before: str | None = None) -> HistoryPage:
        """The rows that `wanted` describes, newest first; looks through a bounded number of rows at once. `before` is
        the `next` of the page before."""

    def rollups(self, api_id: ApiId, step: Step, since: datetime) -> Sequence[Rollup]:
        """Those that began at or after `since`, oldest first. Where nothing was requested there is none."""

    def popularity(self, user_id: UserId, step: Step, since: datetime) -> Popularity:
        """Requests in the rollups that began at or after `since`, by each API of the user, 0 included."""

    def paths(self, api_id: ApiId, since: datetime, newest: int) -> Sequence[PathCount]:
        """Of the `newest` rows at or after `since`, by path, most requests first."""

    def troubles(self, api_id: ApiId, since: datetime, newest: int) -> Sequence[TroubleCount]:
        """Of the `newest` rows at or after `since` that were not ok, by how they ended, most requests first."""


class UsageStore(UsageReader, Protocol):
    def add(self, rows: Sequence[Execution]) -> int:
        """Append, and count in the rollups of the row's minute, hour and day; returns how many were new. A row whose
        id is there already is left alone and not counted again (a batch may be sent twice). Rows of APIs that were
        removed meanwhile are dropped."""

    def prune(self, before: datetime, limit: int = 10_000) -> int:
        """Delete older rows, at most `limit`; returns how many. Rollups stay."""

    def prune_rollups(self, step: Step, before: datetime, limit: int = 10_000) -> int:
        """Delete rollups that began earlier, at most `limit`; returns how many."""


class ReadTx(Protocol):
    @property
    def accounts(self) -> AccountsReader: ...
    @property
    def keys(self) -> KeysReader: ...
    @property
    def quotas(self) -> QuotasReader: ...
    @property
    def audit(self) -> AuditReader: ...
    @property
    def registry(self) -> RegistryReader: ...
    @property
    def deployments(self) -> DeploymentsReader: ...
    @property
    def versions(self) -> VersionsReader: ...
    @property
    def ways(self) -> WaysReader: ...
    @property
    def outbox(self) -> OutboxReader: ...
    @property
    def remotes(self) -> RemotesReader: ...
    @property
    def usage(self) -> UsageReader: ...
    @property
    def catalogue(self) -> market.CatalogueReader: ...
    @property
    def copies(self) -> market.CopiesReader: ...
    @property
    def reviews(self) -> market.ReviewsReader: ...
    @property
    def plans(self) -> market.PlansReader: ...
    @property
    def subscriptions(self) -> market.SubscriptionsReader: ...
    @property
    def metering(self) -> market.MeteringReader: ...
    @property
    def published(self) -> publishing.PublishedReader: ...
    @property
    def uploads(self) -> publishing.UploadsReader: ...
    @property
    def signing_keys(self) -> publishing.SigningKeysReader: ...
    @property
    def access_tokens(self) -> publishing.AccessTokensReader: ...
    @property
    def secrets(self) -> secrets.SecretsReader: ...


class Tx(Protocol):
    @property
    def accounts(self) -> AccountsStore: ...
    @property
    def keys(self) -> KeysStore: ...
    @property
    def quotas(self) -> QuotasStore: ...
    @property
    def audit(self) -> AuditStore: ...
    @property
    def registry(self) -> RegistryStore: ...
    @property
    def deployments(self) -> DeploymentsStore: ...
    @property
    def versions(self) -> VersionsStore: ...
    @property
    def ways(self) -> WaysStore: ...
    @property
    def outbox(self) -> OutboxStore: ...
    @property
    def remotes(self) -> RemotesStore: ...
    @property
    def usage(self) -> UsageStore: ...
    @property
    def catalogue(self) -> market.CatalogueStore: ...
    @property
    def copies(self) -> market.CopiesStore: ...
    @property
    def reviews(self) -> market.ReviewsStore: ...
    @property
    def plans(self) -> market.PlansStore: ...
    @property
    def subscriptions(self) -> market.SubscriptionsStore: ...
    @property
    def metering(self) -> market.MeteringStore: ...
    @property
    def published(self) -> publishing.PublishedStore: ...
    @property
    def uploads(self) -> publishing.UploadsStore: ...
    @property
    def signing_keys(self) -> publishing.SigningKeysStore: ...
    @property
    def access_tokens(self) -> publishing.AccessTokensStore: ...
    @property
    def secrets(self) -> secrets.SecretsStore: ...
    @property
    def idempotency(self) -> market.IdempotencyStore: ...
    def emit(self, event: Event) -> None:
        """Publish `event` once this transaction is committed."""


class Storage(Protocol):
    @property
    def description(self) -> str:
        """For `/health` and `doctor`: `sqlite 3.51.3`."""

    @property
    def install_id(self) -> str:
        """Chosen at random when the store was made; tells this installation's containers from another's."""

    async def write(self, act: Callable[[Tx], T], *, lasting: bool = False) -> T:
        """Run `act` in one transaction. What it raises rolls everything back and is raised here. With `lasting`, what
        was done outlives a power cut when this returns; without, SQLite may lose the last moments before one.
        Raises StorageFull when the disk is, StorageUnavailable when the database server is gone. Cancelling the caller
        does not undo an act that has begun."""

    async def read(self, question: Callable[[ReadTx], T]) -> T:
        """Run `question` on one consistent snapshot."""

    async def keep_house(self, now: datetime) -> None:
        """What the database wants done every day; call it more often."""

    async def close(self) -> None:
        """Finish what has begun, then close. May be called twice."""
