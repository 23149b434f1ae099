"""`publish` and `yank`: versions to a marketplace, and back out of sight."""

import sys
import time
from typing import TypedDict

import click

from local_server.cli.connection import print_json, started_client
from local_server.cli.hosting import stands_there, started_there, told_there
from local_server.cli.outcome import verb
from local_server.cli.remotes import market_option, remote_of
from local_server.cli.text import binary_size, clean, line_of, paint, table
from local_server.client.errors import ApimarketClientError
from local_server.client.outbox_documents import OutboxEntryDocument, PublishPlanDocument
from local_server.client.synchronous import Client
from local_server.client.version_documents import VersionDocument
from local_server.domain.errors import ApimarketError
from local_server.domain.publish_errors import NothingNew

WAIT_S = 600.0
SHOWN_FILES = 12
_COLOURS = {"error": "red", "warning": "yellow", "info": None}
_MARKS = {"added": "+", "changed": "~", "removed": "-"}
WAITING = ("queued", "sending", "need_blobs", "uploading", "committing", "committed")


@verb()
@click.argument("name", required=False)
@click.option(
    "--dir", "directory", metavar="DIR", help="From a pipeline: publish this directory, without a local server."
)
@click.option("--token", envvar="APIMARKET_PUBLISH_TOKEN", help="With --dir: an access token of the marketplace.")
@click.option("--version", metavar="V", help="Its number.  [default: the manifest's, else the next]")
@click.option("--dry-run", is_flag=True, help="Show what would be published, and send nothing.")
@click.option(
    "--wait/--no-wait",
    default=True,
    show_default=True,
    help="Until it is published; for a save that is starting still too.",
)
@market_option
def publish(
    name: str | None, directory: str | None, token: str | None, version: str | None, dry_run: bool, wait: bool,
    remote: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Publish what the API NAME runs now. Without a network it waits, and goes on by itself."""
    if directory is not None:
        _publish_directory(directory, token, version, dry_run, remote, as_json)
        return
    if name is None:
        raise click.UsageError(
            "Which API? apimarket publish NAME; or, from a pipeline, --dir DIR --remote URL --token T"
        )
    client = started_client()
    if wait:
        _once_started(client, name)
    body = {"version": version, "remote": remote, "dry_run": dry_run}
    try:
        answer = client.publish(name, body)
        plan, entry = answer["plan"], answer["entry"]
    except ApimarketClientError as error:
        if (already := _already(error, version)) is None:
            raise
        if (waiting := _on_its_way(client, already)) is None:
            _end_already(already, remote_of(already["remote"]).client, as_json)
            return
        plan, entry = None, None if dry_run else waiting  # planned before, and on its way
    if not as_json and plan is not None:
        _show_plan(plan)
        if dry_run:
            click.echo(paint(f"  nothing was sent; to publish it: apimarket publish {clean(name)}", dim=True))
    there = None
    if entry is not None and wait:
        entry = followed(client, entry, quiet=as_json)
        if entry["state"] == "applied":
            there = started_there(remote_of(entry["remote"]).client, entry)
    _end(plan, entry, there, as_json)
    if entry is not None and entry["state"] in ("conflict", "rejected"):
        sys.exit(1)


@verb()
@click.argument("name")
@click.argument("version")
@click.option("--reason", default="", help="What is wrong with it, for those who use it.")
@click.option("--undo", is_flag=True, help="Put it back in sight.")
@market_option
def yank(name: str, version: str, reason: str, undo: bool, remote: str | None, as_json: bool) -> None:
    """Take VERSION of NAME out of sight: nobody gets it unasked any more. Versions are never deleted."""
    if bool(reason) == undo:
        raise click.UsageError("Give --reason TEXT, for those who use it; or --undo.")
    seen = started_client().yank(name, {"version": version, "reason": reason, "remote": remote, "undo": undo})
    if as_json:
        print_json(seen)
    elif undo:
        click.echo(f"{clean(seen['name'])} {version} is in sight again")
    else:
        click.echo(f"{clean(seen['name'])} {version} is yanked: {line_of(reason)}")


def _once_started(client: Client, name: str) -> None:
    """Until the last save serves, or will not: what is published is what ran."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        api = client.api(name)
        generation = api["generation"]
        starting = generation is not None and generation["outcome"] == "starting"
        if not (starting or api["state"] in ("building", "starting")):
            return
        time.sleep(0.1)


def _publish_directory(
    directory: str, token: str | None, version: str | None, dry_run: bool, remote: str | None, as_json: bool
) -> None:
    if not remote or not token:
        raise click.UsageError("--dir needs --remote URL and --token T (or APIMARKET_PUBLISH_TOKEN)")
    from local_server.cli.pipeline import publish_directory

    try:
        answer = publish_directory(directory, remote, token, version, dry_run=dry_run)
    except NothingNew as error:
        if (already := _already(error, version)) is None:
            raise
        _end_already(already, Client(already["remote"], token, elsewhere=True), as_json)
        return
    entry, there = answer["entry"], None
    if not as_json:
        _show_plan(answer["plan"])
    if entry is not None and entry["state"] == "applied":
        there = started_there(Client(entry["remote"], token, elsewhere=True), entry)
    _end(answer["plan"], entry, there, as_json)
    if entry is not None and entry["state"] != "applied":
        sys.exit(1)


class Already(TypedDict):
    """What an earlier run published."""

    name: str
    version: str
    remote: str
    url: str


def _already(error: ApimarketClientError | ApimarketError, version: str | None) -> Already | None:
    """What was published by an earlier run, if that is what is asked for: the same files under the same number. An
    edit that does not serve is none of that."""
    found = error.extra
    if error.code != "nothing_new" or found.get("unserved") or version not in (None, found["version"]):
        return None
    name, semver, remote = str(found["name"]), str(found["version"]), str(found["remote"])
    return {"name": name, "version": semver, "remote": remote, "url": f"{remote}/{name}@{semver}/"}


def _on_its_way(client: Client, already: Already) -> OutboxEntryDocument | None:
    """It waits in the outbox."""
    for entry in client.outbox()["entries"]:
        if (entry["name"], entry["version"], entry["remote"]) == (
            already["name"], already["version"], already["remote"]
        ) and entry["state"] in WAITING:  # fmt: skip
            return entry
    return None


def _end_already(already: Already, market: Client, as_json: bool) -> None:
    """Say so. Exits with 1 where it does not start, as the run that published it did."""
    there = stands_there(market, already["name"], already["version"])
    if as_json:
        print_json({"plan": None, "entry": None, "there": there, "already": already})
    else:
        what = f"{paint(clean(already['name']), bold=True)} {clean(already['version'])}"
        click.echo(f"{what}  {paint('already published', 'green')}  {clean(already['url'])}")
    if there is not None and there["state"] == "failed" and not there["serving"]:
        if not as_json:
            slug = already["name"].partition("/")[2]
            click.echo(told_there(there, slug, already["version"], already["remote"]))
        sys.exit(1)


def _end(
    plan: PublishPlanDocument | None, entry: OutboxEntryDocument | None, there: VersionDocument | None, as_json: bool
) -> None:
    """Say what came of it. Exits with 1 where it was published and does not run."""
    if as_json:
        print_json({"plan": plan, "entry": entry, "there": there})
    elif entry is not None:
        click.echo(told(entry))
        if there is not None:
            click.echo(told_there(there, entry["api"], entry["version"], entry["remote"]))
    if there is not None and not there["serving"] and there["state"] == "failed":
        sys.exit(1)


def told(entry: OutboxEntryDocument, *, with_op: bool = False) -> str:
    """One line on where it is, and why; then what to do. `with_op`: with the id that --retry and --cancel take."""
    what = f"{paint(clean(entry['name']), bold=True)} {clean(entry['version'])}"
    state = entry["state"]
    trouble = entry["trouble"]
    why = f": {line_of(trouble['detail'])}" if trouble else ""
    op = f"  {paint(entry['op'], dim=True)}" if with_op else ""
    hint = f"\n{paint('hint:', 'cyan')} {line_of(trouble['hint'])}" if trouble and trouble["hint"] else ""
    if state == "applied":
        return f"{what}  {paint('published', 'green')}  {clean(entry['url'])}{op}"
    if state in WAITING:
        goes_on = ", and goes on by itself" if trouble else ""
        return f"{what}  {paint('on its way', 'yellow')}{goes_on}{why}{op}{hint}"
    return f"{what}  {paint(state, 'red')}{why}{op}{hint}"


def followed(client: Client, entry: OutboxEntryDocument, *, quiet: bool) -> OutboxEntryDocument:
    """Until it is published, refused, or waits for a network that is not there."""
    deadline = time.monotonic() + WAIT_S
    shown = ""
    while entry["state"] in WAITING and time.monotonic() < deadline:
        if entry["trouble"] is not None and entry["attempts"] >= 2:
            break  # it goes on by itself
        time.sleep(0.1)
        entry = next((one for one in client.outbox()["entries"] if one["op"] == entry["op"]), entry)
        line = f"{entry['state']} {binary_size(entry['sent_bytes'])} of {binary_size(entry['total_bytes'])}"
        if line != shown and not quiet and sys.stderr.isatty():
            click.echo(paint(f"… {line}", dim=True, err=True), err=True)
            shown = line
    return entry


def _show_plan(plan: PublishPlanDocument) -> None:
    before = f", after {clean(plan['published'])}" if plan["published"] else ""
    click.echo(f"{paint(clean(plan['name']), bold=True)} {clean(plan['version'])}{before}  {clean(plan['remote'])}")
    rows = [
        [_MARKS[change["change"]], line_of(change["path"]), binary_size(change["size_bytes"])]
        for change in plan["files"][:SHOWN_FILES]
    ]
    if rows:
        click.echo(table(["", "FILE", "SIZE"], rows, indent="  "))
    if len(plan["files"]) > SHOWN_FILES:
        click.echo(f"  and {len(plan['files']) - SHOWN_FILES:,} more")
    whole = f"{plan['total_files']:,} files, {binary_size(plan['total_bytes'])}"
    click.echo(f"  {whole}; to send: {binary_size(plan['send_bytes'])}")
    for change in plan["contract"]:
        severity = paint(change["severity"], _COLOURS.get(change["severity"]))
        click.echo(f"  {severity}  {line_of(change['operation'])} {line_of(change['text'])}  ({change['rule']})")
    if plan["bump"] and plan["asked_version"]:
        click.echo(f"  the changes ask for a {plan['bump']} version: {clean(plan['asked_version'])}")
    for warning in plan["warnings"]:
        click.echo(f"  {paint('!', 'yellow')} {line_of(warning)}")
    if plan["visibility"] == "private":
        click.echo('  private: nobody finds it; to list it say visibility = "public" in apimarket.toml')
