"""What storage can do, whatever it is made of.

Work is shipped to it as functions. `await storage.write(lambda tx: ...)` runs its function inside one transaction on
the writer; `await storage.read(lambda tx: ...)` runs beside it on a snapshot. Store methods are plain, synchronous
domain acts. Events go out after the commit, in order, and not at all if the function raises.

    await storage.write(lambda tx: tx.registry.add(api))

Every implementation passes `tests/contracts/test_storage.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from local_server.domain.deployments import Deployment, Generation
from local_server.domain.events import Event
from local_server.domain.executions import Execution
from local_server.domain.ids import ApiId, Digest
from local_server.domain.registry import Api, User
from local_server.domain.trees import Tree

T = TypeVar("T")


class AccountsReader(Protocol):
    def by_handle(self, handle: str) -> User | None: ...
    def all(self) -> Sequence[User]:
        """Every user, oldest first."""


class AccountsStore(AccountsReader, Protocol):
    def add(self, user: User) -> None:
        """Raises NameTaken when the handle is."""


class RegistryReader(Protocol):
    def get(self, api_id: ApiId) -> Api | None: ...
    def by_name(self, owner: str, slug: str) -> Api | None: ...
    def by_directory(self, directory: str) -> Api | None: ...
    def all(self) -> Sequence[Api]:
        """Every API that is not removed, by owner and slug."""

    def search(self, text: str, limit: int = 50) -> Sequence[Api]:
        """Full text over slug, summary, tags and category; words match by prefix; best first. Any text is a valid
        query: what would be operators is taken as words. Empty text finds nothing."""


class RegistryStore(RegistryReader, Protocol):
    def add(self, api: Api) -> None:
        """Raises NameTaken or DirectoryTaken."""

    def save(self, api: Api, expected_revision: int) -> Api:
        """Replace, if the stored revision is the expected one; returns it with the next revision.
        Raises RevisionConflict, ApiNotFound, NameTaken, DirectoryTaken."""

    def remove(self, api_id: ApiId) -> None:
        """Delete with its generations, deployment and executions. Unknown: nothing happens."""


class DeploymentsReader(Protocol):
    def get(self, api_id: ApiId) -> Deployment | None: ...
    def all(self) -> Sequence[Deployment]: ...
    def generation(self, api_id: ApiId, number: int) -> Generation | None: ...
    def generations(self, api_id: ApiId, limit: int = 50) -> Sequence[Generation]:
        """Newest first."""

    def tree(self, digest: Digest) -> Tree | None: ...
    def live_trees(self) -> frozenset[Digest]:
        """Digests that some kept generation points at."""


class DeploymentsStore(DeploymentsReader, Protocol):
    def put(self, deployment: Deployment) -> None:
        """Insert or replace the row of its API. Raises ApiNotFound."""

    def put_generation(self, generation: Generation) -> None:
        """Insert or replace by (api, number). Raises ApiNotFound. Add its tree in the same act, or a prune for another
        API may take the tree away between the two."""

    def next_number(self, api_id: ApiId) -> int:
        """One more than the highest generation ever stored for the API; pruning does not set it back.
        Raises ApiNotFound."""

    def add_tree(self, tree: Tree) -> None:
        """A digest that is there already is left alone."""

    def prune(self, api_id: ApiId, keep: int) -> None:
        """Forget all but the newest `keep` generations (the last good one is always kept), and trees none points at."""


class UsageReader(Protocol):
    def history(self, api_id: ApiId, limit: int = 100, before: str | None = None) -> Sequence[Execution]:
        """Newest first; `before` is the id of the last row seen."""

    def count(self, api_id: ApiId, since: datetime) -> Mapping[str, int]:
        """Outcome -> number of requests that started at or after `since`."""


class UsageStore(UsageReader, Protocol):
    def add(self, rows: Sequence[Execution]) -> None:
        """Append; a row whose id is there already is left alone (a batch may be sent twice). Rows of APIs that were
        removed meanwhile are dropped."""

    def prune(self, before: datetime) -> int:
        """Delete older rows; returns how many."""


class ReadTx(Protocol):
    @property
    def accounts(self) -> AccountsReader: ...
    @property
    def registry(self) -> RegistryReader: ...
    @property
    def deployments(self) -> DeploymentsReader: ...
    @property
    def usage(self) -> UsageReader: ...


class Tx(Protocol):
    @property
    def accounts(self) -> AccountsStore: ...
    @property
    def registry(self) -> RegistryStore: ...
    @property
    def deployments(self) -> DeploymentsStore: ...
    @property
    def usage(self) -> UsageStore: ...
    def emit(self, event: Event) -> None:
        """Publish `event` once this transaction is committed."""


class Storage(Protocol):
    @property
    def description(self) -> str:
        """For `/health` and `doctor`: `sqlite 3.51.3`."""

    @property
    def install_id(self) -> str:
        """Chosen at random when the store was made; tells this installation's containers from another's."""

    async def write(self, act: Callable[[Tx], T]) -> T:
        """Run `act` in one transaction, alone. What it raises rolls everything back and is raised here.
        Raises StorageFull when the disk is. Cancelling the caller does not undo an act that has begun."""

    async def read(self, question: Callable[[ReadTx], T]) -> T:
        """Run `question` on one consistent snapshot."""

    async def close(self) -> None:
        """Finish what has begun, then close. May be called twice."""
