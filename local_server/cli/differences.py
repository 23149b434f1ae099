"""`diff`: what changed between two states of an API's files, as `diff -u` writes it."""

from collections.abc import Iterator

import click

from local_server.cli.connection import print_json
from local_server.cli.outcome import verb
from local_server.cli.remotes import client_of, remote_option
from local_server.cli.text import binary_size, clean, line_of, paint, table
from local_server.client.version_documents import FileDifferenceDocument, TreeDifferenceDocument

_SIGNS = {"-": "red", "+": "green", "@": "cyan"}
_GLYPHS = {"added": ("+", "green"), "removed": ("-", "red"), "renamed": ("→", "cyan")}
_NOWHERE = "/dev/null"


@verb()
@click.argument("name")
@click.argument("first", metavar="[FROM]", required=False)
@click.argument("second", metavar="[TO]", required=False)
@click.option("--path", metavar="FILE", help="This file alone, with more of its lines.")
@click.option("--stat", is_flag=True, help="Only which files, and how many lines.")
@remote_option
def diff(
    name: str, first: str | None, second: str | None, path: str | None, stat: bool, remote: str | None, as_json: bool
) -> None:
    """How the files of the API NAME changed from FROM to TO.

    Each is a version (1.2.0, 1.2, or a channel as beta), a generation (g14), `serving`: what the directory serves, or
    `dev`: what it holds. Without TO it is dev, and without FROM the newest version.
    """
    found = client_of(remote).diff(name, first, second, path)
    if as_json:
        print_json(found)
    elif found["same"]:
        told = f"{line_of(path)} is" if path is not None else "Their files are"
        click.echo(f"{told} the same in {_name(found, 'first')} and {_name(found, 'second')}.")
    else:
        click.echo(summary(found) if stat else "\n".join(patch(found)))


def patch(found: TreeDifferenceDocument) -> Iterator[str]:
    """What `patch -p1` takes, as far as it is text."""
    for file in found["files"]:
        yield from _file(file)
    if found["more"]:
        yield paint(f"… and {found['more']:,} more files that differ", "yellow")


def summary(found: TreeDifferenceDocument) -> str:
    """Which files, and how much of them."""
    rows = [[_glyph(file), _places(file), _extent(file)] for file in found["files"]]
    added, removed = (sum(file[of] or 0 for file in found["files"]) for of in ("added", "removed"))
    more = f", and {found['more']:,} more" if found["more"] else ""
    total = f"{len(found['files'])} file{'' if len(found['files']) == 1 else 's'}{more}  {_counts(added, removed)}"
    head = f"{_name(found, 'first')} → {_name(found, 'second')}"
    return "\n".join([paint(head, bold=True), table(["", "FILE", "LINES"], rows), total])


def _name(found: TreeDifferenceDocument, side: str) -> str:
    return line_of(found["first"]["name"] if side == "first" else found["second"]["name"])


def _glyph(file: FileDifferenceDocument) -> str:
    return paint(*_GLYPHS.get(file["change"], ("~", "yellow")))


def _places(file: FileDifferenceDocument) -> str:
    before = file["path_before"]
    return line_of(file["path"]) if before is None else f"{line_of(before)} → {line_of(file['path'])}"


def _extent(file: FileDifferenceDocument) -> str:
    if file["change"] == "mode":
        return f"mode {file['mode_before']} → {file['mode_after']}"
    if file["added"] is not None and file["removed"] is not None:
        return _counts(file["added"], file["removed"])
    return f"{_kind(file)}, {_size(file['size_before'])} → {_size(file['size_after'])}"


def _counts(added: int, removed: int) -> str:
    return f"{paint(f'+{added:,}', 'green')} {paint(f'-{removed:,}', 'red')}"


def _kind(file: FileDifferenceDocument) -> str:
    return {"binary": "not text", "large": "large"}.get(file["kind"], "not compared")


def _size(size_bytes: int | None) -> str:
    return "nothing" if size_bytes is None else binary_size(size_bytes)


def _file(file: FileDifferenceDocument) -> Iterator[str]:
    path = line_of(file["path"])
    before = f"a/{line_of(file['path_before'] or file['path'])}" if file["size_before"] is not None else _NOWHERE
    after = f"b/{path}" if file["size_after"] is not None else _NOWHERE
    if file["change"] == "renamed":
        yield paint(f"{line_of(file['path_before'] or '')} is now {path}", bold=True)
    elif file["change"] == "mode":
        yield paint(f"{path}: mode {file['mode_before']} is now {file['mode_after']}", bold=True)
    elif file["added"] is None:
        sizes = f"{_size(file['size_before'])} → {_size(file['size_after'])}"
        yield paint(f"{before} and {after} differ", bold=True) + f" ({_kind(file)}: {sizes})"
    else:
        yield from (paint(f"--- {before}", bold=True), paint(f"+++ {after}", bold=True))
        yield from map(_signed, file["lines"])
    if not file["complete"]:
        yield paint(f"… there is more of {path}: --path {path}", "yellow")


def _signed(line: str) -> str:
    return paint(clean(line).replace("\n", " "), _SIGNS.get(line[:1]))
