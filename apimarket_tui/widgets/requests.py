"""Requests through the gateway, newest first."""

import shlex
from typing import TYPE_CHECKING

from apimarket_tui.clean import one_line
from apimarket_tui.widgets.table import Column, LineTable
from apimarket_tui.words import METHOD_TONE, NONE, Spans, millis, size, status_tone

if TYPE_CHECKING:
    from local_server.wire.apis import ExecutionView

COLUMNS = (
    Column("time", "TIME", 8, 12),
    Column("method", "METHOD", 6, 7),
    Column("status", "STATUS", 6, 6, right=True),
    Column("took", "TOOK", 6, 7, right=True),
    Column("upstream", "IN API", 7, 7, right=True, rank=4),
    Column("out", "SIZE", 7, 7, right=True, rank=2),
    Column("generation", "GEN", 4, 5, right=True, rank=1),
    Column("outcome", "OUTCOME", 12, 14, rank=3),
    Column("path", "PATH", 24, 200),
)


class RequestTable(LineTable["ExecutionView"]):
    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(COLUMNS, lambda row: row.id, request_cell, id=id)


def request_cell(request: "ExecutionView", column: str, width: int) -> Spans:
    match column:
        case "time":
            return [(f"{request.started_at:%H:%M:%S}.{request.started_at.microsecond // 1000:03d}"[:width], "dim")]
        case "method":
            return [(request.method, METHOD_TONE.get(request.method, "text"))]
        case "status":
            return [(str(request.status or NONE), status_tone(request.status))]
        case "took":
            return [(millis(request.total_ms), "text")]
        case "upstream":
            return [(millis(request.upstream_ms), "dim")]
        case "out":
            return [(size(request.bytes_out), "dim")]
        case "generation":
            generation = f"g{request.generation}" if request.generation else NONE
            return [(request.version or generation, "dim")]
        case "outcome":
            waited = " held" if request.held else ""
            return [(request.outcome.replace("_", " ") + waited, "dim" if request.outcome == "ok" else "warn")]
        case _:
            return [(request.path, "text")]


def curl(method: str, url: str, headers: "list[tuple[str, str]] | None" = None, body: str = "") -> str:
    """The same request for a shell, on one line."""
    parts = ["curl", "-i"]
    if method != "GET":
        parts += ["-X", method]
    for name, value in headers or []:
        parts += ["-H", f"{name}: {value}"]
    if body:
        parts += ["--data-binary", body]
    parts.append(url)
    return " ".join(shlex.quote(one_line(part) if part != body else part) for part in parts)
