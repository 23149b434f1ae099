"""Which server a verb talks to: the one that runs, or one started for it."""

import json
import sys
from typing import Any

import click

from local_server.cli.text import paint
from local_server.client import discovery, sessions
from local_server.client.discovery import Endpoint
from local_server.client.errors import ServerUnreachableError
from local_server.client.synchronous import Client


def running_client() -> Client:
    """A client of the server that runs. Raises ServerUnreachableError when none does."""
    endpoint = discovery.find()
    if endpoint.pid is None and not endpoint.chosen:
        raise ServerUnreachableError(endpoint.url, "it is not running")
    return _client(endpoint)


def started_client() -> Client:
    """A client of the server that runs, else of one started in the background now."""
    return _client(started_endpoint())


def _client(endpoint: Endpoint) -> Client:
    return Client(endpoint.url, token_of(endpoint), elsewhere=by_session(endpoint))


def by_session(endpoint: Endpoint) -> bool:
    """Whether only a session lets one in: the user named a server whose own token is not at hand."""
    return endpoint.chosen and not endpoint.token


def token_of(endpoint: Endpoint) -> str:
    """The token there is; where there is none, that of the session begun with that server, else nothing. So whoever may
    not read the machine's own token has an account there, and the same verbs."""
    session = sessions.find(endpoint.home, endpoint.url) if by_session(endpoint) else None
    return session["token"] if session else endpoint.token


def started_endpoint() -> Endpoint:
    from local_server.client.launcher import ensure_running

    def progress(text: str) -> None:
        if sys.stderr.isatty():
            click.echo(paint(f"… {text}", dim=True, err=True), err=True)

    return ensure_running(progress)


def print_json(data: Any) -> None:
    """One document, as the server sent it."""
    click.echo(json.dumps(data, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))
