"""What this machine wants published, and how far each of it has come.

An entry is written once, with the exact bytes that were signed: later edits change nothing of it. From then on only its
state moves, by the table below, and every state is safe to be killed in: what the marketplace holds of an operation is
asked of the marketplace (`ops/{op}`), never assumed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from itertools import takewhile

from local_server.domain.ids import ApiId, Digest, OpId


class OutboxState(StrEnum):
    QUEUED = "queued"
    SENDING = "sending"
    """The request is under way, or broke off: whether it arrived is not known."""
    NEED_BLOBS = "need_blobs"
    """The marketplace said which contents it lacks."""
    UPLOADING = "uploading"
    COMMITTING = "committing"
    COMMITTED = "committed"
    """The marketplace has it; this machine has not written that down yet."""
    APPLIED = "applied"
    CONFLICT = "conflict"
    """The marketplace has another head than this was made upon: a person decides."""
    REJECTED = "rejected"
    """The marketplace will never take it as it is."""
    CANCELED = "canceled"


_S = OutboxState
ALLOWED: Mapping[OutboxState, frozenset[OutboxState]] = {
    _S.QUEUED: frozenset({_S.SENDING, _S.CONFLICT, _S.CANCELED}),
    # Every answer of `publish`; and those of `ops/{op}` after a restart.
    _S.SENDING: frozenset({_S.QUEUED, _S.NEED_BLOBS, _S.COMMITTED, _S.CONFLICT, _S.REJECTED, _S.CANCELED}),
    _S.NEED_BLOBS: frozenset({_S.QUEUED, _S.UPLOADING, _S.COMMITTED, _S.CONFLICT, _S.REJECTED, _S.CANCELED}),
    _S.UPLOADING: frozenset(
        {_S.QUEUED, _S.NEED_BLOBS, _S.COMMITTING, _S.COMMITTED, _S.CONFLICT, _S.REJECTED, _S.CANCELED}
    ),
    _S.COMMITTING: frozenset({_S.QUEUED, _S.NEED_BLOBS, _S.COMMITTED, _S.CONFLICT, _S.REJECTED, _S.CANCELED}),
    _S.COMMITTED: frozenset({_S.APPLIED}),
    _S.APPLIED: frozenset(),
    _S.CONFLICT: frozenset({_S.QUEUED, _S.CANCELED}),
    _S.REJECTED: frozenset({_S.QUEUED, _S.CANCELED}),
    _S.CANCELED: frozenset(),
}

UNFINISHED = frozenset({_S.QUEUED, _S.SENDING, _S.NEED_BLOBS, _S.UPLOADING, _S.COMMITTING, _S.COMMITTED})
"""The worker goes on with these by itself."""
FINISHED = frozenset({_S.APPLIED, _S.CANCELED})
"""Nothing is left to do or to decide. Everything else holds its tree and blobs."""


class WrongTransition(ValueError):
    """A mistake in the program: the table has no such step."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the last attempt did not succeed."""

    code: str
    detail: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One version on its way to one marketplace."""

    op: OpId
    """Names the operation to the marketplace: however often it is sent, it happens once."""
    api_id: ApiId
    remote: str
    """The marketplace's URL."""
    owner: str
    slug: str
    semver: str
    tree: Digest
    version: Digest
    parents: tuple[Digest, ...]
    """Versions this one was made upon; the first is the head that the marketplace must still have."""
    document: bytes
    """The version as canonical JSON: the bytes whose SHA-256 is `version`."""
    signature: bytes
    signer: str
    openapi: bytes | None
    created_at: datetime
    updated_at: datetime
    state: OutboxState = OutboxState.QUEUED
    attempts: int = 0
    """Since anything last went forward."""
    next_at: datetime | None = None
    """Not before this; None: at once."""
    upload_id: str | None = None
    trouble: Trouble | None = None
    sent_bytes: int = 0
    total_bytes: int = 0
    sent_blobs: int = 0
    total_blobs: int = 0

    @property
    def name(self) -> str:
        """As the marketplace names the API."""
        return f"{self.owner}/{self.slug}"

    def moved(self, state: OutboxState, now: datetime, **changes: object) -> "Outgoing":
        """In its next state: trouble of the one before is over, and so are its attempts unless it begins again. Raises
        WrongTransition."""
        if state not in ALLOWED[self.state]:
            raise WrongTransition(f"an outgoing version cannot go from {self.state} to {state}")
        begins = state in (OutboxState.QUEUED, OutboxState.SENDING)
        fresh = {"attempts": self.attempts if begins else 0, "next_at": None, "trouble": None} | changes
        return replace(self, state=state, updated_at=now, **fresh)  # type: ignore[arg-type]

    def delayed(self, trouble: Trouble, now: datetime, next_at: datetime) -> "Outgoing":
        """Where it is, to be tried again."""
        return replace(self, trouble=trouble, attempts=self.attempts + 1, next_at=next_at, updated_at=now)


def going(pending: Sequence[Outgoing]) -> Sequence[Outgoing]:
    """Of what is pending in one lane, oldest first, what will get there: neither what was refused, nor what was made
    upon that. The next version takes their place; without it they wait, to be tried again."""
    return tuple(takewhile(lambda entry: entry.state is not OutboxState.REJECTED, pending))


FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 300.0


def wait_s(attempts: int, chance: float) -> float:
    """How long to wait before attempt number `attempts` (from 1), with full jitter: anything from nothing to a bound
    that doubles, so that many machines that lost one server do not come back at once. `chance` is from 0 to 1."""
    return chance * min(FIRST_WAIT_S * 2.0 ** min(max(attempts, 1), 32), LONGEST_WAIT_S)


@dataclass(frozen=True, slots=True)
class Remote:
    """A marketplace this machine exchanges versions with."""

    url: str
    marketplace_id: str
    """What signatures are bound to: another server at the same address is another marketplace."""
    account: str
    """The handle one publishes under."""
    cursor: str = ""
    """How far its changes are known here."""


@dataclass(frozen=True, slots=True)
class Head:
    version: Digest
    semver: str
    tree: Digest
    revision: int


@dataclass(frozen=True, slots=True)
class PublishedVersion:
    """A version as a marketplace has it, checked against its hash and its signature before it was stored."""

    remote: str
    id: Digest
    owner: str
    slug: str
    semver: str
    tree: Digest
    document: bytes
    signer: str
    public_key: bytes
    signature: bytes
    openapi: bytes | None


@dataclass(frozen=True, slots=True)
class RemoteRef:
    """What is known here of one API on one marketplace."""

    remote: str
    owner: str
    slug: str
    api_id: ApiId | None
    """The API on this machine that it belongs to, if one does."""
    head: Head | None
    """The newest version there."""
    base: Head | None
    """The newest version there that this machine's own state is made upon: the base of merges."""
    visibility: str = "private"
    deleted: bool = False
    yanked: Mapping[str, str] = field(default_factory=dict)
    """Semver -> reason."""
    clone: ApiId | None = None
    """Of somebody else's: the API on this machine that `base` was brought here as."""
    pinned: bool = False
    """The clone stays at `base` until another version is asked for."""

    @property
    def name(self) -> str:
        return f"{self.owner}/{self.slug}"

    @property
    def is_ahead(self) -> bool:
        """Whether the marketplace has a version that this machine was not made upon."""
        return self.head is not None and (self.base is None or self.base.version != self.head.version)
