"""`sync` and `pull`: what waits, what marketplaces have, and how two sides become one again."""

import sys
from pathlib import Path
from typing import Any

import click

from local_server.cli.connection import print_json, started_client
from local_server.cli.outcome import verb
from local_server.cli.publishing import followed, told
from local_server.cli.remotes import logged_in_to, market_option
from local_server.cli.text import binary_size, clean, line_of, paint, table
from local_server.client.outbox_documents import (
    CloneDocument,
    ConflictDocument,
    OutboxDocument,
    PulledDocument,
    RemoteApiDocument,
)
from local_server.client.synchronous import Client

SHOWN = 20


@verb()
@click.option("--resolve", metavar="NAME", help="Settle the conflict of this API; alone: show both sides.")
@click.option("--merge", is_flag=True, help="One version made of both.")
@click.option("--mine", is_flag=True, help="My files, as a version after theirs.")
@click.option("--theirs", is_flag=True, help="Give mine up.")
@click.option("--fork", metavar="NEW-NAME", help="Mine goes on under another name.")
@click.option(
    "--take", multiple=True, metavar="PATH=SIDE", help="With --merge, of one file or key: mine, theirs, base."
)
@click.option("--retry", metavar="OP", help="Try an outgoing version again now.")
@click.option("--cancel", metavar="OP", help="Give an outgoing version up.")
@click.option("--forget", metavar="URL", help="Forget what is known of a marketplace that became another one.")
@market_option
def sync(
    resolve: str | None, merge: bool, mine: bool, theirs: bool, fork: str | None, take: tuple[str, ...],
    retry: str | None, cancel: str | None, forget: str | None, remote: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Send what waits, ask marketplaces what is new, and show both."""
    chosen = {"merge": merge, "mine": mine, "theirs": theirs, "fork": bool(fork)}
    hows = [how for how, given in chosen.items() if given]
    _check_usage(resolve, hows, take, [retry, cancel, forget])
    client = started_client()
    if retry or cancel:
        entry = client.retry_outgoing(retry) if retry else client.cancel_outgoing(cancel or "")
        print_json(entry) if as_json else click.echo(told(entry))
        return
    if forget:
        known = client.forget_marketplace({"remote": forget})
        print_json(known) if as_json else click.echo(f"Nothing is known of {clean(forget)} any more")
        return
    if resolve is None:
        seen = client.sync_now()
        print_json(seen) if as_json else _show(seen)
        return
    if not hows:
        conflict = client.conflict(resolve, remote)
        print_json(conflict) if as_json else _show_conflict(conflict, resolve)
        return
    body = {"how": hows[0], "name": fork, "remote": remote, "choices": [_choice(one) for one in take]}
    resolved = client.resolve_conflict(resolve, body)
    if resolved["entry"]:
        resolved["entry"] = followed(client, resolved["entry"], quiet=as_json)
    if as_json:
        print_json(resolved)
        return
    click.echo(f"{clean(resolve)}: settled" + (f", as {clean(resolved['version'])}" if resolved["version"] else ""))
    if resolved["written"]:
        click.echo("  the files in its directory were changed")
    if resolved["entry"]:
        click.echo(told(resolved["entry"]))


@verb()
@click.argument("name", metavar="OWNER/NAME[@VERSION] | NAME")
@click.option("--dir", "directory", metavar="DIR", help="Where a new API goes.  [default: ./NAME]")
@click.option("--run", is_flag=True, help="Start it.")
@click.option(
    "--write", is_flag=True, help="Of an API of yours that is here: write to its directory, if nothing is unpublished."
)
@click.option("--version", metavar="V", help="Of somebody's API: this version, and stay at it.")
@click.option(
    "--take", multiple=True, metavar="PATH=SIDE",
    help="Where your edits of somebody's API clash with the version: mine, theirs, base.",
)  # fmt: skip
@market_option
def pull(
    name: str, directory: str | None, run: bool, write: bool, version: str | None, take: tuple[str, ...],
    remote: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Fetch a published version: a new one of an API that is here, or somebody's whose version one may read. Somebody's
    that is here already is brought to it in its place: edits are kept."""
    client = started_client()
    name = _with_version(name, version)
    clone = _clone_of(client, name, remote) if directory is None else None
    slug = name.partition("/")[2].partition("@")[0]
    here = _here_as(client, name, remote) if "/" in name and directory is None and clone is None else None
    if here is not None:
        pulled = client.pull(here, {"remote": remote, "write": write})
        if run:
            client.deploy(here)
    elif clone is not None or "/" in name:
        target = str(Path(directory or slug).absolute())
        body: dict[str, Any] = {"name": name, "remote": remote, "directory": target, "start": run}
        if clone is not None:
            full_name = clone["name"] + "".join(name.partition("@")[1:])
            body |= {"name": full_name, "remote": clone["remote"], "directory": None}
        pulled = client.pull_version(body | {"choices": [_choice(one) for one in take]})
        here, name = clone["api"] if clone else None, body["name"]
    else:
        pulled = client.pull(name, {"remote": remote, "write": write})
    if as_json:
        print_json(pulled)
    else:
        _show_pulled(pulled, name)
        if run and "/" in name:
            click.echo(f"  call it with: apimarket call {clean(here or slug)}")
    if pulled["conflict"]:
        sys.exit(1)


def _with_version(name: str, version: str | None) -> str:
    if version is None:
        return name
    if "@" in name:
        raise click.UsageError(f"{name} names a version already, beside --version {version}.")
    return f"{name}@{version}"


def _clone_of(client: Client, name: str, remote: str | None) -> CloneDocument | None:
    """Somebody's API that is here already: by its name there, or here, where it was not published as one's own."""
    asked, seen = name.partition("@")[0], client.outbox()
    if any(one["api"] == asked for one in seen["apis"]):
        return None
    for one in seen["clones"]:
        if asked in (one["name"], one["api"]) and remote in (None, one["remote"]):
            return one
    return None


def _check_usage(resolve: str | None, hows: list[str], take: tuple[str, ...], others: list[str | None]) -> None:
    """Raises UsageError: what contradicts itself must not end with one side given up."""
    if resolve is None and (hows or take):
        raise click.UsageError("--merge, --mine, --theirs, --fork and --take go with --resolve NAME")
    if len(hows) > 1:
        raise click.UsageError(f"{' and '.join(f'--{how}' for how in hows)} exclude each other.")
    if take and hows != ["merge"]:
        raise click.UsageError("--take goes with --merge.")
    if sum(one is not None for one in [resolve, *others]) > 1:
        raise click.UsageError("--resolve, --retry, --cancel and --forget exclude each other.")


def _here_as(client: Client, name: str, remote: str | None) -> str | None:
    """What an API of one's own is called here, where this machine has it already."""
    for one in client.outbox()["apis"]:
        if one["name"] == name and one["api"] is not None and remote in (None, one["remote"]):
            return one["api"]
    return None


def _choice(text: str) -> dict[str, str]:
    what, equals, side = text.rpartition("=")
    if not equals or side not in ("mine", "theirs", "base"):
        raise click.UsageError(f"--take {text!r}: allowed is PATH=mine, PATH=theirs or PATH=base")
    path, mark, field = what.partition("#")
    return {"path": path, "take": side} | ({"field": field} if mark else {})


def _show(seen: OutboxDocument) -> None:
    for remote in seen["remotes"]:
        trouble = remote["trouble"]
        state = paint("ok", "green") if remote["reachable"] else paint("not asked yet", dim=True)
        if trouble:
            state = f"{paint('✗', 'red')} {line_of(trouble['detail'])}"
        click.echo(f"{clean(remote['url'])} as {clean(remote['account'])}  {state}")
        if trouble and trouble["hint"]:
            click.echo(f"  {paint('hint:', 'cyan')} {line_of(trouble['hint'])}")
    rows = [
        [
            clean(api["name"]),
            clean(api["version"] or "–"),
            clean(api["base"] or "–"),
            _remarks(api),
        ]
        for api in seen["apis"]
    ]
    if rows:
        click.echo(table(["API", "THERE", "HERE", ""], rows))
    for entry in seen["entries"][:SHOWN]:
        click.echo(told(entry, with_op=True))
    if not seen["remotes"]:
        logins = logged_in_to()
        if logins:
            click.echo(f"Logged in to {', '.join(map(clean, logins))}. Nothing was published from here, or pulled, yet")
        else:
            click.echo("No marketplace is known yet. Log in to one: apimarket login NAME --remote URL")


def _remarks(api: RemoteApiDocument) -> str:
    remarks = ["removed there"] if api["deleted"] else ["newer there"] if api["ahead"] else []
    for version in dict.fromkeys((api["version"], api["base"])):
        if version is not None and version in api["yanked"]:
            remarks.append(f"{clean(version)} is yanked: {line_of(api['yanked'][version])}")
    return ", ".join(remarks)


def _show_conflict(conflict: ConflictDocument, name: str) -> None:
    theirs, mine = conflict["theirs"]["version"], conflict["mine"]["version"]
    click.echo(
        f"{paint(clean(conflict['name']), bold=True)}: there {clean(theirs or '–')}, here {clean(mine or 'edits')}"
    )
    for path in conflict["merged"]:
        click.echo(f"  {paint('merges', 'green')}  {line_of(path)}")
    for file in conflict["files"]:
        click.echo(f"  {paint('choose', 'red')}  {line_of(file['path'])}  {file['kind']}")
        for field in file["fields"]:
            click.echo(f"    {line_of(field['key'])}: mine {field['mine']!r}, theirs {field['theirs']!r}")
    click.echo(f"Settle it: apimarket sync --resolve {clean(name)} --merge | --mine | --theirs | --fork NEW-NAME")


def _show_pulled(pulled: PulledDocument, name: str) -> None:
    what = f"{paint(clean(pulled['name']), bold=True)} {clean(pulled['version'])}"
    click.echo(f"{what}  {binary_size(pulled['fetched_bytes'])} fetched")
    for path in pulled["kept"]:
        click.echo(f"  {paint('kept', 'yellow')}  {line_of(path)}, as it was changed here")
    if reason := pulled.get("yanked"):
        click.echo(f"  {paint('!', 'yellow')} {clean(pulled['version'])} is yanked: {line_of(reason)}")
    if pulled["written"]:
        click.echo(f"  written to {clean(pulled['directory'] or '')}")
    elif pulled["conflict"]:
        click.echo(f"  made apart from what is here. See both sides: apimarket sync --resolve {clean(name)}")
    elif pulled["updated"] and pulled["moved"]:
        click.echo("  nothing had to be written")
    elif not pulled["moved"] and pulled["new_versions"]:
        click.echo("  nothing was written; --write brings it to the directory")
    elif not pulled["new_versions"]:
        click.echo("  that is what is here already")
    if pulled["pinned"]:
        click.echo(f"  it stays at {clean(pulled['version'])}; to follow again: apimarket pull {clean(pulled['name'])}")
