"""What an API of a marketplace answers to, and the versions of it that were published."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from apimarket_tui.clean import one_line
from apimarket_tui.widgets.table import Column, LineTable
from apimarket_tui.words import METHOD_TONE, Spans, ago

if TYPE_CHECKING:
    from local_server.wire.market import EndpointView
    from local_server.wire.sync import VersionLineView

ENDPOINT_COLUMNS = (
    Column("method", "METHOD", 6, 7),
    Column("path", "PATH", 20, 60),
    Column("summary", "WHAT IT DOES", 20, 200, rank=1),
)
VERSION_COLUMNS = (
    Column("version", "VERSION", 10, 24),
    Column("state", "STATE", 11, 12),
    Column("when", "PUBLISHED", 9, 12, right=True),
    Column("tree", "FILES", 8, 12, rank=1),
    Column("reason", "WHY", 10, 200, rank=2),
)


def endpoint_table() -> "LineTable[EndpointView]":
    return LineTable(ENDPOINT_COLUMNS, lambda one: f"{one.method} {one.path}", _endpoint)


def _endpoint(endpoint: "EndpointView", column: str, width: int) -> Spans:
    match column:
        case "method":
            return [(one_line(endpoint.method), METHOD_TONE.get(endpoint.method, "text"))]
        case "path":
            return [(one_line(endpoint.path), "strong")]
        case _:
            return [(one_line(endpoint.summary), "text")]


def version_table(clock: Callable[[], datetime]) -> "LineTable[VersionLineView]":
    """Newest first, as the marketplace answers."""

    def cell(version: "VersionLineView", column: str, width: int) -> Spans:
        gone = version.yanked is not None
        match column:
            case "version":
                return [(one_line(version.semver), "dim" if gone else "strong")]
            case "state":
                return [("✗ yanked", "bad")] if gone else [("● published", "ok")]
            case "when":
                return [(ago(version.published_at, clock()), "dim")]
            case "tree":
                return [(one_line(version.tree)[:8], "dim")]
            case _:
                return [(one_line(version.yanked or ""), "warn")]

    return LineTable(VERSION_COLUMNS, lambda one: one.semver, cell)
