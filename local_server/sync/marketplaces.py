"""The marketplaces this machine talks to: which is meant, as whom, and with which key it signs."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlsplit

from local_server.client.errors import ApimarketClientError
from local_server.client.marketplace import MarketplaceClient
from local_server.domain.errors import ApimarketError
from local_server.domain.ids import ApiId
from local_server.domain.outbox import Remote, Trouble
from local_server.domain.publish_errors import AnotherMarketplace, NoRemote, NotLoggedIn
from local_server.domain.signatures import encoded, public_key_of, signer_id
from local_server.storage.base import Storage
from local_server.sync.answers import trouble_of
from local_server.system import System

Tokens = Callable[[str], str | None]
"""What to show to the marketplace of a URL; None: nobody has logged in there."""


@dataclass(frozen=True, slots=True)
class Contact:
    """How the last attempt to reach a marketplace went."""

    reachable: bool
    trouble: Trouble | None
    seen_at: datetime | None


class Marketplaces:
    def __init__(
        self, storage: Storage, system: System, device_key: bytes, tokens: Tokens, logins: Callable[[], list[str]],
        default: str = "",
    ) -> None:  # fmt: skip
        self._storage = storage
        self._system = system
        self._tokens = tokens
        self._logins = logins
        self._default = default.rstrip("/")
        self.device_key = device_key
        self.public_key = public_key_of(device_key)
        self.signer = signer_id(self.public_key)
        self.contacts: dict[str, Contact] = {}
        self._met: dict[str, str] = {}
        """URL -> the token it was met with."""
        self._meeting = asyncio.Lock()

    async def url_for(self, given: str | None, api_id: ApiId | None = None) -> str:
        """The one named, else the one the API is on, else the setting's, else the only one that is logged in to.
        Raises NoRemote."""
        if given:
            return _safe(given)
        if api_id is not None:
            refs = await self._storage.read(lambda tx: tx.remotes.refs_of(api_id))
            if len({ref.remote for ref in refs}) == 1:
                return refs[0].remote
        if self._default:
            return _safe(self._default)
        known = self._logins()
        if len(known) == 1:
            return known[0]
        raise NoRemote(known)

    def known(self) -> Sequence[str]:
        """That of the setting, and those that somebody has logged in to."""
        logins = self._logins()
        if not self._default or self._default in logins:
            return logins
        try:
            return [*logins, _safe(self._default)]
        except NoRemote:  # of no use to anybody; who means it is told so
            return logins

    @asynccontextmanager
    async def visit(self, url: str) -> AsyncIterator[tuple[MarketplaceClient, Remote]]:
        """A client of the marketplace, which knows who this is and with which key it signs. How it went is noted.
        Raises NotLoggedIn, AnotherMarketplace, ApimarketClientError."""
        try:
            token = self._tokens(url)
            if token is None:
                raise NotLoggedIn(url, account=await self._account(url))
            async with MarketplaceClient(url, token) as client:
                remote = await self._meet(client, url, token)
                yield client, remote
        except ApimarketClientError as error:
            if error.status != 401:
                self._note(url, error)
                raise
            self._met.pop(url, None)
            over = NotLoggedIn(url, "the session there is over", await self._account(url))
            self._note(url, over)
            raise over from error
        except (NotLoggedIn, AnotherMarketplace) as error:
            self._note(url, error)
            raise
        self.contacts[url] = Contact(True, None, self._system.now())

    async def remote(self, url: str) -> Remote:
        """What is known of it, asking only where nothing is known yet: publishing offline needs one visit before."""
        known = await self._storage.read(lambda tx: tx.remotes.get(url))
        if known is not None:
            return known
        async with self.visit(url) as (_, remote):
            return remote

    async def forget(self, url: str) -> None:
        self._met.pop(url, None)
        self.contacts.pop(url, None)
        await self._storage.write(lambda tx: tx.remotes.forget(url))

    async def _meet(self, client: MarketplaceClient, url: str, token: str) -> Remote:
        async with self._meeting:
            known = await self._storage.read(lambda tx: tx.remotes.get(url))
            if known is not None and self._met.get(url) == token:
                return known
            info = await client.info()
            if known is not None and known.marketplace_id != info.marketplace_id:
                raise AnotherMarketplace(url, known.marketplace_id, info.marketplace_id)
            keys = await client.keys()
            if not any(key.id == self.signer and key.revoked_at is None for key in keys):
                await client.register_key(socket.gethostname()[:100], encoded(self.public_key))
            remote = replace(known, account=info.account) if known else Remote(url, info.marketplace_id, info.account)
            await self._storage.write(lambda tx: tx.remotes.put(remote))
            self._met[url] = token
            return remote

    async def _account(self, url: str) -> str:
        """Who this machine was there, for the command that logs in again."""
        known = await self._storage.read(lambda tx: tx.remotes.get(url))
        return known.account if known else "NAME"

    def _note(self, url: str, error: ApimarketClientError | ApimarketError) -> None:
        """A refusal of one thing is no trouble with the marketplace."""
        if error.status >= 500 or error.code in ("not_logged_in", "another_marketplace"):
            before = self.contacts.get(url)
            self.contacts[url] = Contact(False, told(error), before.seen_at if before else None)


def told(error: ApimarketClientError | ApimarketError) -> Trouble:
    if isinstance(error, ApimarketClientError):
        return trouble_of(error)
    return Trouble(error.code, error.detail, error.hint)


def _safe(url: str) -> str:
    """Raises NoRemote for an address that a session may not be sent to in the clear."""
    parts = urlsplit(url)
    here = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and here)):
        raise NoRemote()
    return url.rstrip("/")
