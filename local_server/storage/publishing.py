"""What storage can do for those who publish here; part of `Tx` and `ReadTx` (base.py)."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from local_server.domain.access_tokens import AccessToken, TokenId
from local_server.domain.ids import ApiId, Digest, UserId
from local_server.domain.publishing import Published, Upload
from local_server.domain.refs import Change, ChangeKind, Cursor, Refs
from local_server.domain.signatures import SignerId, SigningKey


class Done(NamedTuple):
    """What an operation was, and what it came to."""

    request_hash: str
    published: Published


class Told(NamedTuple):
    """One change as a reader may be told of it."""

    change: Change
    withdrawn: bool
    """The reader may not read the API any more: nothing but its name is theirs to know."""


class PublishedReader(Protocol):
    def refs(self, owner: str, slug: str) -> Refs | None:
        """Of a published API, removed ones too."""

    def refs_of(self, api_id: ApiId) -> Refs | None: ...
    def readable(self, reader: UserId, behind_id: str, limit: int) -> Sequence[Refs]:
        """The reader's own, and what is public and not removed; by id, behind that one."""

    def may_read_tree(self, reader: UserId, tree: Digest, api: tuple[str, str] | None = None) -> bool:
        """Whether a version of the reader's own, of a public API, or of the one named (owner, slug), which need not be
        listed, has the tree."""

    def has_tree(self, owner: str, slug: str, tree: Digest) -> bool:
        """Whether a version of that API has the tree."""

    def op(self, user_id: UserId, op: str) -> Done | None: ...
    def feed_end(self) -> Cursor: ...
    def change_digest(self, number: int) -> str | None:
        """Of the change of that number."""

    def changes(self, reader: UserId, since: int, limit: int) -> Sequence[Told]:
        """What the reader may know of what happened after change `since`, in order."""


class PublishedStore(PublishedReader, Protocol):
    def lock(self, user_id: UserId) -> None:
        """Until the commit nobody else changes what the account has published."""

    def put_refs(self, refs: Refs) -> None:
        """Insert or replace. The API is registered already."""

    def add_op(self, user_id: UserId, op: str, done: Done, at: datetime) -> None: ...
    def append(self, kind: ChangeKind, before: Refs | None, after: Refs, at: datetime) -> Change:
        """Write the next change into the feed. Takes the feed's lock: whoever sees a number sees every smaller one."""


class UploadsReader(Protocol):
    def get(self, upload_id: str, user_id: UserId) -> Upload | None: ...
    def of_op(self, user_id: UserId, op: str) -> Upload | None: ...
    def count(self, user_id: UserId) -> int: ...
    def granted(self, user_id: UserId, wanted: Iterable[str], now: datetime) -> frozenset[str]:
        """Which of these blobs the account has shown that it has, and that are kept still."""

    def staged_bytes(self, user_id: UserId, now: datetime) -> int:
        """Of blobs that no version of the account's holds yet."""

    def leased(self) -> frozenset[str]:
        """Every blob that is kept for somebody who has not committed it yet."""


class UploadsStore(UploadsReader, Protocol):
    def put(self, upload: Upload) -> None:
        """Insert, or replace the one of the same account and operation."""

    def remove(self, user_id: UserId, op: str) -> None: ...
    def grant(self, user_id: UserId, sizes: Mapping[str, int], until: datetime | None) -> None:
        """These blobs are the account's until then, or for good. What is longer already stays so."""

    def expire(self, before: datetime) -> int:
        """Forget uploads and grants that ended earlier; returns how many."""


class SigningKeysReader(Protocol):
    def get(self, user_id: UserId, signer: SignerId) -> SigningKey | None: ...
    def of_user(self, user_id: UserId, token_id: TokenId | None = None, limit: int = 200) -> Sequence[SigningKey]:
        """Newest first: those that were registered with the token, or without any."""


class SigningKeysStore(SigningKeysReader, Protocol):
    def add(self, key: SigningKey) -> None:
        """One that is there already is left alone."""

    def revoke(self, user_id: UserId, signer: SignerId, at: datetime) -> None:
        """A second time changes nothing."""


class AccessTokensReader(Protocol):
    def get(self, token_id: TokenId) -> AccessToken | None: ...
    def by_digest(self, digest: bytes) -> AccessToken | None: ...
    def of_user(self, user_id: UserId) -> Sequence[AccessToken]:
        """Newest first, those no longer in force too."""


class AccessTokensStore(AccessTokensReader, Protocol):
    def add(self, token: AccessToken) -> None: ...
    def revoke(self, token_id: TokenId, at: datetime) -> None:
        """A second time changes nothing."""

    def used(self, token_id: TokenId, at: datetime) -> None:
        """Set `last_used_at`, never back."""
