"""Access tokens: what a pipeline has in place of a session. Each may publish one API, and nothing else.

A token is written as an API key is, with a beginning of its own: `am_token_`, 32 random bytes in base 62, and a
checksum. It is shown once; its SHA-256 is kept.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NewType

from local_server.domain.account_errors import TokenFieldRefused
from local_server.domain.ids import UserId
from local_server.domain.keys import has_checksum, write_secret
from local_server.domain.names import check_slug
from local_server.domain.registry_errors import InvalidName

TokenId = NewType("TokenId", str)

PREFIX = "am_token_"
SHOWN_CHARS = len(PREFIX) + 6
LONGEST = timedelta(days=366)
MAX_NAME_CHARS = 100
_SCOPE = re.compile(r"publish:([^/\s]{1,63})/([^/\s]{1,63})")


@dataclass(frozen=True, slots=True)
class PublishScope:
    """The one API that may be published. Its name need not be taken yet."""

    owner: str
    slug: str

    def __str__(self) -> str:
        return f"publish:{self.owner}/{self.slug}"

    def allows(self, owner: str, slug: str) -> bool:
        return (owner, slug) == (self.owner, self.slug)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What is kept of one; the token itself is not."""

    id: TokenId
    user_id: UserId
    name: str
    prefix: str
    digest: bytes
    scope: PublishScope
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def __repr__(self) -> str:
        return f"AccessToken({self.id!r}, {self.prefix!r})"

    def is_valid(self, now: datetime) -> bool:
        return self.revoked_at is None and now < self.expires_at


def write_token(random: bytes) -> str:
    """The token that 32 random bytes make."""
    return write_secret(PREFIX, random)


def is_token(text: str) -> bool:
    """Whether this was once a token of some server: beginning, length and checksum are right."""
    return has_checksum(PREFIX, text)


def scope_from(text: str) -> PublishScope:
    """Raises TokenFieldRefused."""
    found = _SCOPE.fullmatch(text)
    try:
        if found is None:
            raise TokenFieldRefused("scope", f"found {text[:80]!r}; allowed: publish:OWNER/NAME")
        return PublishScope(found[1], check_slug(found[2]))
    except InvalidName as error:
        raise TokenFieldRefused("scope", error.detail) from None


def check_expiry(expires_at: datetime, now: datetime) -> datetime:
    """Raises TokenFieldRefused."""
    if not now < expires_at <= now + LONGEST:
        raise TokenFieldRefused(
            "expires_at", f"found {expires_at:%Y-%m-%d %H:%M}; allowed: from now on, and within {LONGEST.days} days"
        )
    return expires_at
