"""Sessions: JSON Web Tokens (RFC 7519), signed with one algorithm and one key, which only this server has."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import jwt
from jwt.types import Options

from local_server.domain.account_errors import SessionInvalid
from local_server.domain.accounts import SESSION, Account
from local_server.domain.ids import UserId
from local_server.system import System

ALGORITHM = "HS256"
"""Pinned (RFC 8725, 3.1): what a token says of its own algorithm is never believed."""
AUDIENCE = "apimarket-control"
KEY_BYTES = 32
MAX_TOKEN_CHARS = 4096
CLOCK_SKEW = timedelta(seconds=60)
_CLAIMS = ["iss", "aud", "sub", "iat", "exp", "jti", "ver"]
# The times are compared here, with the clock that everything else goes by.
_OPTIONS: Options = {"require": _CLAIMS, "verify_exp": False, "verify_iat": False, "verify_nbf": False}


@dataclass(frozen=True, slots=True)
class Session:
    user_id: UserId
    token_version: int
    expires_at: datetime


class Sessions:
    """`key` has 32 bytes. `installation` names this server: a token of another one says nothing here."""

    def __init__(self, key: bytes, installation: str, system: System) -> None:
        if len(key) < KEY_BYTES:
            raise ValueError(f"a signing key has {KEY_BYTES} bytes or more, not {len(key)}")
        self._key = key
        self._issuer = f"apimarket:{installation}"
        self._system = system

    def issue(self, account: Account) -> tuple[str, datetime]:
        """A token for the account, and when it ends."""
        now = self._system.now().replace(microsecond=0)
        expires_at = now + SESSION
        claims = {
            "iss": self._issuer,
            "aud": AUDIENCE,
            "sub": account.id,
            "iat": int(now.timestamp()),
            "exp": int(expires_at.timestamp()),
            "jti": self._system.new_id(),
            "ver": account.token_version,
        }
        return jwt.encode(claims, self._key, ALGORITHM), expires_at

    def read(self, token: str) -> Session:
        """Raises SessionInvalid. Whether the account still exists, and has not logged out, is not looked at."""
        if len(token) > MAX_TOKEN_CHARS:
            raise SessionInvalid("is too long to be one")
        try:
            claims = jwt.decode(
                token, self._key, algorithms=[ALGORITHM], audience=AUDIENCE, issuer=self._issuer, options=_OPTIONS
            )
        except (jwt.InvalidTokenError, ValueError):
            raise SessionInvalid("was not issued by this server, or was altered") from None
        user_id, version, began, ends = (claims[name] for name in ("sub", "ver", "iat", "exp"))
        # bool is an int to Python, and a float may be infinite.
        if type(user_id) is not str or not all(type(value) is int for value in (version, began, ends)):
            raise SessionInvalid("was not issued by this server, or was altered")
        now = self._system.now()
        if ends <= now.timestamp():
            raise SessionInvalid("has expired")
        if began > (now + CLOCK_SKEW).timestamp() or ends - began > SESSION.total_seconds():
            raise SessionInvalid("claims a time that it cannot have")
        return Session(UserId(user_id), version, datetime.fromtimestamp(ends, UTC))
