"""`deploy`, `restart`, `undo` and `rm`: one act on one API."""

import sys
import time

import click

from local_server.cli.connection import print_json, running_client, started_client
from local_server.cli.looking import state_word, why
from local_server.cli.outcome import verb
from local_server.cli.remotes import client_of, remote_option
from local_server.cli.text import paint
from local_server.cli.versions import deploy_version
from local_server.client.documents import ApiDocument
from local_server.client.synchronous import Client

WAIT_S = 300.0
_wait = click.option("--wait", is_flag=True, help="Return when it answers, or has failed (exit code 1).")


@verb()
@click.argument("name")
@click.option("--version", "-v", metavar="V", help="Make the immutable version V of what serves now, and run that.")
@click.option("--weight", type=click.IntRange(1, 100), help="Give the version so many percent of the traffic, not all.")
@click.option("--no-traffic", is_flag=True, help="Give it a URL of its own only: …/NAME@V/")
@click.option("--channel", metavar="NAME", help="Have …/NAME@CHANNEL/ lead to it.")
@_wait
def deploy(
    name: str, version: str | None, weight: int | None, no_traffic: bool, channel: str | None, wait: bool, as_json: bool
) -> None:
    """Start the API NAME; it starts again by itself after a reboot. With --version, it is a version that never changes,
    beside the directory, and the traffic moves to it once it is ready."""
    if version is not None:
        if no_traffic and weight is not None:
            raise click.UsageError("--no-traffic and --weight exclude each other.")
        deploy_version(started_client(), name, version, 0 if no_traffic else weight or 100, channel, as_json)
        return
    if weight is not None or no_traffic or channel is not None:
        raise click.UsageError("--weight, --no-traffic and --channel go with --version.")
    client = started_client()
    _report(client, client.deploy(name), wait, as_json)


@verb()
@click.argument("name")
@_wait
@remote_option
def restart(name: str, wait: bool, remote: str | None, as_json: bool) -> None:
    """Start the API NAME afresh, with what is in its directory now."""
    client = client_of(remote, start=True)
    _report(client, client.restart(name), wait, as_json)


@verb()
@click.argument("name")
@_wait
def undo(name: str, wait: bool, as_json: bool) -> None:
    """Serve what was served before the last save. Your files stay as they are; the next save serves again."""
    client = running_client()
    _report(client, client.undo(name), wait, as_json)


@verb()
@click.argument("name")
@click.option("--yes", "-y", is_flag=True, help="Don't ask.")
@remote_option
def rm(name: str, yes: bool, remote: str | None, as_json: bool) -> None:
    """Stop the API NAME and forget it. Its directory stays as it is. With --remote, take it from a marketplace for
    good: nobody can call it there any more, and its name stays reserved."""
    client = client_of(remote)
    api = client.api(name)
    full_name = f"{api['owner']}/{api['name']}"
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise click.UsageError(f"Removing {api['name']!r} needs --yes where nobody can be asked.")
        click.confirm(_what_rm_does(api, remote), abort=True)
    client.remove(api["id"])
    if as_json:
        print_json({"removed": True, "id": api["id"], "name": api["name"]})
    elif api["directory"]:
        click.echo(f"{api['name']} is forgotten; its files are still in {api['directory']}")
    else:
        click.echo(f"{full_name} is removed; its name stays reserved")


def _what_rm_does(api: ApiDocument, remote: str | None) -> str:
    full_name = f"{api['owner']}/{api['name']}"
    if api["directory"]:
        return f"Stop and forget {full_name} and its versions? Its files in {api['directory']} stay"
    at = f" from {remote}" if remote is not None else ""
    return f"Remove {full_name} and all its versions{at} for good? Nobody can call it any more; its name stays reserved"


def _report(client: Client, api: ApiDocument, wait: bool, as_json: bool) -> None:
    if wait:
        api = settled(client, api)
    if as_json:
        print_json(api)
    else:
        serving = f"  g{api['serving']}" if api["serving"] is not None else ""
        click.echo(f"{paint(api['name'], bold=True)}  {state_word(api)}{serving}  {api['url']}")
        if trouble := why(api):
            click.echo(f"{paint('✗', 'red')} {trouble}")
    if wait and api["state"] != "running":
        sys.exit(1)


def settled(client: Client, api: ApiDocument, timeout_s: float = WAIT_S) -> ApiDocument:
    """The API once it runs or has failed; what it is after `timeout_s` otherwise."""
    deadline = time.monotonic() + timeout_s
    while not (api["state"] == "failed" or (api["state"] == "running" and api["serving"] is not None)):
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
        api = client.api(api["id"])
    return api
