"""What the terminal UI asks of a server, and how it speaks of a server's refusals.

`local_server.client.AsyncClient` is the real one; tests bring a fake. Nothing else in this package does I/O.
"""

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from local_server.wire.accounts import CreateKey, KeyView, NewKeyView
    from local_server.wire.analytics import StatsView
    from local_server.wire.apis import (
        ApiView,
        ExecutionView,
        GenerationView,
        LogLineView,
        RegisterApi,
        ScaffoldApi,
        TemplateView,
    )
    from local_server.wire.events import WireEvent
    from local_server.wire.exchanges import CompareView, ExchangeView, ReplayView
    from local_server.wire.files import FilesView, FileView
    from local_server.wire.market import (
        ChangeSubscription,
        ListingView,
        MarketSearchView,
        NewSubscriptionView,
        ReviewsView,
        ReviewView,
        SearchView,
        Subscribe,
        SubscriptionView,
        WriteReview,
    )
    from local_server.wire.outbox import (
        ConflictView,
        OutboxEntryView,
        OutboxView,
        PublishApi,
        PublishView,
        PullApi,
        PulledView,
        PullVersion,
        ResolveConflict,
        ResolvedView,
    )
    from local_server.wire.secrets import SecretChanged, SecretView
    from local_server.wire.server import Check, ServerView
    from local_server.wire.sync import PublishedApiView
    from local_server.wire.versions import (
        ChannelsView,
        DeployVersion,
        MarkVersion,
        MoveTraffic,
        TrafficSplitView,
        TreeDifferenceView,
        VersionView,
    )

T = TypeVar("T")


class CallResult(Protocol):
    """The answer to one request of the Try-it console."""

    @property
    def status(self) -> int: ...
    @property
    def reason(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str] | Sequence[tuple[str, str]]: ...
    @property
    def body(self) -> bytes: ...
    @property
    def elapsed_ms(self) -> float: ...


class MarketServer(Protocol):
    """A server's marketplace. Names are `owner/slug`."""

    url: str

    async def search(self, query: str = "", **filters: str | int | float | None) -> "SearchView": ...
    async def listing(self, name: str, /) -> "ListingView": ...
    async def reviews(self, name: str, /, limit: int = 20, after: str | None = None) -> "ReviewsView": ...
    async def write_review(self, name: str, body: "WriteReview", /) -> "ReviewView": ...
    async def remove_review(self, name: str, /) -> None: ...
    async def published(self, name: str, /) -> "PublishedApiView": ...
    async def subscribe(
        self, name: str, body: "Subscribe", idempotency_key: str | None = None, /
    ) -> "NewSubscriptionView": ...
    async def subscriptions(self) -> "list[SubscriptionView]": ...
    async def change_subscription(self, subscription_id: str, body: "ChangeSubscription", /) -> "SubscriptionView": ...
    async def cancel_subscription(self, subscription_id: str, /) -> "SubscriptionView": ...
    async def rotate_key(self, key_id: str, grace_s: int, idempotency_key: str | None = None, /) -> "NewKeyView": ...
    async def close(self) -> None: ...


