"""`doctor`: the server's checks, or, where none answers, those that need none."""

import os
import sys
from pathlib import Path

import click

from local_server.cli.connection import print_json, running_client
from local_server.cli.outcome import verb
from local_server.cli.remotes import remote_of
from local_server.cli.text import clean, paint
from local_server.client import discovery
from local_server.client.discovery import Endpoint
from local_server.client.documents import CheckDocument
from local_server.client.errors import ServerUnreachableError

_LOOKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failed": ("✗", "red")}


@verb()
@click.option("--remote", metavar="URL", help="Check the way to another server, and whether it knows you.")
def doctor(remote: str | None, as_json: bool) -> None:
    """Check this machine and the server; every finding comes with what mends it. Exit code 1 when a check failed."""
    if remote is not None:
        from local_server import __version__
        from local_server.cli.far_checks import checks_of

        far = remote_of(remote)
        session = far.session
        _show(checks_of(far.url, session["token"] if session else "", __version__), as_json)
        return
    try:
        checks = running_client().doctor()
    except ServerUnreachableError as error:
        checks = without_server(discovery.find(), error)
    _show(checks, as_json)


def _show(checks: list[CheckDocument], as_json: bool) -> None:
    if as_json:
        print_json(checks)
    else:
        click.echo("\n".join(_line(check) for check in checks))
    if any(check["status"] == "failed" for check in checks):
        sys.exit(1)


def without_server(endpoint: Endpoint, error: ServerUnreachableError) -> list[CheckDocument]:
    """What can be told about a machine on which no server answers."""
    fix = "unset APIMARKET_URL, or correct it" if endpoint.chosen else "apimarket serve"
    checks: list[CheckDocument] = [
        {"name": "server", "status": "failed", "detail": error.detail, "fix": fix},
        _data_directory(endpoint.home),
    ]
    if last := _last_error(endpoint.home):
        checks.append(
            {
                "name": "last start",
                "status": "warning",
                "detail": last,
                "fix": f"read {endpoint.home / 'server.log'}",
            }
        )
    version = ".".join(map(str, sys.version_info[:3]))
    checks.append({"name": "python", "status": "ok", "detail": f"{version}, {sys.executable}", "fix": ""})
    return checks


def _data_directory(home: Path) -> CheckDocument:
    nearest = next(path for path in (home, *home.parents) if path.exists())
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        state = "writable" if nearest == home else "will be made at the first start"
        return {"name": "data directory", "status": "ok", "detail": f"{home}, {state}", "fix": ""}
    return {
        "name": "data directory",
        "status": "failed",
        "detail": f"{home} cannot be written: {nearest} does not let you",
        "fix": "APIMARKET_HOME=DIR apimarket",
    }


def _last_error(home: Path) -> str:
    """What the last background start ended with, when it ended with an error."""
    from local_server.client.launcher import last_problem

    problem = last_problem(home)
    return problem.detail if problem else ""


def _line(check: CheckDocument) -> str:
    glyph, colour = _LOOKS[check["status"]]
    lines = clean(check["detail"]).splitlines() or [""]
    told = "\n".join([f"{paint(glyph, colour)} {clean(check['name']):<16} {lines[0]}", *(f"  {x}" for x in lines[1:])])
    return told + (f"\n  {paint('fix:', 'cyan')} {clean(check['fix'])}" if check["fix"] else "")
