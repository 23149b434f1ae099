"""`ls` and `status`: what there is, and how it is doing."""

import sys
from collections.abc import Mapping

import click

from local_server.cli.clones import clones_by_api, origin_told, update_told, with_clone
from local_server.cli.connection import print_json
from local_server.cli.outcome import verb
from local_server.cli.reloads import budget
from local_server.cli.remotes import client_of, remote_option
from local_server.cli.text import binary_size, clean, line_of, milliseconds, paint, table
from local_server.client.documents import ApiDocument
from local_server.client.outbox_documents import CloneDocument

_LOOKS = {
    "running": ("●", "green"),
    "building": ("◐", "yellow"),
    "starting": ("◐", "yellow"),
    "stopping": ("◐", "yellow"),
    "failed": ("✗", "red"),
    "stopped": ("○", None),
}


@verb()
@click.argument("query", required=False)
@remote_option
def ls(query: str | None, remote: str | None, as_json: bool) -> None:
    """All APIs, their state and their traffic in the last minute. QUERY narrows it down by name, summary and tags."""
    client = client_of(remote)
    apis = client.apis(query or "")
    clones = clones_by_api(client) if apis and remote is None else {}
    if as_json:
        print_json([with_clone(api, clones.get(api["name"])) for api in apis])
    elif apis:
        click.echo(listing(apis, clones))
    elif query:
        click.echo(f"No API matches {query!r}.")
    else:
        click.echo("No APIs yet. Write one: apimarket new hello   or register one: apimarket add DIR")


def listing(apis: list[ApiDocument], clones: Mapping[str, CloneDocument]) -> str:
    rows = []
    for api in apis:
        traffic = api["traffic"]
        rows.append(
            [
                paint(api["name"], bold=True),
                clean(api["runtime"]),
                state_word(api) + _share(api),
                f"{traffic['requests_per_s']:.1f}",
                milliseconds(traffic["p95_ms"]),
                f"{traffic['error_rate'] * 100:.1f}%" if traffic["p95_ms"] is not None else "–",
                last_reload(api),
                api["url"],
            ]
        )
    written = table(["NAME", "LANG", "STATE", "REQ/S", "P95", "ERR", "RELOAD", "URL"], rows)
    lines = [f"{paint('✗', 'red')} {api['name']}: {trouble}" for api in apis if (trouble := why(api))]
    told = [(api["name"], update_told(clones[api["name"]])) for api in apis if api["name"] in clones]
    lines += [f"{paint('↑', 'yellow')} {name}: {update}" for name, update in told if update]
    return "\n".join([written, *lines])


def state_word(api: ApiDocument) -> str:
    glyph, colour = _LOOKS.get(api["state"], ("?", None))
    return paint(f"{glyph} {clean(api['state'])}", colour)


def _share(api: ApiDocument) -> str:
    """` 2/3`: so many of its replicas serve; nothing where it has one."""
    serving, wanted = _replicas(api)
    return f" {serving}/{wanted}" if wanted > 1 and api["serving"] is not None else ""


def _replicas(api: ApiDocument) -> tuple[int, int]:
    replicas = api.get("replicas", {"serving": 1, "wanted": 1})  # a server of before has one
    return replicas["serving"], replicas["wanted"]


def last_reload(api: ApiDocument) -> str:
    generation = api["generation"]
    if generation is None:
        return "–"
    total = generation["timings_ms"].get("total")
    return f"g{generation['number']} {milliseconds(total)}" if total is not None else f"g{generation['number']}"


def why(api: ApiDocument) -> str:
    """One line: what is wrong, and what serves nevertheless; empty when nothing is."""
    if not api["error"]:
        if api.get("circuit", "closed") != "closed":
            return "it does not answer; requests are refused until one that tries is answered"
        serving, wanted = _replicas(api)
        short = 1 < wanted > serving and api["serving"] is not None
        return f"{serving} of {wanted} replicas serve" if short else ""
    return line_of(api["error"]) + (f" · g{api['serving']} still serving" if api["serving"] is not None else "")


@verb()
@click.argument("name")
@remote_option
def status(name: str, remote: str | None, as_json: bool) -> None:
    """One API in full. Exit code 1 when it has failed."""
    client = client_of(remote)
    api = client.api(name)
    clone = clones_by_api(client).get(api["name"]) if remote is None else None
    print_json(with_clone(api, clone)) if as_json else click.echo(description(api, clone))
    if api["state"] == "failed":
        sys.exit(1)


def description(api: ApiDocument, clone: CloneDocument | None = None) -> str:
    isolation = "" if api["isolated"] else paint("  no isolation", "yellow")
    rows = [
        ("state", state_word(api) + (f"  {line_of(api['progress'])}" if api["progress"] else "")),
        ("url", api["url"]),
        ("", api["host_url"]),
        ("leads to", ", ".join(f"{clean(target)} {share} %" for target, share in api["shares"].items())),
        ("runtime", clean(api["runtime"]) + (f"  {clean(api['entry'])}" if api["entry"] else "")),
        ("version", clean(api["version"]) + (" in apimarket.toml" if api["directory"] else ", the newest")),
        ("clone of", origin_told(clone) if clone is not None else ""),
        ("engine", clean(api["engine"]) + isolation),
        ("serving", f"g{api['serving']}" if api["serving"] is not None else "nothing"),
        ("replicas", _all_replicas(api)),
        ("reload", _reload(api)),
        ("traffic", _traffic(api)),
        ("uses", _usage(api)),
        ("files", clean(api["directory"])),
        ("summary", line_of(api["summary"])),
    ]
    lines = [f"{paint(f'{label:<8}', dim=True)} {value}" for label, value in rows if value]
    failure = api["failure"]
    if failure is not None:
        lines += ["", f"{paint('✗', 'red')} {line_of(failure['headline'])}"]
        lines += [f"  {line}" for line in clean(failure["traceback"] or _list_in(failure["message"])).splitlines()]
        lines += [f"{paint('hint:', 'cyan')} {line_of(failure['hint'])}"] if failure["hint"] else []
    elif trouble := why(api):
        lines += ["", f"{paint('✗', 'red')} {trouble}"]
    return "\n".join([f"{paint(api['owner'] + '/' + api['name'], bold=True)}", *lines])


def _all_replicas(api: ApiDocument) -> str:
    serving, wanted = _replicas(api)
    return f"{serving} of {wanted} serve" if wanted > 1 else ""


def _list_in(message: str) -> str:
    """Of a message that lists several things all of them; the headline has one alone."""
    _, _, listed = message.partition(":\n")
    return "\n".join(line.strip() for line in listed.splitlines()) if "\n" in listed.strip() else ""


def _reload(api: ApiDocument) -> str:
    generation = api["generation"]
    if generation is None:
        return ""
    return f"g{generation['number']} {clean(generation['outcome'])}  {budget(generation['timings_ms'])}".rstrip()


def _traffic(api: ApiDocument) -> str:
    traffic = api["traffic"]
    if traffic["p95_ms"] is None:
        return "none in the last minute"
    return (
        f"{traffic['requests_per_s']:.1f} req/s  p95 {milliseconds(traffic['p95_ms'])}  "
        f"{traffic['error_rate'] * 100:.1f}% errors"
    )


def _usage(api: ApiDocument) -> str:
    usage = api["usage"]
    return f"{binary_size(usage['memory_bytes'])}  {usage['cpu_percent']:.0f}% CPU" if usage else ""
