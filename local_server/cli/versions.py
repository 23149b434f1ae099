"""`versions`, `traffic`, `rollback`, `channels`, `deprecate`, and `deploy --version`."""

import sys
import time
from datetime import UTC, datetime

import click

from local_server.cli.connection import print_json
from local_server.cli.outcome import verb
from local_server.cli.remotes import client_of, remote_option
from local_server.cli.text import clean, line_of, paint, table
from local_server.client.documents import ApiDocument
from local_server.client.synchronous import Client
from local_server.client.version_documents import TrafficSplitDocument, VersionDocument

WAIT_S = 300.0
_LOOKS = {"running": ("●", "green"), "failed": ("✗", "red"), "stopped": ("○", None)}


def deploy_version(client: Client, name: str, version: str, weight: int, channel: str | None, as_json: bool) -> None:
    """Make and run it, and wait until it has what was asked for or has failed (exit code 1)."""
    client.deploy_version(name, {"version": version, "weight": weight, "channel": channel})
    found, traffic = _settled(client, name, version)
    if as_json:
        print_json(found)
    else:
        click.echo(f"{paint(name, bold=True)} {version}  {_state(found)}  {found['url']}")
        click.echo(f"traffic: {_shares(traffic)}")
        _tell_trouble(found)
        _tell_what_it_lacks(client.api(name))
    if not found["serving"] or traffic["pending"] is not None:
        sys.exit(1)


def _tell_what_it_lacks(api: ApiDocument) -> None:
    """A version is made of what serves; who saved something that does not would take it to be in there."""
    if api["error"] and api["serving"] is not None:
        note = f"It is made of g{api['serving']}, which serves. What was saved after it is not in it:"
        click.echo(f"{paint(note, 'yellow', err=True)} {line_of(api['error'])}", err=True)


@verb()
@click.argument("name")
@remote_option
def versions(name: str, remote: str | None, as_json: bool) -> None:
    """The immutable versions of the API NAME, newest first: make one with deploy NAME --version V."""
    found = client_of(remote).versions(name)
    if as_json:
        print_json(found)
    elif found:
        click.echo(table(["VERSION", "STATE", "TRAFFIC", "CHANNELS", "TREE", "AGE", "REMARKS"], _rows(found)))
        for version in found:
            _tell_trouble(version)
    else:
        click.echo(f"No versions yet. Make one of what serves now: apimarket deploy {name} --version 1.0.0")


@verb()
@click.argument("name")
@click.argument("target", required=False)
@click.option("--weight", type=click.IntRange(1, 100), default=100, show_default=True, help="Percent; the rest stays.")
@remote_option
def traffic(name: str, target: str | None, weight: int, remote: str | None, as_json: bool) -> None:
    """Which versions the URL of the API NAME leads to. With TARGET, a version or dev (the directory), move it there:
    once it is ready, with nothing dropped."""
    if target is None:
        found = client_of(remote).traffic(name)
    else:
        client = client_of(remote, start=True)
        found = _moved(client, name, client.move_traffic(name, {"target": target, "weight": weight}))
    _tell_traffic(name, found, as_json)


@verb()
@click.argument("name")
@click.argument("version", required=False)
@remote_option
def rollback(name: str, version: str | None, remote: str | None, as_json: bool) -> None:
    """Have the URL of the API NAME lead where it led before the last move, or to VERSION. Nothing is restarted."""
    client = client_of(remote, start=True)
    _tell_traffic(name, _moved(client, name, client.roll_back(name, version)), as_json)


@verb()
@click.argument("name")
@click.argument("channel", required=False)
@click.argument("version", required=False)
@click.option("--remove", is_flag=True, help="Forget CHANNEL; its version stays as it is.")
@remote_option
def channels(
    name: str, channel: str | None, version: str | None, remove: bool, remote: str | None, as_json: bool
) -> None:
    """Names that lead to versions of the API NAME, as …/NAME@beta/. With CHANNEL and VERSION, have it lead there."""
    if (channel is None and remove) or (channel is not None and (version is None) != remove):
        raise click.UsageError("Give a CHANNEL with a VERSION, or with --remove; or neither, to list them.")
    client = client_of(remote)
    if channel is None:
        found = client.channels(name)
    elif version is None:
        if channel not in client.channels(name)["channels"]:
            click.echo(f"{line_of(name)} has no channel {channel!r}.", err=True)
        found = client.remove_channel(name, channel)
    else:
        client.put_channel(name, channel, version)
        _settled(client, name, version)
        found = client.channels(name)
    if as_json:
        print_json(found)
    elif found["channels"]:
        click.echo(table(["CHANNEL", "VERSION"], [[f"@{clean(one)}", to] for one, to in found["channels"].items()]))
    else:
        click.echo(f"No channels yet. Make one: apimarket channels {name} beta VERSION")


