"""`call`: one request to an API through the gateway, with curl's flags."""

import json
import sys
from pathlib import Path

import click

from local_server.cli.connection import print_json, running_client
from local_server.cli.outcome import verb
from local_server.cli.text import binary_size, clean, milliseconds, paint
from local_server.client.documents import ApiDocument
from local_server.client.errors import ApimarketClientError
from local_server.client.results import CallResult
from local_server.client.synchronous import Client


@verb()
@click.argument("target", metavar="NAME[/PATH]")
@click.option("-X", "--request", "method", help="The method.  [default: GET, with -d POST]")
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A header; may repeat.")
@click.option("-d", "--data", help="The body; @FILE reads a file, @- standard input.")
@click.option("-i", "--include", is_flag=True, help="Show status and headers too.")
@click.option("--timeout", "timeout_s", default=30.0, show_default=True, help="Seconds to wait.")
def call(
    target: str, method: str | None, headers: tuple[str, ...], data: str | None, include: bool, timeout_s: float,
    as_json: bool,
) -> None:  # fmt: skip
    """Call an API by its name, as in: apimarket call weather/now?q=oslo

    Exit code 1 when the answer's status is 400 or more. --json prints status, headers, body and time as one document.
    """
    client = running_client()
    api, path = _api_and_path(client, target)
    body = _body(data)
    pairs = [_header(header) for header in headers]
    if body is not None and not any(name.lower() == "content-type" for name, _ in pairs):
        pairs.append(("Content-Type", _content_type(body)))
    url = api["url"].rstrip("/") + path
    result = client.call(method or ("GET" if body is None else "POST"), url, pairs, body, timeout_s)
    if as_json:
        print_json(_document(url, result))
    else:
        _show(result, include)
    if result.status >= 400:
        sys.exit(1)


def _api_and_path(client: Client, target: str) -> tuple[ApiDocument, str]:
    """`weather/now?q=1` is the API `weather` and `/now?q=1`; `ana/weather/now` names its owner too."""
    head, mark, query = target.partition("?")
    name, slash, path = head.lstrip("/").partition("/")
    try:
        return client.api(name), "/" + path + mark + query
    except ApimarketClientError as error:
        slug, _, rest = path.partition("/")
        if error.code != "api_not_found" or not slash or not slug:
            raise
        try:
            return client.api(f"{name}/{slug}"), "/" + rest + mark + query
        except ApimarketClientError:
            raise error from None


def _body(data: str | None) -> bytes | None:
    if data is None:
        return None
    if not data.startswith("@"):
        return data.encode()
    if data == "@-":
        return sys.stdin.buffer.read()
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        why = (error.strerror or "").lower()
        raise click.UsageError(
            f"-d {data}: {why}. Allowed: the body itself, @FILE, or @- for standard input."
        ) from None


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or "\n" in text or "\r" in text:
        raise click.UsageError(f"-H {text!r} is not a header. Give one as 'Name: value'.")
    return name.strip(), value.strip()


def _content_type(body: bytes) -> str:
    try:
        json.loads(body)
    except ValueError:
        return "application/x-www-form-urlencoded"
    return "application/json"


def _document(url: str, result: CallResult) -> dict[str, object]:
    return {
        "url": url,
        "status": result.status,
        "reason": result.reason,
        "headers": [list(pair) for pair in result.headers],
        "body": result.body.decode("utf-8", "replace"),
        "elapsed_ms": round(result.elapsed_ms, 3),
    }


def _show(result: CallResult, include: bool) -> None:
    if include:
        colour = "green" if result.status < 400 else "red"
        click.echo(
            f"{paint(f'{result.status} {clean(result.reason)}', colour, bold=True)}  {milliseconds(result.elapsed_ms)}"
        )
        for name, value in result.headers:
            click.echo(f"{paint(clean(name) + ':', 'cyan')} {clean(value)}")
        click.echo()
    if not sys.stdout.isatty():
        # A pipe or a file gets the bytes as they came.
        sys.stdout.flush()
        sys.stdout.buffer.write(result.body)
        sys.stdout.buffer.flush()
    elif result.body:
        click.echo(_readable(result.body))
    if not include and result.status >= 400:
        click.echo(f"{paint('error:', 'red', bold=True, err=True)} {result.status} {clean(result.reason)}", err=True)


def _readable(body: bytes) -> str:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return f"{binary_size(len(body))} that are not text. Redirect them to a file to keep them."
    try:
        return clean(json.dumps(json.loads(text), ensure_ascii=False, indent=2))
    except ValueError:
        return clean(text).rstrip("\n")
