"""What can be done with accounts. Each act, and its line in the audit log, is one transaction."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from local_server.accounts.attempts import Attempts
from local_server.accounts.passwords import Passwords
from local_server.accounts.tokens import Sessions
from local_server.domain.account_errors import (
    LoginRefused,
    PasswordWrong,
    SessionInvalid,
    SignupsClosed,
    TokenRequired,
)
from local_server.domain.accounts import (
    Account,
    AccountStatus,
    AuditEntry,
    Caller,
    Role,
    check_email,
    check_password,
    folded_email,
)
from local_server.domain.ids import UserId
from local_server.domain.names import check_owner
from local_server.domain.registry import User
from local_server.domain.registry_errors import HandleTaken
from local_server.storage.base import Storage, Tx
from local_server.system import System

FREE_SIGNUPS = 20
"""From one address, before there is a pause between them."""


@dataclass(frozen=True, slots=True)
class LoggedIn:
    account: Account
    token: str
    expires_at: datetime


class Accounts:
    """`owner` is the machine's: whoever holds the local token, with or without a password of its own."""

    def __init__(
        self,
        storage: Storage,
        system: System,
        sessions: Sessions,
        owner: User,
        passwords: Passwords | None = None,
        logins: Attempts | None = None,
        *,
        open_signups: bool = True,
    ) -> None:
        self._storage = storage
        self._system = system
        self._sessions = sessions
        self._owner = owner
        self._open_signups = open_signups
        self._passwords = passwords or Passwords()
        self._logins = logins or Attempts()
        self._signups = Attempts(FREE_SIGNUPS)

    async def signup(
        self,
        handle: str,
        email: str | None,
        password: str,
        role: Role,
        *,
        address: str,
        by_machine: bool = False,
    ) -> LoggedIn:
        """Make an account and log it in. With the local token (`by_machine`) the machine's owner gives its own
        account a password this way, once. Where sign-ups are closed, it alone makes accounts.

        Raises SignupsClosed, InvalidName, EmailRefused, PasswordRefused, HandleTaken, EmailTaken, TooManyAttempts.
        """
        if not (self._open_signups or by_machine):
            raise SignupsClosed
        check_owner(handle)
        if email is not None:
            email = check_email(email)
        encoded = check_password(password)
        self._signups.begin(address)
        hashed = await self._passwords.hashed(encoded)
        account = self._new(handle, email, hashed, role)
        if by_machine and handle == self._owner.handle:
            account = replace(account, id=self._owner.id, created_at=self._owner.created_at, role=Role.DEVELOPER)
            await self._storage.write(lambda tx: self._claim(tx, account, address), lasting=True)
        else:
            await self._storage.write(lambda tx: self._add(tx, account, address), lasting=True)
        return LoggedIn(account, *self._sessions.issue(account))

    async def login(self, login: str, password: str, *, address: str) -> LoggedIn:
        """`login` is a handle or an e-mail address. Raises LoginRefused, TooManyAttempts."""
        account = await self._storage.read(lambda tx: tx.accounts.account_by_login(login))
        who = account.id if account is not None else f"unknown {folded_email(login)[:254]}"
        self._logins.begin(address, who)
        right = await self._passwords.matches(password, account.password_hash if account is not None else None)
        if account is None or not right or account.status is not AccountStatus.ACTIVE:
            raise LoginRefused
        self._logins.succeeded(address, who)
        entry = self._entry(account.id, "account.login", address)
        await self._storage.write(lambda tx: tx.audit.add(entry))
        return LoggedIn(account, *self._sessions.issue(account))

    async def logout(self, caller: Caller, *, address: str) -> None:
        """End every session of the caller's account."""

        def end(tx: Tx) -> None:
            tx.accounts.end_sessions(caller.user.id)
            tx.audit.add(self._entry(caller.user.id, "account.logout", address))

        await self._storage.write(end, lasting=True)

    async def change_password(self, caller: Caller, current: str | None, new: str, *, address: str) -> LoggedIn:
        """End every session of the caller's account, and begin one. Whoever holds the local token needs no `current`
        one: the machine's owner may have forgotten it, or never had one.

        Raises PasswordRefused, PasswordWrong, TooManyAttempts.
        """
        encoded = check_password(new)
        account = await self.account(caller.user.id)
        if not caller.is_machine:
            self._logins.begin(address, account.id)
            if not await self._passwords.matches(current or "", account.password_hash):
                raise PasswordWrong
            self._logins.succeeded(address, account.id)
        hashed = await self._passwords.hashed(encoded)

        def change(tx: Tx) -> Account:
            tx.accounts.change_password(account.id, hashed)
            tx.audit.add(self._entry(account.id, "account.password", address))
            return tx.accounts.account(account.id) or account

        changed = await self._storage.write(change)
        return LoggedIn(changed, *self._sessions.issue(changed))

    async def authenticate(self, token: str) -> Caller:
        """Who sent this session token. Raises TokenRequired when it is none, SessionInvalid. Fails closed."""
        if token.count(".") != 2:
            raise TokenRequired
        session = self._sessions.read(token)
        account = await self._storage.read(lambda tx: tx.accounts.account(session.user_id))
        if account is None or account.status is not AccountStatus.ACTIVE:
            raise SessionInvalid("is of an account that is not active")
        if account.token_version != session.token_version:
            raise SessionInvalid("was ended by a logout, or by another password")
        return Caller(account.user, is_machine=False)

    async def account(self, user_id: UserId) -> Account:
        """Raises SessionInvalid when it is gone."""
        found = await self._storage.read(lambda tx: tx.accounts.account(user_id))
        if found is None:
            raise SessionInvalid("is of an account that is gone")
        return found

    def close(self) -> None:
        """May be called twice."""
        self._passwords.close()

    def _new(self, handle: str, email: str | None, hashed: str, role: Role) -> Account:
        # The machine's owner is the oldest user, and stays it when the clock was set back.
        created_at = max(self._system.now(), self._owner.created_at + timedelta(microseconds=1))
        user_id = UserId(self._system.new_id())
        return Account(user_id, handle, email, hashed, role, 0, AccountStatus.ACTIVE, created_at)

    def _add(self, tx: Tx, account: Account, address: str) -> None:
        tx.accounts.add_account(account)
        tx.audit.add(self._entry(account.id, "account.signup", address))

    def _claim(self, tx: Tx, account: Account, address: str) -> None:
        if not tx.accounts.claim(account):
            raise HandleTaken(account.handle)
        tx.audit.add(self._entry(account.id, "account.signup", address, "the machine's owner"))

    def _entry(self, user_id: UserId, action: str, address: str, detail: str = "") -> AuditEntry:
        return AuditEntry(self._system.new_id(), self._system.now(), user_id, action, user_id, address, detail)
