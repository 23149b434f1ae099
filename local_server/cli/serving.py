"""`serve`: the server itself, in the foreground; with `--background`, as the launcher starts it."""

import json
import os
import sys
import traceback
from typing import TYPE_CHECKING

import click

from local_server.cli.outcome import failing_clearly, problem
from local_server.client import discovery

if TYPE_CHECKING:
    from local_server.settings import Role


def _checked(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if value not in ("", "embedded") and not value.startswith(("postgresql://", "postgres://")):
        raise click.BadParameter("it must be a postgresql:// URL or 'embedded'; without it everything is in SQLite.")
    return value


PORTS = {"all": 8080, "gateway": 8080, "executor": 8081, "analytics": 8082}

database_option = click.option(
    "--database",
    default="",
    envvar="APIMARKET_DATABASE",
    callback=_checked,
    help="postgresql://… or 'embedded': a marketplace. Without it what the data directory holds, else SQLite. A "
    "password belongs into the environment.",
)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, envvar="APIMARKET_HOST", help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    envvar="APIMARKET_PORT",
    help="Port to listen on; 0 takes a free one. Default: 8080; of an executor 8081, of analytics 8082.",
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "docker", "process"]),
    default="auto",
    show_default=True,
    envvar="APIMARKET_ENGINE",
    help="What runs the APIs: Docker, plain processes, or Docker where it answers.",
)
@database_option
@click.option(
    "--role",
    type=click.Choice(list(PORTS)),
    default="all",
    show_default=True,
    envvar="APIMARKET_ROLE",
    help="One part of a marketplace that is several servers on one PostgreSQL.",
)
@click.option("--background", is_flag=True, hidden=True)
def serve(host: str, port: int | None, engine: str, database: str, role: "Role", background: bool) -> None:
    """Run the server in the foreground until Ctrl-C."""
    home = discovery.home()
    port = PORTS[role] if port is None else port
    if not background:
        with failing_clearly(as_json=False):
            from local_server.app import serve as run

            code = run(host=host, port=port, engine=engine, home=home, database=database, role=role)
        sys.exit(code)
    # The launcher started us in the package's directory, so that Python finds it; the server belongs with its data.
    os.chdir(home)
    try:
        from local_server.app import serve as run

        code = run(host=host, port=port, engine=engine, home=home, database=database, role=role)
    except Exception as error:
        told = problem(error)
        if told["code"] == "internal":
            traceback.print_exc()
        # The last line of server.log is what the command that started us shows.
        sys.stderr.write(json.dumps(told) + "\n")
        code = 1
    sys.exit(code)
