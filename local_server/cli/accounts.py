"""`signup`, `login`, `logout`, `password`, `whoami`: accounts on this server, or on another."""

import sys

import click

from local_server.cli.connection import print_json
from local_server.cli.outcome import verb
from local_server.cli.remotes import Remote, remote_of, remote_option, server_of
from local_server.cli.text import clean, day_of, paint
from local_server.client import sessions
from local_server.client.documents import AccountDocument, SessionDocument
from local_server.client.errors import ApimarketClientError
from local_server.client.synchronous import Client

_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@verb()
@click.argument("handle")
@click.option("--email", help="Another name to log in with.")
@click.option(
    "--role", type=click.Choice(["developer", "consumer"]), default="developer", show_default=True, help="What for."
)
@_stdin
@remote_option
def signup(handle: str, email: str | None, role: str, password_stdin: bool, remote: str | None, as_json: bool) -> None:
    """Make an account called HANDLE and log in. On this machine, HANDLE may be its owner's: it then gets a password."""
    where = remote_of(remote)
    password = _password(password_stdin, confirm=True)
    body = {"handle": handle, "email": email, "password": password, "role": role}
    _begun(where, where.client.signup(body), as_json)


@verb()
@click.argument("login")
@_stdin
@remote_option
def login(login: str, password_stdin: bool, remote: str | None, as_json: bool) -> None:
    """Begin a session of 24 hours; LOGIN is a handle or an e-mail address."""
    where = remote_of(remote)
    _begun(where, where.client.login(login, _password(password_stdin, confirm=False)), as_json)


@verb()
@remote_option
def logout(remote: str | None, as_json: bool) -> None:
    """End every session of the account, on every machine."""
    where = server_of(remote)
    session = where.session
    if session is not None:
        try:
            Client(where.url, session["token"], elsewhere=where.local is None).logout()
        except ApimarketClientError as error:
            if error.status != 401:
                raise
        sessions.forget(where.home, where.url)
    if as_json:
        print_json({"logged_out": session is not None, "url": where.url})
    else:
        click.echo(f"Logged out of {where.url}" if session else f"There was no session with {where.url}")


@verb()
@click.option(
    "--password-stdin", is_flag=True, help="Read both from standard input, a line each: the current one first."
)
@remote_option
def password(password_stdin: bool, remote: str | None, as_json: bool) -> None:
    """Give the account that is logged in another password. Every other session of it ends; keys go on. The owner of
    this machine, when not logged in, is not asked for the current one."""
    where = server_of(remote)
    session = where.session
    if session is None:
        client, current = where.client, None
    else:
        client = Client(where.url, session["token"], elsewhere=where.local is None)
        current = _password(password_stdin, confirm=False, prompt="Current password")
    new = _password(password_stdin, confirm=True, prompt="New password")
    _begun(where, client.change_password(current, new), as_json)


@verb()
@remote_option
def whoami(remote: str | None, as_json: bool) -> None:
    """Whom the server takes you for: by the session there is, else by the local token. Other servers with which there
    is a session are told of below."""
    where = server_of(remote)
    session = where.session
    account = (where.client if session is None or where.local is None else Client(where.url, session["token"])).me()
    if as_json:
        print_json(account)
    else:
        click.echo(_described(account) + (f", until {day_of(session['expires_at'])}" if session else ""))
        others = sessions.every(where.home) if remote is None else {}
        for url, kept in sorted(others.items()):
            if url != where.url:
                told = f"{clean(kept['handle'])} at {clean(url)}, until {day_of(kept['expires_at'])}"
                click.echo(paint(told, dim=True))
        if session is not None and where.local is not None:
            _tell_who_acts(account, where.local.me())


def _begun(where: Remote, session: SessionDocument, as_json: bool) -> None:
    account = session["account"]
    kept: sessions.Kept = {
        "token": session["token"],
        "handle": account["handle"],
        "expires_at": session["expires_at"],
    }
    sessions.keep(where.home, where.url, kept)
    if as_json:
        print_json(account)
    else:
        click.echo(f"{_described(account)}, until {day_of(session['expires_at'])}")


def _tell_who_acts(account: AccountDocument, acting: AccountDocument) -> None:
    """Whoever can read the machine's token acts with it, logged in as another or not."""
    if account["id"] != acting["id"]:
        click.echo(f"Commands act as {_described(acting)}: the local token goes before a session.")


def _described(account: AccountDocument) -> str:
    email = f" <{clean(account['email'])}>" if account["email"] else ""
    what = "the machine's owner" if account["machine_owner"] else account["role"]
    return f"{paint(clean(account['handle']), bold=True)}{email}, {what}"


def _password(from_stdin: bool, *, confirm: bool, prompt: str = "Password") -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise click.UsageError("There is no terminal to ask for the password on. Use --password-stdin")
    password: str = click.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True)
    return password
