"""Access tokens: made, known again, and revoked. Each act, and its line in the audit log, is one transaction."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from local_server.domain.access_tokens import (
    SHOWN_CHARS,
    AccessToken,
    PublishScope,
    TokenId,
    check_expiry,
    is_token,
    write_token,
)
from local_server.domain.account_errors import AccessTokenInvalid, AccessTokenNotFound, TokenFieldRefused, TokenRequired
from local_server.domain.accounts import AccountStatus, AuditEntry, Caller
from local_server.domain.keys import SECRET_BYTES, digest_of
from local_server.domain.registry import User
from local_server.storage.base import ReadTx, Storage, Tx
from local_server.system import System

MOST = 100
"""In force at once, of one account."""
NOTED_EVERY = timedelta(minutes=1)
"""`last_used_at` is no more exact than this: a publish has many requests."""


@dataclass(frozen=True, slots=True)
class NewToken:
    token: AccessToken
    text: str

    def __repr__(self) -> str:
        return f"NewToken({self.token!r})"


class AccessTokens:
    def __init__(self, storage: Storage, system: System) -> None:
        self._storage = storage
        self._system = system

    async def create(
        self, user: User, scope: PublishScope, name: str, expires_at: datetime, *, address: str
    ) -> NewToken:
        """Raises TokenFieldRefused."""
        now = self._system.now()
        if scope.owner != user.handle:
            raise TokenFieldRefused("scope", f"found an API of {scope.owner!r}; allowed: publish:{user.handle}/NAME")
        text = write_token(os.urandom(SECRET_BYTES))
        token = AccessToken(
            TokenId(self._system.new_id()), user.id, name, text[:SHOWN_CHARS], digest_of(text.encode()), scope, now,
            check_expiry(expires_at, now),
        )  # fmt: skip

        def act(tx: Tx) -> None:
            if sum(one.is_valid(now) for one in tx.access_tokens.of_user(user.id)) >= MOST:
                raise TokenFieldRefused("name", f"you have {MOST} tokens in force already; revoke one first")
            tx.access_tokens.add(token)
            tx.audit.add(self._entry(token, "token.create", address))

        await self._storage.write(act, lasting=True)
        return NewToken(token, text)

    async def of(self, user: User) -> Sequence[AccessToken]:
        """Newest first, those no longer in force too."""
        return await self._storage.read(lambda tx: tx.access_tokens.of_user(user.id))

    async def revoke(self, user: User, token_id: str, *, address: str) -> None:
        """Refused from now on, with every key that was registered with it. A second time changes nothing. Raises
        AccessTokenNotFound."""

        def act(tx: Tx) -> None:
            token = tx.access_tokens.get(TokenId(token_id))
            if token is None or token.user_id != user.id:
                raise AccessTokenNotFound(token_id)
            if token.revoked_at is None:
                tx.access_tokens.revoke(token.id, self._system.now())
                tx.audit.add(self._entry(token, "token.revoke", address))

        await self._storage.write(act, lasting=True)

    async def authenticate(self, text: str) -> Caller:
        """Who sent this token. Raises TokenRequired when it is none, AccessTokenInvalid. Fails closed."""
        if not is_token(text):
            raise TokenRequired
        digest, now = digest_of(text.encode()), self._system.now()

        def question(tx: ReadTx) -> tuple[AccessToken, User]:
            token = tx.access_tokens.by_digest(digest)
            account = tx.accounts.account(token.user_id) if token is not None else None
            if token is None or account is None or account.status is not AccountStatus.ACTIVE:
                raise AccessTokenInvalid("is not one of this server's, or its account is not active")
            if not token.is_valid(now):
                raise AccessTokenInvalid("was revoked" if token.revoked_at is not None else "has expired")
            return token, account.user

        token, user = await self._storage.read(question)
        if token.last_used_at is None or token.last_used_at + NOTED_EVERY < now:
            await self._storage.write(lambda tx: tx.access_tokens.used(token.id, now))
        return Caller(user, is_machine=False, token=token)

    def _entry(self, token: AccessToken, action: str, address: str) -> AuditEntry:
        now = self._system.now()
        return AuditEntry(self._system.new_id(), now, token.user_id, action, token.id, address, str(token.scope))
