"""Who has an account here, what a password may be, and how often one may be guessed."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from local_server.domain.access_tokens import AccessToken
from local_server.domain.account_errors import EmailRefused, PasswordRefused
from local_server.domain.ids import UserId
from local_server.domain.registry import User

PASSWORD_MIN_CHARS = 8
"""NIST SP 800-63B, 5.1.1.2"""
PASSWORD_MAX_BYTES = 72
"""What bcrypt reads of a password. A longer one is refused: cut off, two that begin alike would be the same."""
SESSION = timedelta(hours=24)
_EMAIL_MAX = 254
_EMAIL = re.compile(r"""[^\s@()<>\[\]\\,;:"]{1,64}@[^\s@.()<>\[\]\\,;:"]+(?:\.[^\s@.()<>\[\]\\,;:"]+)*""")
"""Without what RFC 5322, 3.2.3, allows between quotes only: hardly any address has it, and much that is none."""

FREE_TRIES = 5
"""Wrong passwords in a row that cost nothing but themselves."""
FORGET_S = 900.0
"""After this long without a try the count begins anew."""


class Role(StrEnum):
    DEVELOPER = "developer"
    CONSUMER = "consumer"


class AccountStatus(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class Account:
    id: UserId
    handle: str
    email: str | None
    password_hash: str | None
    """bcrypt's; None while no password is set: then nobody can log in."""
    role: Role
    token_version: int
    """Counts up at each logout; sessions that carry an older one are over."""
    status: AccountStatus
    created_at: datetime

    def __repr__(self) -> str:
        return f"Account({self.id!r}, {self.handle!r})"  # what is printed or logged holds no hash

    @property
    def user(self) -> User:
        return User(self.id, self.handle, self.created_at)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls the control API."""

    user: User
    is_machine: bool
    """It holds the local token: it is the owner of this machine, and may do everything."""
    token: AccessToken | None = None
    """It holds an access token of the user's, and may do no more than that says."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One act: who, what, when, from where. Never holds a secret."""

    id: str
    at: datetime
    actor: UserId | None
    """None: nobody who was known."""
    action: str
    """`account.signup`, `account.login`, `account.logout`, `key.create`, `key.rotate`, `key.revoke`,
    `token.create`, `token.revoke`, `secret.set`, `secret.remove`; `api.deploy`, `traffic.move` and the like"""
    subject: str
    """The id of the account, key or token; of a secret and of other acts, that of the API, if there is one."""
    address: str
    detail: str = ""


def check_password(password: str) -> bytes:
    """The password as it is hashed. Raises PasswordRefused."""
    if len(password) < PASSWORD_MIN_CHARS:
        raise PasswordRefused(f"has {len(password)} characters; {PASSWORD_MIN_CHARS} or more are needed")
    encoded = password_bytes(password)
    if encoded is None:
        raise PasswordRefused("holds a character that cannot be typed: a NUL, or half of a surrogate pair")
    if len(encoded) > PASSWORD_MAX_BYTES:
        raise PasswordRefused(
            f"has {len(encoded)} bytes in UTF-8; the most is {PASSWORD_MAX_BYTES}: what follows would not count"
        )
    return encoded


def password_bytes(password: str) -> bytes | None:
    """UTF-8; None for what no password can be."""
    try:
        encoded = password.encode()
    except UnicodeEncodeError:
        return None
    return None if b"\0" in encoded else encoded


def check_email(email: str) -> str:
    """Return `email` as it is kept, if it looks like an address; whether it is one, only a letter to it would tell.
    What cannot be seen is refused: two addresses that look alike would be two accounts. Raises EmailRefused."""
    kept = folded_email(email)
    if len(kept) > _EMAIL_MAX or not kept.isprintable() or not _EMAIL.fullmatch(kept):
        raise EmailRefused(email)
    return kept


def folded_email(email: str) -> str:
    """Alike for all ways to write one address: letters in any case, accents apart or together, wide or narrow."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", email).lower())


def pause_s(failures: int, longest_s: float, free: int = FREE_TRIES) -> float:
    """How long to wait after that many failures in a row: nothing at first, then 1 s, doubling. Never for good: who
    has an account may always wait and log in, however many others tried."""
    if failures < free:
        return 0.0
    return min(2.0 ** min(failures - free, 30), longest_s)
