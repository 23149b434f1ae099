"""`stop`: an API by name, or the server itself."""

import click

from local_server.cli.connection import print_json
from local_server.cli.outcome import verb
from local_server.cli.remotes import client_of, remote_option
from local_server.client import discovery


@verb()
@click.argument("name", required=False)
@click.option("--all", "every", is_flag=True, help="With the server, stop the APIs that would run on under Docker.")
@click.option(
    "--version", "-v", metavar="V", help="Stop only this version, or dev, the directory; it may have no traffic."
)
@remote_option
def stop(name: str | None, every: bool, version: str | None, remote: str | None, as_json: bool) -> None:
    """Stop the API NAME with all its versions; without NAME, the server. Under Docker its APIs run on, unless --all."""
    if version is not None:
        if not name or every:
            raise click.UsageError("--version goes with the NAME of an API.")
        if version == "dev":
            view = client_of(remote).stop(name, directory=True)
            print_json(view) if as_json else click.echo(f"the directory of {name} is stopped")
            return
        stopped_version = client_of(remote).stop_version(name, version)
        line = f"{name} {stopped_version['version']} is {stopped_version['state']}"
        print_json(stopped_version) if as_json else click.echo(line)
        return
    if name:
        if every:
            raise click.UsageError("--all goes with stopping the server, not with a NAME.")
        view = client_of(remote).stop(name)
        print_json(view) if as_json else click.echo(f"{view['name']} is {view['state']}")
        return
    if remote is not None:
        raise click.UsageError("--remote goes with the NAME of an API.")
    from local_server.client.launcher import stop as stop_server

    endpoint = discovery.find()
    running = endpoint.chosen or endpoint.pid is not None
    stopped = running and stop_server(endpoint, apis=every)
    if as_json:
        print_json({"stopped": stopped, "url": endpoint.url})
    elif stopped:
        click.echo("The server has stopped" + (", and so have all APIs" if every else ""))
    else:
        click.echo("No server was running")
