"""The program: its global options, the verbs loaded lazily, and what happens without one."""

import sys
from importlib import import_module

import click

from local_server import __version__
from local_server.cli.outcome import failing_clearly
from local_server.cli.verbs import VERBS

_EPILOG = """\b
Environment: APIMARKET_HOME (data directory), APIMARKET_URL (server to talk to), APIMARKET_TOKEN, NO_COLOR.
Exit codes: 0 done, 1 refused or failed with a reason, 2 wrong usage."""


class Program(click.Group):
    """A group that imports a verb only when it runs or shows its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        verb = VERBS.get(cmd_name)
        if verb is None:
            return None
        module, _, function = verb.where.partition(":")
        command = getattr(import_module(f"local_server.cli.{module}"), function)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(args[0], VERBS, n=2)
            meant = f" Did you mean {' or '.join(close)}?" if close else " See: apimarket --help"
            raise click.UsageError(f"There is no command {args[0]!r}.{meant}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in dict.fromkeys(verb.section for verb in VERBS.values()):
            with formatter.section(section):
                formatter.write_dl([(name, verb.help) for name, verb in VERBS.items() if verb.section == section])


@click.group(
    cls=Program,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EPILOG,
)
@click.version_option(__version__, "-V", "--version", message="apimarket %(version)s")
@click.pass_context
def program(ctx: click.Context) -> None:
    """Write, run, watch and publish small HTTP APIs from your own machine.

    Without a command: the terminal UI.
    """
    if ctx.invoked_subcommand is None:
        with failing_clearly(as_json=False):
            if not (sys.stdin.isatty() and sys.stdout.isatty()):
                raise click.UsageError(
                    "The terminal UI needs a terminal. In scripts use the commands: apimarket --help"
                )
            terminal_ui()


def terminal_ui() -> None:
    """Open it on the server that runs, and leave with its exit code."""
    from local_server.cli.connection import by_session, started_endpoint, token_of

    endpoint = started_endpoint()
    from apimarket_tui.app import run
    from local_server.client.asynchronous import AsyncClient

    backend = AsyncClient(endpoint.url, token_of(endpoint))
    sys.exit(run(backend, endpoint.home, AsyncClient, by_session=by_session(endpoint)))


def main() -> None:
    """The console script."""
    program(prog_name="apimarket")
