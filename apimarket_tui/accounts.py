"""Who one is on which server: sessions as the command line keeps them. Nothing local waits for any of it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from apimarket_tui.backend import MarketServer, Trouble, attempt
from local_server.client import sessions

if TYPE_CHECKING:
    from local_server.wire.accounts import SessionView, SignUp


class AccountServer(MarketServer, Protocol):
    """What is asked of another server."""

    async def login(self, login: str, password: str, /) -> "SessionView": ...
    async def signup(self, request: "SignUp", /) -> "SessionView": ...
    async def logout(self) -> None: ...


Connect = Callable[[str, str], AccountServer]
"""The server at a URL, with a token or an empty one."""


@dataclass(frozen=True, slots=True)
class Session:
    url: str
    handle: str
    token: str
    expires_at: datetime

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc


class Accounts:
    """`directory` is the data directory; None keeps nothing beyond this run and finds nothing."""

    def __init__(self, directory: Path | None, connect: Connect, local_url: str, clock: Callable[[], datetime]) -> None:
        self._directory, self._connect, self._clock = directory, connect, clock
        self._local_url = local_url
        self._sessions = self._read()

    @property
    def current(self) -> Session | None:
        """The newest session in force; one with another server before one with this."""
        return next(iter(self.live), None)

    @property
    def live(self) -> list[Session]:
        """The sessions in force, `current` first."""
        live = [one for one in self._sessions if one.expires_at > self._clock()]
        return sorted(live, key=lambda one: (one.url != self._local_url, one.expires_at), reverse=True)

    @property
    def likely_url(self) -> str:
        """Where one would sign in next: where one was before, else here."""
        before = max(self._sessions, key=lambda one: (one.url != self._local_url, one.expires_at), default=None)
        return before.url if before is not None else self._local_url

    async def sign_in(self, url: str, login: str, password: str) -> Session | Trouble:
        server = self._connect(url, "")
        try:
            return self._begun(url, await attempt(server.login(login, password)))
        finally:
            await server.close()

    async def sign_up(self, url: str, request: "SignUp", token: str = "") -> Session | Trouble:
        server = self._connect(url, token)
        try:
            return self._begun(url, await attempt(server.signup(request)))
        finally:
            await server.close()

    async def sign_out(self, session: Session) -> Trouble | None:
        """End it on the server, and forget it here even where the server is away or ended it already."""
        server = self._connect(session.url, session.token)
        try:
            answer = await attempt(server.logout())
        finally:
            await server.close()
        if self._directory is not None:
            sessions.forget(self._directory, session.url)
        self._sessions = [one for one in self._sessions if one.url != session.url]
        return answer if isinstance(answer, Trouble) and answer.status != 401 else None

    def _begun(self, url: str, answer: "SessionView | Trouble") -> Session | Trouble:
        if isinstance(answer, Trouble):
            return answer
        session = Session(url, answer.account.handle, answer.token, answer.expires_at)
        kept: sessions.Kept = {
            "token": session.token,
            "handle": session.handle,
            "expires_at": session.expires_at.isoformat(),
        }
        if self._directory is not None:
            sessions.keep(self._directory, url, kept)
        self._sessions = [*(one for one in self._sessions if one.url != url), session]
        return session

    def _read(self) -> list[Session]:
        if self._directory is None:
            return []
        found: list[Session] = []
        for url, kept in sessions.every(self._directory).items():
            with suppress(ValueError):
                expires_at = datetime.fromisoformat(kept["expires_at"])
                if expires_at.tzinfo is not None:
                    found.append(Session(url, kept["handle"], kept["token"], expires_at))
        return found


def address_of(typed: str) -> str:
    """The server's address; a bare host means https. Raises ValueError where a password would travel in the clear."""
    text = typed.strip()
    url = text if "://" in text else f"https://{text}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"{typed!r} is no address of a server; write it as: https://market.example") from None
    here = host in ("127.0.0.1", "::1", "localhost")
    if not host or " " in text or port == 0:
        raise ValueError(f"{typed!r} is no address of a server; write it as: https://market.example")
    if parts.scheme != "https" and not (parts.scheme == "http" and here):
        raise ValueError(f"{typed!r} would carry your password in the clear. Give an address that begins with https://")
    return url.rstrip("/")
