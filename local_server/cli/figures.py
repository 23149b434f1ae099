"""`stats` and `history`: what became of an API's requests, counted and one by one."""

from collections.abc import Sequence
from datetime import datetime

import click

from local_server.cli.connection import print_json
from local_server.cli.logs import Since
from local_server.cli.outcome import verb
from local_server.cli.remotes import client_of, remote_option
from local_server.cli.text import binary_size, clean, clock, line_of, milliseconds, paint, short_id, status_word, table
from local_server.client.documents import ErrorGroupDocument, ExecutionDocument, HistoryDocument, StatsDocument
from local_server.client.synchronous import Client

_BARS = "▁▂▃▄▅▆▇█"
_CELLS = 60
_PAGE = 1000
_SHOWN = 5
_STEPS = {"1h": "a minute", "24h": "an hour", "7d": "an hour", "30d": "a day"}


@verb()
@click.argument("name")
@click.option("--window", type=click.Choice(list(_STEPS)), default="24h", show_default=True, help="How far back.")
@remote_option
def stats(name: str, window: str, remote: str | None, as_json: bool) -> None:
    """Requests to the API NAME: how many, how fast, how many failed, and of what."""
    found = client_of(remote).stats(name, window)
    print_json(found) if as_json else click.echo(description(found))


def description(found: StatsDocument) -> str:
    if not found["requests"]:
        return f"No request to {clean(found['api'])} in the last {found['window']}."
    popularity, usage = found["popularity"], found["usage"]
    mix = [f"{name} {count}" for name, count in found["statuses"].items()]
    rows = [
        ("requests", f"{found['requests']}  {rate(found['requests_per_s'])}  {_bars(found)}"),
        ("ok", f"{_percent(found['success_rate'])}  errors {_percent(found['error_rate'])}"),
        ("latency", _latency(found)),
        ("statuses", "  ".join(mix)),
        ("traffic", f"in {binary_size(found['bytes_in'])}  out {binary_size(found['bytes_out'])}"),
        ("rank", f"{popularity['rank']} of {popularity['of']}  {_percent(popularity['share'])} of all requests"),
        ("uses", f"{binary_size(usage['memory_bytes'])}  {usage['cpu_percent']:.0f}% CPU" if usage else ""),
    ]
    lines = [f"{paint(clean(found['api']), bold=True)}  last {found['window']}"]
    lines += [f"{paint(f'{label:<8}', dim=True)} {value}" for label, value in rows if value]
    return "\n\n".join(["\n".join(lines), *_tables(found)])


def rate(per_s: float) -> str:
    """`12/s`, `3.4/min`, `0.5/h`: in the unit that keeps it readable."""
    if per_s >= 1:
        value, unit = per_s, "s"
    elif per_s >= 1 / 60:
        value, unit = per_s * 60, "min"
    else:
        value, unit = per_s * 3600, "h"
    return f"{value:.0f}/{unit}" if value >= 10 else f"{value:.1f}/{unit}"


def _latency(found: StatsDocument) -> str:
    parts = (("p50", found["p50_ms"]), ("p95", found["p95_ms"]), ("p99", found["p99_ms"]), ("mean", found["mean_ms"]))
    return "  ".join(f"{label} {milliseconds(value)}" for label, value in parts)


def _tables(found: StatsDocument) -> list[str]:
    tables = []
    if found["errors"]:
        rows = [_error_row(group) for group in found["errors"][:_SHOWN]]
        tables.append(table(["NOT OK", "STATUS", "OUTCOME", "LAST", "REQUEST"], rows))
    if found["paths"]:
        paths = [
            [str(one["requests"]), milliseconds(one["mean_ms"]), line_of(one["path"])]
            for one in found["paths"][:_SHOWN]
        ]
        tables.append(table(["REQUESTS", "MEAN", "PATH"], paths))
    if found["generations"]:
        generations = [
            [_generation(one["number"]), str(one["requests"]), str(one["errors"]), milliseconds(one["mean_ms"])]
            for one in found["generations"][:_SHOWN]
        ]
        tables.append(table(["GENERATION", "REQUESTS", "ERRORS", "MEAN"], generations))
    if versions := found.get("versions"):  # older servers do not tell
        rows = [
            [clean(one["version"]), str(one["requests"]), str(one["errors"]), milliseconds(one["mean_ms"])]
            for one in versions[:_SHOWN]
        ]
        tables.append(table(["VERSION", "REQUESTS", "ERRORS", "MEAN"], rows))
    return tables


