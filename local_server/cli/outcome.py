"""How a verb ends: 0 done, 1 refused or failed with a reason on standard error, 2 wrong usage.

With `--json` the reason is an RFC 9457 problem, one line of JSON, on standard error too: standard output holds data and
nothing else.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec

import click

from local_server.cli.text import clean, paint
from local_server.client.errors import ApimarketClientError
from local_server.domain.errors import ApimarketError

P = ParamSpec("P")


def verb(**settings: Any) -> Callable[[Callable[P, object]], click.Command]:
    """A click command that prints data: adds `--json` (as `as_json`) and ends as this module says."""

    def decorate(function: Callable[P, object]) -> click.Command:
        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            with failing_clearly(as_json=bool(kwargs.get("as_json"))):
                function(*args, **kwargs)

        json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
        command: click.Command = click.command(**settings)(json_option(run))
        return command

    return decorate


@contextmanager
def failing_clearly(*, as_json: bool) -> Iterator[None]:
    """Turns an error into its message and exit code 1. No traceback reaches a user; APIMARKET_DEBUG=1 shows it."""
    try:
        yield
    except (ApimarketClientError, ApimarketError) as error:
        _tell(problem(error), as_json)
        sys.exit(1)
    except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
        raise
    except Exception as error:
        if os.environ.get("APIMARKET_DEBUG"):
            raise
        _tell(problem(error), as_json)
        sys.exit(1)


def problem(error: Exception) -> dict[str, Any]:
    """The error as RFC 9457 members."""
    if isinstance(error, (ApimarketClientError, ApimarketError)):
        return {
            "type": "about:blank",
            "title": error.title,
            "status": error.status,
            "detail": error.detail,
            "code": error.code,
            "hint": error.hint,
            **error.extra,
        }
    known = isinstance(error, OSError) and error.strerror
    where = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
    detail = f"{error.strerror}{where}" if isinstance(error, OSError) and known else f"{type(error).__name__}: {error}"
    return {
        "type": "about:blank",
        "title": "The system refused" if known else "Something went wrong inside apimarket",
        "status": 500,
        "detail": detail if known else f"Something went wrong inside apimarket: {detail}",
        "code": "system" if known else "internal",
        "hint": "See what is missing with: apimarket doctor" if known else "APIMARKET_DEBUG=1 shows where.",
    }


def _tell(told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False), err=True)
        return
    click.echo(f"{paint('error:', 'red', bold=True, err=True)} {clean(str(told['detail']))}", err=True)
    if told["hint"]:
        click.echo(f"{paint('hint:', 'cyan', err=True)} {clean(str(told['hint']))}", err=True)