@verb()
@click.argument("name")
@click.argument("version")
@click.option("--sunset", metavar="DATE", help="From then on callers are refused: 2027-01-31, or a time.")
@click.option("--undo", is_flag=True, help="It has a future again.")
@remote_option
def deprecate(name: str, version: str, sunset: str | None, undo: bool, remote: str | None, as_json: bool) -> None:
    """Tell the callers of a version of the API NAME, in headers, that they should go over to another."""
    if undo and sunset is not None:
        raise click.UsageError("--undo and --sunset exclude each other.")
    marks = {"deprecated": not undo, "sunset_at": None if sunset is None else _moment(sunset)}
    found = client_of(remote).mark_version(name, version, marks)
    if as_json:
        print_json(found)
    else:
        click.echo(f"{paint(name, bold=True)} {version}  {_remarks(found) or 'is not deprecated'}")


def _moment(text: str) -> str:
    """A date is its beginning in UTC; a time without a zone is local."""
    try:
        if len(text) == 10:
            return datetime.fromisoformat(text).replace(tzinfo=UTC).isoformat()
        return datetime.fromisoformat(text).astimezone().isoformat()
    except ValueError:
        raise click.UsageError(f"{text!r} is no date. Give 2027-01-31, or 2027-01-31T12:00.") from None


# -- Waiting ---------------------------------------------------------------------------------------------------------


def _settled(client: Client, name: str, version: str) -> tuple[VersionDocument, TrafficSplitDocument]:
    """A version and the traffic, once nothing waits for it any more."""
    deadline = time.monotonic() + WAIT_S
    while True:
        traffic, found = client.traffic(name), client.version(name, version)
        waits = traffic["pending"] is not None or not (found["serving"] or found["state"] in ("failed", "stopped"))
        if not waits or time.monotonic() > deadline:
            return found, traffic
        time.sleep(0.1)


def _moved(client: Client, name: str, found: TrafficSplitDocument) -> TrafficSplitDocument:
    """The traffic, once it has moved or has been given up."""
    deadline = time.monotonic() + WAIT_S
    while found["pending"] is not None and time.monotonic() < deadline:
        revision, target = found["revision"], found["pending"]["target"]
        time.sleep(0.1)
        found = client.traffic(name)
        if found["pending"] is None and found["revision"] == revision and target != "dev":
            _tell_trouble(client.version(name, target), err=True)
            click.echo(f"The traffic stays where it is: {target} did not become ready", err=True)
            sys.exit(1)
    return found


# -- Showing ---------------------------------------------------------------------------------------------------------


def _rows(found: list[VersionDocument]) -> list[list[str]]:
    return [
        [
            paint(version["version"], bold=True),
            _state(version),
            f"{version['weight']} %" if version["weight"] else "–",
            " ".join(f"@{clean(name)}" for name in version["channels"]) or "–",
            version["tree"][:12],
            _age(version["created_at"]),
            _remarks(version) or "–",
        ]
        for version in found
    ]


def _state(version: VersionDocument) -> str:
    glyph, colour = _LOOKS.get(version["state"], ("◐", "yellow"))
    return paint(f"{glyph} {clean(version['state'])}", colour)


def _remarks(version: VersionDocument) -> str:
    remarks = []
    if version["yanked_at"]:
        remarks.append(f"yanked {line_of(version['yanked_reason'])}".rstrip())
    if version["sunset_at"]:
        remarks.append(f"ends {version['sunset_at'][:10]}")
    elif version["deprecated_at"]:
        remarks.append("deprecated")
    return ", ".join(remarks)


def _age(since: str) -> str:
    seconds = max(0, int((datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _shares(traffic: TrafficSplitDocument) -> str:
    return ", ".join(f"{clean(share['target'])} {share['weight']} %" for share in traffic["shares"])


def _tell_traffic(name: str, found: TrafficSplitDocument, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    click.echo(f"{paint(name, bold=True)}  {_shares(found)}")
    if (pending := found["pending"]) is not None:
        click.echo(f"waits for {pending['target']} to become ready")


def _tell_trouble(version: VersionDocument, *, err: bool = False) -> None:
    if version["error"]:
        click.echo(f"{paint('✗', 'red')} {version['version']}: {line_of(version['error'])}", err=err)