def _error_row(group: ErrorGroupDocument) -> list[str]:
    return [
        str(group["requests"]),
        status_word(group["status"]),
        clean(group["outcome"]),
        _moment(group["last_at"]),
        line_of(f"{group['method']} {group['path']}"),
    ]


def _bars(found: StatsDocument) -> str:
    counts = [point["requests"] for point in found["points"]]
    return f"{sparkline(counts)}  most {max(counts, default=0)} {_STEPS.get(found['window'], '')}".rstrip()


def sparkline(counts: Sequence[int], cells: int = _CELLS) -> str:
    """A bar for each count, or, where there are more than `cells`, for the sums of runs of them. Nothing is a dot; the
    least that is more than nothing is a bar."""
    run = -(-len(counts) // cells) or 1
    sums = [sum(counts[start : start + run]) for start in range(0, len(counts), run)]
    most = max(sums, default=0)
    return "".join(_BARS[-(-count * len(_BARS) // most) - 1] if count else "·" for count in sums)


@verb()
@click.argument("name")
@click.option("--errors", is_flag=True, help="Only what was not ok, callers' mistakes included.")
@click.option("--limit", "-n", type=click.IntRange(1, 100_000), default=50, show_default=True, help="At most so many.")
@click.option("--since", type=Since(), help="Only from then on: 30s, 10m, 2h, 1d, or a time.")
@click.option("--status", type=click.Choice(["1xx", "2xx", "3xx", "4xx", "5xx"]), help="Only this class of status.")
@click.option("--method", help="Only this method.")
@click.option("--path", help="Only paths that begin so.")
@click.option("--generation", type=click.IntRange(0), help="Only what this one of the directory answered; 0: none.")
@click.option("--key", "key_id", metavar="KEY_ID", help="Only what was asked with this key: its id, from keys list.")
@click.option("--version", help="Only what this version answered.")
@remote_option
def history(
    name: str,
    errors: bool,
    limit: int,
    since: datetime | None,
    status: str | None,
    method: str | None,
    path: str | None,
    generation: int | None,
    key_id: str | None,
    version: str | None,
    remote: str | None,
    as_json: bool,
) -> None:
    """Requests to the API NAME, newest last. With --json newest first."""
    filters: dict[str, str | int | None] = {
        "errors": "true" if errors else None,
        "since": since.isoformat() if since else None,
        "status": status,
        "method": method,
        "path": path,
        "generation": generation,
        "key": key_id,
        "version": version,
    }
    found = _collected(client_of(remote), name, limit, filters)
    if as_json:
        print_json(found)
    elif found["requests"]:
        click.echo(_listing(found["requests"]))
    else:
        click.echo(f"No such request to {line_of(name)}.")


def _collected(client: Client, name: str, limit: int, filters: dict[str, str | int | None]) -> HistoryDocument:
    """Page after page until there are `limit`, or no more."""
    page = client.history(name, min(limit, _PAGE), None, **filters)
    rows = page["requests"]
    while page["next"] is not None and len(rows) < limit:
        page = client.history(name, min(limit - len(rows), _PAGE), page["next"], **filters)
        rows += page["requests"]
    return {"requests": rows, "next": page["next"]}


def _listing(rows: Sequence[ExecutionDocument]) -> str:
    written = [
        [
            short_id(row["id"]),
            _moment(row["started_at"]),
            clean(row["version"]) or _generation(row["generation"]),
            status_word(row["status"]),
            milliseconds(row["total_ms"]),
            binary_size(row["bytes_out"]),
            line_of(f"{row['method']} {row['path']}") + _remark(row),
        ]
        for row in reversed(rows)
    ]
    return table(["ID", "TIME", "GEN", "STATUS", "TOOK", "SIZE", "REQUEST"], written)


def _remark(row: ExecutionDocument) -> str:
    """What the status does not say."""
    said = row["outcome"] in ("ok", "client_error", "server_error")
    remark = "" if said else "  " + paint(clean(row["outcome"]).replace("_", " "), "yellow")
    return remark + ("  " + paint("cached", "cyan") if row["cached"] else "")


def _generation(number: int) -> str:
    return f"g{number}" if number else "–"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share * 100:.1f}%"


def _moment(iso: str) -> str:
    """The time of day if it was today, else with its date."""
    try:
        at = datetime.fromisoformat(iso).astimezone()
    except ValueError:
        return line_of(iso)
    return clock(iso) if at.date() == datetime.now(at.tzinfo).date() else at.strftime("%m-%d %H:%M:%S")
