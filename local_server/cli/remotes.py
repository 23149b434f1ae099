"""Which server a verb is about: accounts and keys the local one, the market's verbs the marketplace that this machine
is logged in to; either one that of `--remote`."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

import click

from local_server.cli.connection import running_client, started_client
from local_server.client import discovery, sessions
from local_server.client.synchronous import Client

F = TypeVar("F", bound=Callable[..., object])


class Remote(NamedTuple):
    url: str
    home: Path
    local: Client | None
    """With the local token, where the server is this machine's."""

    @property
    def session(self) -> sessions.Kept | None:
        return sessions.find(self.home, self.url)

    @property
    def client(self) -> Client:
        """With the local token, else with the session there is, else with neither."""
        if self.local is not None:
            return self.local
        return Client(self.url, self.session["token"] if self.session else "", elsewhere=True)


def client_of(url: str | None, *, start: bool = False) -> Client:
    """Of the server where an API runs: the one named, else the local one, which `start` starts where none runs. Raises
    what `remote_of` raises."""
    if url is None:
        return started_client() if start else running_client()
    return remote_of(url).client


def remote_option(function: F) -> F:
    return click.option("--remote", metavar="URL", help="Another server.  [default: the local one]")(function)


def market_option(function: F) -> F:
    default = "the one this machine is logged in to"
    return click.option("--remote", metavar="URL", help=f"Which marketplace.  [default: {default}]")(function)


def market_of(url: str | None) -> Remote:
    """The marketplace meant: the one named, else that of the setting, else the only one logged in to, else the local
    server. Raises UsageError where the machine is logged in to several and none is named; and what
    `remote_of` raises."""
    if url is None:
        url = os.environ.get("APIMARKET_REMOTE") or _only_login()
    return remote_of(url)


def server_of(url: str | None) -> Remote:
    """Whose accounts are meant: the server named, else the local one, else where none runs the only one logged in to.
    Raises what `market_of` raises."""
    endpoint = discovery.find()
    local_runs = endpoint.pid is not None or endpoint.chosen
    return remote_of(url) if url is not None or local_runs else market_of(None)


def logged_in_to() -> list[str]:
    """Addresses of other servers with which there is a session."""
    endpoint = discovery.find()
    return sorted(url for url in sessions.every(endpoint.home) if url != endpoint.url)


def _only_login() -> str | None:
    logins = logged_in_to()
    if len(logins) > 1:
        raise click.UsageError(f"This machine is logged in to {', '.join(logins)}. Choose one: --remote URL")
    return logins[0] if logins else None


def remote_of(url: str | None) -> Remote:
    """Raises ServerUnreachableError when the local server is meant and none runs; UsageError for an address that
    passwords and tokens may not be sent to."""
    endpoint = discovery.find()
    if url is None or url.rstrip("/") == endpoint.url:
        return Remote(endpoint.url, endpoint.home, running_client())
    if "://" not in url:
        raise click.UsageError(
            f"--remote {url!r} is no address. One begins with https://, on this machine also http://"
        )
    parts = urlsplit(url)
    here = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and here)):
        raise click.UsageError(
            f"--remote {url!r} would carry your password in the clear. Give an address that begins with https://"
        )
    return Remote(url.rstrip("/"), endpoint.home, None)