class Backend(MarketServer, Protocol):
    """This machine's server. Plain calls raise an error that `trouble_of` understands; names are APIs' slugs."""

    def use_token(self, token: str) -> None:
        """Speak as somebody else from now on; empty: as nobody."""
        ...

    async def server(self) -> "ServerView": ...
    async def market_search(self, query: str = "", **filters: str | int | float | None) -> "MarketSearchView": ...
    async def apis(self) -> "list[ApiView]": ...
    async def api(self, name: str, /) -> "ApiView": ...
    async def templates(self) -> "list[TemplateView]": ...
    async def register(self, request: "RegisterApi", /) -> "ApiView": ...
    async def scaffold(self, request: "ScaffoldApi", /) -> "ApiView": ...
    async def deploy(self, name: str, /) -> "ApiView": ...
    async def restart(self, name: str, /) -> "ApiView": ...
    async def stop(self, name: str, /) -> "ApiView": ...
    async def undo(self, name: str, /) -> "ApiView": ...
    async def remove(self, name: str, /) -> None: ...
    async def generations(self, name: str, /) -> "list[GenerationView]": ...
    async def logs(
        self, name: str, /, limit: int = 500, *, version: str = "", generation: int | None = None
    ) -> "list[LogLineView]": ...
    async def files(self, name: str, /) -> "FilesView": ...
    async def file(self, name: str, path: str, of: str = "directory", /) -> "FileView": ...
    async def requests(self, name: str, /, limit: int = 100) -> "list[ExecutionView]": ...
    async def stats(self, name: str, /, window: str) -> "StatsView": ...
    async def exchange(self, name: str, request_id: str, /) -> "ExchangeView": ...
    async def replay_exchange(self, name: str, request_id: str, generation: int | None, /) -> "ReplayView": ...
    async def compare_exchange(self, name: str, request_id: str, generation: int, /) -> "CompareView": ...
    async def keys(self, name: str, /) -> "list[KeyView]": ...
    async def create_key(
        self, name: str, request: "CreateKey", idempotency_key: str | None = None, /
    ) -> "NewKeyView": ...
    async def revoke_key(self, key_id: str, /) -> None: ...
    async def secrets(self, name: str, /) -> "list[SecretView]": ...
    async def put_secret(self, name: str, secret: str, value: str, /) -> "SecretChanged": ...
    async def remove_secret(self, name: str, secret: str, /) -> "SecretChanged": ...
    async def publish(self, name: str, request: "PublishApi", /) -> "PublishView": ...
    async def outbox(self) -> "OutboxView": ...
    async def retry_outgoing(self, op: str, /) -> "OutboxEntryView": ...
    async def cancel_outgoing(self, op: str, /) -> "OutboxEntryView": ...
    async def sync_now(self) -> "OutboxView": ...
    async def pull(self, name: str, request: "PullApi", /) -> "PulledView": ...
    async def conflict(self, name: str, remote: str | None = None, /) -> "ConflictView": ...
    async def resolve_conflict(self, name: str, request: "ResolveConflict", /) -> "ResolvedView": ...
    async def pull_version(self, request: "PullVersion", /) -> "PulledView": ...
    async def versions(self, name: str, /) -> "list[VersionView]": ...
    async def diff(
        self, name: str, first: str | None = None, second: str | None = None, path: str | None = None, /
    ) -> "TreeDifferenceView": ...
    async def traffic(self, name: str, /) -> "TrafficSplitView": ...
    async def deploy_version(self, name: str, wanted: "DeployVersion", /) -> "ApiView": ...
    async def move_traffic(self, name: str, wanted: "MoveTraffic", /) -> "TrafficSplitView": ...
    async def roll_back(self, name: str, version: str | None = None, /) -> "TrafficSplitView": ...
    async def mark_version(self, name: str, number: str, marks: "MarkVersion", /) -> "VersionView": ...
    async def put_channel(self, name: str, channel: str, version: str, /) -> "ChannelsView": ...
    async def doctor(self) -> "list[Check]": ...

    def events(self, topics: Sequence[str]) -> "AsyncIterator[WireEvent]":
        """`api`, `traffic`, `engine`, `outbox`, `log:ID`, `requests:ID`. Reconnects by itself; after that its first
        event is a Resync. Never raises for a lost server."""
        ...

    async def call(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> CallResult: ...


@dataclass(frozen=True, slots=True)
class Trouble:
    """A refusal, ready to be shown: what happened, and what to do next."""

    detail: str
    hint: str = ""
    code: str = ""
    status: int = 0
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def unreachable(self) -> bool:
        """No server answered at all."""
        return self.code == "server_unreachable"

    @property
    def text(self) -> str:
        return f"{self.detail}\n{self.hint}" if self.hint else self.detail


def trouble_of(error: BaseException) -> Trouble | None:
    """The refusal inside `error`; None where it is a fault of the program rather than an expected error.

    Told by shape (`detail`, `hint`, `code`), so that showing an error costs no import of an HTTP client.
    """
    if isinstance(error, TimeoutError):
        return Trouble("No answer came in time", "Try again, or raise the timeout.", "timeout")
    code = getattr(error, "code", None)
    detail = getattr(error, "detail", None)
    if not isinstance(code, str) or not isinstance(detail, str):
        return None
    extra = getattr(error, "extra", None)
    return Trouble(
        detail=detail or str(error),
        hint=str(getattr(error, "hint", "") or ""),
        code=code,
        status=int(getattr(error, "status", 0) or 0),
        extra=extra if isinstance(extra, Mapping) else {},
    )


async def attempt(act: Awaitable[T]) -> T | Trouble:
    """The result of `act`, or the trouble it met. Faults of the program are raised on."""
    try:
        return await act
    except Exception as error:
        trouble = trouble_of(error)
        if trouble is None:
            raise
        return trouble
