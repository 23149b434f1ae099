"""`inspect`: the last requests to an API as they were, sent again, compared, and as curl commands."""

import json
from collections.abc import Sequence

import click

from local_server.cli.connection import print_json, running_client
from local_server.cli.outcome import verb
from local_server.cli.text import binary_size, clean, clock, line_of, milliseconds, paint, short_id, status_word, table
from local_server.client.documents import (
    BodyDocument,
    CompareDocument,
    ExchangeDocument,
    ExchangeSummaryDocument,
    ReplayDocument,
)
from local_server.client.synchronous import Client

_ALL = 1000
_SIGNS = {"-": "red", "+": "green", "@": "cyan"}


@verb()
@click.argument("name")
@click.argument("request", required=False)
@click.option("--replay", is_flag=True, help="Send it again, to what serves now, and show the answer.")
@click.option(
    "--against", type=click.IntRange(1, 2**31 - 1), metavar="GENERATION",
    help="Send it to that generation and to what serves now, and show the difference.",
)  # fmt: skip
@click.option("--curl", "as_curl", is_flag=True, help="Print a curl command for it; secrets are shell variables.")
@click.option("--forget", is_flag=True, help="Forget every kept request of the API.")
@click.option("--errors", is_flag=True, help="Only what was not ok, callers' mistakes included.")
@click.option("--path", default="", help="Only paths that begin so.")
@click.option(
    "--limit", "-n", type=click.IntRange(1, _ALL), default=50, show_default=True, help="List at most so many."
)
def inspect(
    name: str, request: str | None, replay: bool, against: int | None, as_curl: bool, forget: bool, errors: bool,
    path: str, limit: int, as_json: bool,
) -> None:  # fmt: skip
    """The last requests to the API NAME, newest last; with REQUEST one of them in full, secrets redacted.

    REQUEST is an id, its last characters as the list shows them, or `last`: the last of all, or of those that --errors
    and --path leave.
    """
    if sum((replay, against is not None, as_curl, forget)) > 1:
        raise click.UsageError("Give one of --replay, --against, --curl and --forget.")
    if request is None and (replay or against is not None or as_curl):
        raise click.UsageError("Which request? Give its id, or: last")
    if request is not None and forget:
        raise click.UsageError("--forget forgets all of them; it takes no REQUEST.")
    client = running_client()
    if forget:
        found = client.forget_exchanges(name)
        print_json(found) if as_json else click.echo(f"{found['forgotten']} forgotten.")
    elif request is None:
        rows = client.exchanges(name, limit, path, errors=errors)
        print_json(rows) if as_json else click.echo(listing(rows) if rows else f"No such request to {line_of(name)}.")
    else:
        _one(client, name, _full_id(client, name, request, path, errors), replay, against, as_curl, as_json)


def _one(
    client: Client, name: str, request_id: str, replay: bool, against: int | None, as_curl: bool, as_json: bool
) -> None:
    if replay:
        answer = client.replay_exchange(name, request_id)
        print_json(answer) if as_json else click.echo(answer_text(answer))
    elif against is not None:
        found = client.compare_exchange(name, request_id, against)
        print_json(found) if as_json else click.echo(comparison(found))
    else:
        exchange = client.exchange(name, request_id)
        if as_json:
            print_json({"curl": exchange["curl"]} if as_curl else exchange)
        else:
            click.echo(clean(exchange["curl"]) if as_curl else description(exchange))


def _full_id(client: Client, name: str, given: str, path: str, errors: bool) -> str:
    """What the list shows of an id is enough, where it means one."""
    if given == "last":
        rows = client.exchanges(name, 1, path, errors=errors)
        return rows[0]["id"] if rows else given
    rows = client.exchanges(name, _ALL)
    found = [row["id"] for row in rows if row["id"].endswith(given)]
    return found[0] if len(found) == 1 else given


