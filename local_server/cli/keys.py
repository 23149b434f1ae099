"""`keys`: who else may call an API."""

from datetime import UTC, datetime, timedelta

import click

from local_server.cli.connection import print_json
from local_server.cli.lengths import Length
from local_server.cli.outcome import verb
from local_server.cli.remotes import remote_of, remote_option
from local_server.cli.text import clean, day_of, line_of, paint, table
from local_server.client.calls import new_once
from local_server.client.documents import CreateKeyDocument, KeyDocument, NewKeyDocument


@click.group()
def keys() -> None:
    """Keys to an API, which its callers send as `Authorization: Bearer am_…` or `X-Api-Key`."""


@verb()
@click.argument("name")
@click.option("--name", "label", default="", help="What the key is for.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(["read", "write"]), help="[default: both]")
@click.option("--cidr", "cidrs", multiple=True, metavar="NETWORK", help="Only from there; may be repeated.")
@click.option("--expires", "lifetime", type=Length(), help="When it ends, from now: 12h, 30d.  [default: never]")
@click.option("--rate", help="In place of the manifest's limit: 600/min.")
@click.option("--quota", help="Requests each day or month (UTC), and no more: 1000/month.")
@click.option("--plan", help="A plan of the manifest, by its code: the key has its quota.")
@remote_option
def create(
    name: str,
    label: str,
    scopes: tuple[str, ...],
    cidrs: tuple[str, ...],
    lifetime: timedelta | None,
    rate: str | None,
    quota: str | None,
    plan: str | None,
    remote: str | None,
    as_json: bool,
) -> None:
    """Make a key for the API NAME. It is shown once, alone on standard output, and cannot be shown again."""
    body: CreateKeyDocument = {
        "name": label,
        "scopes": list(scopes) or ["read", "write"],
        "cidrs": list(cidrs),
        "expires_at": (datetime.now(UTC) + lifetime).isoformat() if lifetime is not None else None,
        "rate_limit": rate,
        "quota": quota,
        "plan": plan,
    }
    shown_once(remote_of(remote).client.create_key(name, body, new_once()), as_json)


@verb(name="list")
@click.argument("name", required=False)
@remote_option
def list_keys(name: str | None, remote: str | None, as_json: bool) -> None:
    """The keys of the API NAME, newest first. Without NAME, your own to every API. Those no longer in force are there
    too."""
    found = remote_of(remote).client.keys(name)
    if as_json:
        print_json(found)
    elif found:
        head = ["KEY_ID", "NAME", "BEGINS", "STATE", "SCOPES", "FROM", "LIMIT", "QUOTA", "LAST USED", "ENDS"]
        rows = [_row(key) for key in found]
        if name is None:
            head, rows = ["API", *head], [[clean(key["api"]), *row] for key, row in zip(found, rows, strict=True)]
        click.echo(table(head, rows))
    else:
        whose = f"{name} has" if name else "You have"
        click.echo(f"{whose} no keys. Make one: apimarket keys create {name or 'NAME'}")


@verb()
@click.argument("key_id")
@click.option(
    "--grace", type=Length(longest=timedelta(days=30)), default="1h", show_default=True,
    help="How long the old one stays in force, at most 30d.",
)  # fmt: skip
@remote_option
def rotate(key_id: str, grace: timedelta, remote: str | None, as_json: bool) -> None:
    """Replace the key KEY_ID by another. That one has the same rights; the old one ends after a grace period."""
    _refuse_key(key_id)
    client = remote_of(remote).client
    shown_once(client.rotate_key(key_id, int(grace.total_seconds()), new_once()), as_json)


@verb()
@click.argument("key_id")
@remote_option
def revoke(key_id: str, remote: str | None, as_json: bool) -> None:
    """Refuse the key KEY_ID from now on, for good."""
    _refuse_key(key_id)
    remote_of(remote).client.revoke_key(key_id)
    if as_json:
        print_json({"revoked": True, "id": key_id})
    else:
        click.echo(f"{key_id} is revoked")


for _command in (create, list_keys, rotate, revoke):
    keys.add_command(_command)


def _refuse_key(given: str) -> None:
    """A key in the place of its id goes no further: an address that is asked for stands in logs."""
    if given.startswith("am_"):
        from local_server.domain.keys import SHOWN_CHARS

        begins = clean(given[:SHOWN_CHARS])
        raise click.UsageError(
            f"{begins}… is a key, not the id of one. Its id is in the row that begins so: apimarket keys list NAME"
        )


def shown_once(made: NewKeyDocument, as_json: bool) -> None:
    """The key alone on standard output."""
    if as_json:
        print_json(made)
        return
    info = made["info"]
    click.echo(made["key"])
    click.echo(f"{paint('for', dim=True, err=True)} {info['api']}, id {info['id']}", err=True)
    click.echo("Keep it now: it is not stored here and cannot be shown again.", err=True)


def _row(key: KeyDocument) -> list[str]:
    colour = {"active": "green", "grace": "yellow"}.get(key["state"], "red")
    return [
        key["id"],
        line_of(key["name"]) or "–",
        clean(key["prefix"]) + "…",
        paint(key["state"], colour),
        "+".join(key["scopes"]),
        line_of(" ".join(key["cidrs"])) or "–",
        key["rate_limit"] or "–",
        _quota(key),
        day_of(key["last_used_at"]),
        day_of(key["revoked_at"] or key["grace_until"] or key["expires_at"]),
    ]


def _quota(key: KeyDocument) -> str:
    """`12 of 1000/month`"""
    if key["quota"] is None:
        return "–"
    used = str(key["quota_used"])
    return f"{paint(used, 'red') if key['quota_left'] == 0 else used} of {line_of(key['quota'])}"
