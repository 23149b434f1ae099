"""`secrets`: values that an API's program sees, and nobody else. They never stand in an argument, which other users of
the machine can read, and the shell keeps."""

import sys

import click

from local_server.cli.connection import print_json
from local_server.cli.outcome import verb
from local_server.cli.remotes import remote_of, remote_option
from local_server.cli.text import clean, day_of, paint, table
from local_server.client.secret_documents import SecretChangedDocument, SecretDocument


@click.group()
def secrets() -> None:
    """Secrets of an API: environment variables that `[run] secrets` in apimarket.toml names."""


@verb(name="set")
@click.argument("name")
@click.argument("secret")
@remote_option
def set_secret(name: str, secret: str, remote: str | None, as_json: bool) -> None:
    """Give SECRET of the API NAME a value. It is asked for, or read from standard input, whole but for a newline at its
    end. What runs starts afresh with it, and no request is dropped."""
    where = remote_of(remote).client
    changed = where.put_secret(name, secret, _value(secret))
    if as_json:
        print_json(changed)
        return
    click.echo(f"{clean(changed['name'])} is set{_consequence(name, changed, ', and {} starts afresh with it')}")
    if not changed["restarts"] and not any(one["used"] and one["name"] == secret for one in where.secrets(name)):
        click.echo(f'The program does not see it: name it in apimarket.toml, [run] secrets = ["{secret}"]', err=True)


@verb(name="list")
@click.argument("name")
@remote_option
def list_secrets(name: str, remote: str | None, as_json: bool) -> None:
    """The secrets of the API NAME, and which of them lack a value. Values are never shown."""
    found = remote_of(remote).client.secrets(name)
    if as_json:
        print_json(found)
    elif found:
        click.echo(table(["SECRET", "SET", "IN APIMARKET.TOML"], [_row(secret) for secret in found]))
    else:
        click.echo(f"{name} has no secrets. Give it one: apimarket secrets set {name} API_TOKEN")


@verb(name="rm")
@click.argument("name")
@click.argument("secret")
@remote_option
def remove_secret(name: str, secret: str, remote: str | None, as_json: bool) -> None:
    """Forget the value of SECRET of the API NAME. What serves keeps what it was started with until it ends."""
    changed = remote_of(remote).client.remove_secret(name, secret)
    if as_json:
        print_json(changed)
        return
    without = "; apimarket.toml names it, so without it {} does not start again"
    click.echo(f"{clean(changed['name'])} is forgotten{_consequence(name, changed, without)}")


for _command in (set_secret, list_secrets, remove_secret):
    secrets.add_command(_command)


def _value(secret: str) -> str:
    """Raises UsageError for what is not text."""
    if sys.stdin.isatty():
        asked: str = click.prompt(f"Value of {secret}", hide_input=True, err=True)
        return asked
    try:
        given = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise click.UsageError(
            "The value on standard input is not UTF-8. Allowed: text; encode it, as base64"
        ) from None
    return given.removesuffix("\n").removesuffix("\r")


def _consequence(name: str, changed: SecretChangedDocument, words: str) -> str:
    return words.format(name) if changed["restarts"] else ""


def _row(secret: SecretDocument) -> list[str]:
    is_set = paint("no", "red") if secret["updated_at"] is None else day_of(secret["updated_at"])
    return [clean(secret["name"]), is_set, "yes" if secret["used"] else paint("no", "yellow")]