def listing(rows: Sequence[ExchangeSummaryDocument]) -> str:
    written = [
        [
            short_id(row["id"]),
            clock(row["started_at"]),
            _answered_by(row, "–"),
            status_word(row["status"]),
            milliseconds(row["total_ms"]),
            binary_size(row["bytes_out"]),
            line_of(f"{row['method']} {_target(row)}"),
        ]
        for row in reversed(rows)
    ]
    return table(["ID", "TIME", "GEN", "STATUS", "TOOK", "SIZE", "REQUEST"], written)


def _answered_by(one: ExchangeSummaryDocument | ExchangeDocument | ReplayDocument, nothing: str) -> str:
    """A version counts generations of its own, so that its number alone is told."""
    return clean(one.get("version", "")) or (f"g{one['generation']}" if one["generation"] else nothing)


def _target(row: ExchangeSummaryDocument) -> str:
    return row["path"] + ("?" + row["query"] if row["query"] else "")


def description(exchange: ExchangeDocument) -> str:
    answered = _answered_by(exchange, "the gateway")
    head = paint(line_of(f"{exchange['method']} {_target(exchange)}"), bold=True)
    facts = f"{status_word(exchange['status'])}  {milliseconds(exchange['total_ms'])}  answered by {answered}"
    lines = [head, f"{facts}  {clock(exchange['started_at'])}  {paint(clean(exchange['id']), dim=True)}", ""]
    lines += [*_headers(exchange["request_headers"]), *_body(exchange["request_body"]), ""]
    lines += [*_headers(exchange["response_headers"]), *_body(exchange["response_body"])]
    if exchange["websocket"]:
        lines.append(f"WebSocket: {exchange['messages_in']} messages in, {exchange['messages_out']} out")
    if exchange["why_not"]:
        lines += ["", f"{paint('Cannot be replayed:', 'yellow')} {line_of(exchange['why_not'])}."]
    return "\n".join(lines)


def answer_text(answer: ReplayDocument) -> str:
    who = _answered_by(answer, "the gateway")
    ending = "" if answer["complete"] else paint("  broke off before its end", "yellow")
    head = f"{status_word(answer['status'])}  {milliseconds(answer['total_ms'])}  answered by {who}{ending}"
    return "\n".join([head, "", *_headers(answer["headers"]), *_body(answer["body"])])


def comparison(found: CompareDocument) -> str:
    first, second = found["first"], found["second"]
    lines = [_side("-", first), _side("+", second)]
    for change in found["headers_changed"]:
        for sign, value in (("-", change["first"]), ("+", change["second"])):
            if value is not None:
                lines.append(_signed(f"{sign} {change['name']}: {value}"))
    if found["body_diff"]:
        lines += ["", *map(_signed, found["body_diff"])]
    if found["same"]:
        lines.append("The answers are the same, but for what differs each time.")
    return "\n".join(lines)


def _side(sign: str, answer: ReplayDocument) -> str:
    who = _answered_by(answer, "the gateway")
    head = paint(f"{sign} {who}", _SIGNS[sign], bold=True)
    return f"{head}  {status_word(answer['status'])}  {milliseconds(answer['total_ms'])}"


def _signed(line: str) -> str:
    return paint(line_of(line[:1]) + clean(line[1:]).replace("\n", " "), _SIGNS.get(line[:1]))


def _headers(headers: Sequence[tuple[str, str]]) -> list[str]:
    return [f"{paint(line_of(name) + ':', 'cyan')} {line_of(value)}" for name, value in headers]


def _body(body: BodyDocument) -> list[str]:
    if not body["bytes"]:
        return []
    cut = f"… cut: {body['bytes']} bytes passed, and this much of them was kept" if body["truncated"] else ""
    if body["text"] is None:
        kind = line_of(body["media_type"]) or "no type"
        return ["", paint(f"{binary_size(body['bytes'])} that are not text ({kind})", dim=True), *filter(None, [cut])]
    return ["", _readable(body["text"]), *filter(None, [paint(cut, "yellow") if cut else ""])]


def _readable(text: str) -> str:
    try:
        return clean(json.dumps(json.loads(text), ensure_ascii=False, indent=2))
    except ValueError:
        return clean(text).rstrip("\n")
