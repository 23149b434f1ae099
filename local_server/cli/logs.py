"""`logs`: what an API printed, and with -f what it prints."""

import json
import re
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import click

from local_server.cli.connection import print_json
from local_server.cli.outcome import verb
from local_server.cli.remotes import client_of, remote_option
from local_server.cli.text import clean, clock, paint
from local_server.client.documents import ApiDocument, LogLineDocument
from local_server.client.synchronous import Client

ASK_EVERY_S = 1.0
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Since(click.ParamType[datetime]):
    """`30s`, `10m`, `2h`, `1d`, or an ISO 8601 time (without a zone: local time)."""

    name = "WHEN"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        text = str(value).strip()
        try:
            if match := re.fullmatch(r"(\d+)([smhd])", text):
                return datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])})
            return datetime.fromisoformat(text).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{text!r} is not a time. Give 30s, 10m, 2h, 1d, or 2026-01-31T12:00.", param, ctx)


@verb()
@click.argument("name")
@click.option("--follow", "-f", is_flag=True, help="Go on as it prints, until Ctrl-C.")
@click.option("--since", type=Since(), help="Only from then on: 30s, 10m, 2h, 1d, or a time.")
@click.option("--limit", "-n", type=click.IntRange(1, 10_000), default=500, show_default=True, help="At most so many.")
@click.option("--version", "-v", default="", metavar="V", help="What this version printed, rather than the directory.")
@click.option("--generation", "-g", type=click.IntRange(0), metavar="N", help="Only what generation N printed.")
@remote_option
def logs(
    name: str,
    follow: bool,
    since: datetime | None,
    limit: int,
    version: str,
    generation: int | None,
    remote: str | None,
    as_json: bool,
) -> None:
    """What the API NAME printed. With --json one document, and with -f too, one line of JSON a line."""
    client = client_of(remote)
    api = client.api(name)
    from_time = since.isoformat() if since else None
    if follow:
        tail = Tail(client, api["id"], as_json, limit, from_time, version=version, generation=generation)
        with suppress(KeyboardInterrupt):
            _follow(client, api, version, tail) if remote is None else _ask_again_and_again(tail)
        return
    lines = client.logs(api["id"], limit, from_time, version, generation)
    if as_json:
        print_json(lines)
    elif lines:
        click.echo("\n".join(log_line(line) for line in lines))
    else:
        narrowed = since or version or generation is not None
        what = "of that time, version or generation" if narrowed else "yet"
        click.echo(f"The log of {api['name']} has nothing {what}.", err=True)


def log_line(line: LogLineDocument) -> str:
    """`12:01:07 g14 text`, `12:01:07 g14#2 text` of the second of several replicas; what is not plain output is told
    apart by colour."""
    colour = {"err": "yellow", "apimarket": "cyan"}.get(line["stream"])
    text = paint(clean(line["text"]).replace("\n", " "), colour)
    replica = line.get("replica", 0)
    who = f"g{line['generation']}" + (f"#{replica}" if replica else "")
    return f"{paint(clock(line['at']), dim=True)} {paint(who, dim=True)} {text}"


class Tail:
    """Prints an API's lines once each, in order: those written before the stream opened, then the stream's. After a
    break it asks for what was missed."""

    def __init__(
        self,
        client: Client,
        api_id: str,
        as_json: bool,
        limit: int,
        since: str | None,
        wanted: Callable[[LogLineDocument], bool] = lambda _: True,
        version: str = "",
        generation: int | None = None,
    ) -> None:
        self._version, self._generation = version, generation
        self._client, self._api_id, self._as_json, self._wanted = client, api_id, as_json, wanted
        self._limit, self._last = limit, since
        # How often a line was printed at the moment `_last`, and how often the history held it: the same line may
        # come again from the other side, and a program may print the same words twice in one moment.
        self._printed: Counter[tuple[str, str, str]] = Counter()
        self._history: Counter[tuple[str, str, str]] = Counter()

    def catch_up(self) -> None:
        """Print what was written since the last line printed."""
        lines = self._client.logs(self._api_id, self._limit, self._last, self._version, self._generation)
        printed, self._printed = self._printed, Counter()
        for line in lines:
            if printed[_key(line)] > 0:
                printed[_key(line)] -= 1
                self._printed[_key(line)] += 1
            else:
                self._print(line)
        self._history = Counter(map(_key, lines))

    def streamed(self, lines: list[LogLineDocument]) -> None:
        """Print what the stream brought, but for what the history held already."""
        for line in lines:
            if self._generation not in (None, line["generation"]):
                continue
            if self._history[_key(line)] > 0:
                self._history[_key(line)] -= 1
            else:
                self._print(line)

    def _print(self, line: LogLineDocument) -> None:
        if line["at"] != self._last:
            self._printed.clear()
        self._last = line["at"]
        self._printed[_key(line)] += 1
        if self._wanted(line):
            click.echo(json.dumps(line, ensure_ascii=False) if self._as_json else log_line(line))


def _key(line: LogLineDocument) -> tuple[str, str, str]:
    return (line["at"], line["stream"], line["text"])


def _follow(client: Client, api: ApiDocument, version: str, tail: Tail) -> None:
    topic = f"log:{api['id']}" + (f"@{version}" if version else "")
    for event in client.events([topic], on_open=tail.catch_up):
        if event.topic == "log" and event.data.get("api_id") == api["id"]:
            tail.streamed(event.data["lines"])


def _ask_again_and_again(tail: Tail) -> NoReturn:
    """Events of a server reach its owner alone; an API's owner may ask for what was printed since."""
    while True:
        tail.catch_up()
        time.sleep(ASK_EVERY_S)
