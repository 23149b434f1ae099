"""`files`: what an API is made of, what is left out of it, and what stands in a file."""

import click

from local_server.cli.connection import print_json
from local_server.cli.outcome import verb
from local_server.cli.remotes import remote_of, remote_option
from local_server.cli.text import clean, line_of, paint, table
from local_server.client.file_documents import FileDocument, FilesDocument

CHANGES = {
    "new": ("+ new", "green"),
    "changed": ("~ changed", "yellow"),
    "removed": ("- removed", "red"),
}


@verb()
@click.argument("name")
@click.argument("path", required=False)
@click.option("--running", is_flag=True, help="With PATH: as it serves, rather than as it lies in the directory.")
@remote_option
def files(name: str, path: str | None, running: bool, remote: str | None, as_json: bool) -> None:
    """The files of the API NAME: size, mode, what changed since what serves was read, and what is left out and why.
    With PATH, what stands in that one. Exit code 1 where apimarket.toml has mistakes or the directory cannot be read.
    """
    client = remote_of(remote).client
    if path is not None:
        shown = client.file(name, path, "running" if running else "directory")
        print_json(shown) if as_json else _print_file(shown)
        return
    if running:
        raise click.UsageError("--running shows one file: name its PATH.")
    found = client.files(name)
    print_json(found) if as_json else _print_files(found)
    if found["problem"] or found["manifest"]["problems"]:
        raise SystemExit(1)


def _print_file(shown: FileDocument) -> None:
    if shown["binary"]:
        click.echo(f"{line_of(shown['path'])} is no text: {shown['bytes']:,} bytes", err=True)
        return
    click.echo(clean(shown["text"]), nl=not shown["text"].endswith("\n"))
    if not shown["whole"]:
        click.echo(f"… the beginning of {shown['bytes']:,} bytes", err=True)


def _print_files(found: FilesDocument) -> None:
    if found["problem"]:
        click.echo(f"{paint('error:', 'red', err=True)} {clean(found['problem'])}\n{clean(found['hint'])}", err=True)
    rows = [[one["mode"], f"{one['bytes']:,}", _change(one["change"]), line_of(one["path"])] for one in found["files"]]
    if rows:
        click.echo(table(["MODE", "BYTES", "CHANGE", "FILE"], rows))
    out = [[line_of(one["path"]) + ("/" if one["directory"] else ""), line_of(one["why"])] for one in found["left_out"]]
    if out:
        click.echo("\n" + table(["LEFT OUT", "WHY"], out))
    if found["left_out_more"]:
        click.echo(f"and {found['left_out_more']:,} more")
    problems = found["manifest"]["problems"]
    if problems:
        told = [f"  line {one['line']}: {one['key']}: {clean(one['message'])}" for one in problems]
        click.echo("\n" + paint("apimarket.toml has mistakes:", "red") + "\n" + "\n".join(told))


def _change(change: str) -> str:
    word, colour = CHANGES.get(change, ("", None))
    return paint(word, colour) if word else ""
