"""What storage can do for the marketplace; part of `Tx` and `ReadTx` (base.py)."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple, Protocol

from local_server.domain.catalogue import Card, Listing, ListingTexts, Standing
from local_server.domain.catalogue_copy import CatalogueCopy, CopiedChange
from local_server.domain.catalogue_search import Candidate, Filters, Mark, Sort
from local_server.domain.idempotency import Outcome
from local_server.domain.ids import ApiId, PlanId, SubscriptionId, UserId
from local_server.domain.metering import UsageEvent
from local_server.domain.plans import Plan
from local_server.domain.reviews import Review, ReviewSummary
from local_server.domain.subscriptions import Subscription


class Removal(NamedTuple):
    """Something that is no longer in the public catalogue."""

    api_id: ApiId
    changed: int


class Change(NamedTuple):
    """Something that is, as it is now, with the paths of its endpoints."""

    card: Card
    paths: tuple[str, ...]


class CatalogueSearch(Protocol):
    """Public listings of this server, or all of a copy."""

    def cards(self, ids: Sequence[ApiId]) -> Sequence[Card]:
        """In the order of `ids`; those that are gone are left out."""

    def candidates(self, text: str, filters: Filters, limit: int) -> Sequence[Candidate]:
        """Of those that match every word, each by its beginning, the `limit` best by quality; and those whose name is
        the text. Text without words matches everything."""

    def browse(self, sort: Sort, filters: Filters, limit: int, behind: Mark | None) -> Sequence[tuple[Mark, Card]]:
        """In order, behind the row that mark is of."""


class CatalogueReader(CatalogueSearch, Protocol):
    def card(self, api_id: ApiId) -> Card | None: ...
    def card_by_name(self, owner: str, slug: str) -> Card | None:
        """Unlisted ones too."""

    def texts(self, api_id: ApiId) -> ListingTexts | None: ...
    def categories(self) -> Mapping[str, int]:
        """With how many public ones are in each, the most first; at most 1,000."""

    def tags(self) -> Mapping[str, int]:
        """The same of tags."""

    def changes(self, since: int, limit: int) -> Sequence[Change | Removal]:
        """What became of the public catalogue after that number, in order; of each API only the last."""

    def latest_change(self) -> int:
        """0 before the first."""

    def all(self, behind_id: str, limit: int) -> Sequence[Card]:
        """Every one by id, unlisted ones too, behind that id."""


class CatalogueStore(CatalogueReader, Protocol):
    def put(self, listing: Listing, texts: ListingTexts, now: datetime) -> None:
        """List, or replace what is listed; its standing stays. Its first publication is kept."""

    def remove(self, api_id: ApiId) -> None:
        """No longer listed. Those who follow the changes are told, also when it went with its API already."""

    def stand(self, api_id: ApiId, standing: Standing, now: datetime) -> None:
        """Replace the standing, and with it its quality and place. Unknown: nothing happens."""


class CopiesReader(Protocol):
    """Copies of other servers' catalogues, by their URLs."""

    def get(self, remote: str) -> CatalogueCopy | None: ...
    def all(self) -> Sequence[CatalogueCopy]:
        """By URL."""

    def search(self, remote: str) -> CatalogueSearch:
        """In its copy; where there is none nothing is found."""


class CopiesStore(CopiesReader, Protocol):
    def begin(self, remote: str, origin: str) -> None:
        """Copy it from its first change on. What an older copy holds is found until the new one is whole."""

    def take(self, remote: str, changes: Sequence[CopiedChange], cursor: int) -> int:
        """The changes up to `cursor`, in order; returns how many listings found no room. A copy that is not there, or
        is there already up to `cursor`, stays as it is."""

    def settle(self, remote: str, at: datetime) -> None:
        """It is as its server was at that time."""

    def forget(self, remote: str) -> None:
        """What it held goes with `sweep`. Unknown: nothing happens."""

    def sweep(self, limit: int) -> int:
        """Delete what no copy needs any more, at most `limit` listings; returns how many it were."""


class ReviewsReader(Protocol):
    def get(self, api_id: ApiId, user_id: UserId) -> Review | None: ...
    def of_api(self, api_id: ApiId, limit: int, behind: tuple[datetime, UserId] | None) -> Sequence[Review]:
        """Newest first, behind the one of that time and user."""

    def summary(self, api_id: ApiId) -> ReviewSummary: ...
    def has_used(self, api_id: ApiId, user_id: UserId) -> bool:
        """Whether a call by a subscription of the user's was ever counted."""


class ReviewsStore(ReviewsReader, Protocol):
    def put(self, review: Review) -> None:
        """Insert or replace."""

    def remove(self, api_id: ApiId, user_id: UserId) -> None: ...


class PlansReader(Protocol):
    def get(self, plan_id: PlanId) -> Plan | None: ...
    def offered(self, api_id: ApiId) -> Sequence[Plan]:
        """What can be subscribed to, in the order of the manifest."""

    def versions(self, api_id: ApiId, code: str) -> Sequence[Plan]:
        """Oldest first."""


class PlansStore(PlansReader, Protocol):
    def add(self, plan: Plan) -> None: ...
    def offer(self, api_id: ApiId, plans: Sequence[Plan]) -> None:
        """From now on these, in this order, and no others."""


class SubscriptionsReader(Protocol):
    def get(self, subscription_id: SubscriptionId, subscriber: UserId | None = None) -> Subscription | None:
        """With `subscriber`, only if it is that user's."""

    def live(self, subscriber: UserId, api_id: ApiId) -> Subscription | None: ...
    def of_user(self, subscriber: UserId) -> Sequence[Subscription]:
        """Newest first, ended ones too."""

    def of_api(self, api_id: ApiId, limit: int = 1000) -> Sequence[Subscription]:
        """Newest first, ended ones too."""

    def due(self, now: datetime, limit: int) -> Sequence[Subscription]:
        """Live ones whose period is over."""

    def count(self, api_id: ApiId) -> int:
        """Live ones."""


class SubscriptionsStore(SubscriptionsReader, Protocol):
    def add(self, subscription: Subscription) -> bool:
        """False, and nothing is added, where the user has a live one for the API."""

    def save(self, subscription: Subscription) -> Subscription:
        """Replace the one of that `row_version`; returns it with the next. Raises SubscriptionChanged."""


class MeteringReader(Protocol):
    def daily(self, subscription_id: SubscriptionId, since: date) -> Mapping[date, int]:
        """Units by day, from that day on."""


class MeteringStore(MeteringReader, Protocol):
    def count(self, events: Iterable[UsageEvent]) -> int:
        """Count each once, whoever tells of it how often; returns how many were new. Events of unknown subscriptions
        are dropped."""

    def prune(self, before: datetime, limit: int) -> int:
        """Forget single events that are older, at most `limit`; the totals stay. Told again, they would count again."""


class IdempotencyStore(Protocol):
    def claim(self, account: UserId, key: str, request_hash: str, now: datetime) -> Outcome | None:
        """What the first request of that key was answered with; None: this is the first, and `settle` follows in the
        same transaction. Raises IdempotencyKeyReused for another request."""

    def settle(self, account: UserId, key: str, outcome: Outcome) -> None: ...
    def prune(self, before: datetime) -> int:
        """Forget what has expired."""
