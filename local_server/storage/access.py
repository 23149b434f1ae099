"""What storage can do for those who may call: accounts, keys, quotas, and the record of who did what; part of `Tx`
and `ReadTx` (base.py)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from local_server.domain.accounts import Account, AuditEntry
from local_server.domain.ids import ApiId, KeyId, UserId
from local_server.domain.keys import ApiKey
from local_server.domain.quotas import Lease, Period, Quota
from local_server.domain.registry import User


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
