"""`new` and `add`: an API from a template, or from a directory that is one already."""

from pathlib import Path

import click

from local_server.cli.connection import print_json, started_client
from local_server.cli.outcome import verb
from local_server.cli.text import clean, line_of, paint, table
from local_server.client.documents import ApiDocument
from local_server.client.synchronous import Client


@verb()
@click.argument("name", required=False)
@click.option("--template", "-t", default="python", show_default=True, help="What to begin with; `list` lists them.")
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="Where to write it.  [default: ./NAME]")
@click.option("--no-start", is_flag=True, help="Write and register it only.")
def new(name: str | None, template: str, directory: Path | None, no_start: bool, as_json: bool) -> None:
    """Write a new API into ./NAME from a template, register it and start it."""
    if template == "list":
        _list_templates(started_client(), as_json)
        return
    if not name:
        raise click.UsageError("Give the new API a NAME, as in: apimarket new hello")
    target = (directory or Path.cwd() / name).absolute()
    api = started_client().scaffold(
        {"name": name, "template": template, "directory": str(target), "start": not no_start}
    )
    if as_json:
        print_json(api)
    else:
        _made(api, f"{paint(api['name'], bold=True)} is written into {clean(api['directory'])}", started=not no_start)


@verb()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--name", help="Its name.  [default: from apimarket.toml, else from the directory]")
@click.option("--no-start", is_flag=True, help="Register it only.")
def add(directory: Path, name: str | None, no_start: bool, as_json: bool) -> None:
    """Register DIRECTORY, a project that exists: finds its runtime and entry, writes apimarket.toml, starts it."""
    api = started_client().register({"directory": str(directory.resolve()), "name": name, "start": not no_start})
    if as_json:
        print_json(api)
    else:
        found = f"{clean(api['runtime'])}{', entry ' + clean(api['entry']) if api['entry'] else ''}"
        _made(api, f"{paint(api['name'], bold=True)} is registered ({found})", started=not no_start)


def _made(api: ApiDocument, what: str, *, started: bool) -> None:
    name = api["name"]
    click.echo(f"{what}\n{api['url']}\n")
    steps = [
        [f"apimarket call {name}", "call it"],
        [f"apimarket dev {_short(api['directory'])}", "edit with hot reload and its log"],
        ["apimarket", "watch everything in the terminal UI"],
    ]
    if not started:
        steps[0] = [f"apimarket deploy {name}", "start it"]
    click.echo(table(["NEXT", ""], steps))


def _short(directory: str) -> str:
    """The directory as a person here would type it."""
    try:
        relative = Path(directory).relative_to(Path.cwd())
    except ValueError:
        return directory
    return str(relative)


def _list_templates(client: Client, as_json: bool) -> None:
    templates = client.templates()
    if as_json:
        print_json(templates)
        return
    rows = [[paint(t["name"], bold=True), t["runtime"], line_of(t["summary"] or t["title"])] for t in templates]
    click.echo(table(["TEMPLATE", "LANG", ""], rows))
