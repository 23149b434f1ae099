"""`tokens`: what pipelines publish with."""

from datetime import UTC, datetime, timedelta

import click

from local_server.cli.connection import print_json
from local_server.cli.lengths import Length
from local_server.cli.outcome import verb
from local_server.cli.remotes import market_of, market_option
from local_server.cli.text import clean, day_of, line_of, paint, table
from local_server.client.token_documents import CreateTokenDocument, TokenDocument


@click.group()
def tokens() -> None:
    """Access tokens, each to publish one API and nothing else: APIMARKET_PUBLISH_TOKEN of a pipeline."""


@verb()
@click.option("--scope", required=True, metavar="publish:OWNER/NAME", help="The API that it may publish.")
@click.option("--expires", "lifetime", type=Length(), default="90d", show_default=True, help="When it ends, from now.")
@click.option("--name", "label", default="", help="What the token is for.")
@market_option
def create(scope: str, lifetime: timedelta, label: str, remote: str | None, as_json: bool) -> None:
    """Make a token. It is shown once, alone on standard output, and cannot be shown again."""
    body: CreateTokenDocument = {
        "scope": scope,
        "name": label,
        "expires_at": (datetime.now(UTC) + lifetime).isoformat(),
    }
    made = market_of(remote).client.create_token(body)
    if as_json:
        print_json(made)
        return
    info = made["info"]
    click.echo(made["token"])
    click.echo(f"{paint('for', dim=True, err=True)} {clean(info['scope'])}, id {info['id']}", err=True)
    click.echo("Keep it now, as a secret of the pipeline: it is not stored here and cannot be shown again.", err=True)


@verb(name="list")
@market_option
def list_tokens(remote: str | None, as_json: bool) -> None:
    """Your access tokens, newest first. Those no longer in force are there too."""
    found = market_of(remote).client.tokens()
    if as_json:
        print_json(found)
    elif found:
        head = ["TOKEN_ID", "NAME", "BEGINS", "STATE", "SCOPE", "LAST USED", "ENDS"]
        click.echo(table(head, [_row(token) for token in found]))
    else:
        click.echo("You have no access tokens. Make one: apimarket tokens create --scope publish:OWNER/NAME")


@verb()
@click.argument("token_id")
@market_option
def revoke(token_id: str, remote: str | None, as_json: bool) -> None:
    """Refuse the token TOKEN_ID from now on, for good."""
    market_of(remote).client.revoke_token(token_id)
    if as_json:
        print_json({"revoked": True, "id": token_id})
    else:
        click.echo(f"{token_id} is revoked")


for _command in (create, list_tokens, revoke):
    tokens.add_command(_command)


def _row(token: TokenDocument) -> list[str]:
    return [
        token["id"],
        line_of(token["name"]) or "–",
        clean(token["prefix"]) + "…",
        paint(token["state"], "green" if token["state"] == "active" else "red"),
        clean(token["scope"]),
        day_of(token["last_used_at"]),
        day_of(token["revoked_at"] or token["expires_at"]),
    ]
