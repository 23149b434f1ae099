"""An API's versions and its directory as rows, each with its share of the traffic. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from textual.content import Content

from apimarket_tui.clean import one_line
from apimarket_tui.widgets.table import Column
from apimarket_tui.words import NONE, Condition, Spans, ago, bar, span, state_condition

if TYPE_CHECKING:
    from local_server.wire.apis import ApiView
    from local_server.wire.versions import TrafficSplitView, VersionView

BAR_CELLS = 7
DEV = "dev"
COLUMNS = (
    Column("version", "VERSION", 8, 20),
    Column("state", "STATE", 10, 12),
    Column("traffic", "TRAFFIC", 13, 13),
    Column("channels", "CHANNELS", 10, 24, rank=2),
    Column("life", "LIFE", 13, 16),
    Column("made", "MADE", 7, 9, right=True, rank=3),
    Column("why", "", 10, 200, rank=1),
)


@dataclass(frozen=True, slots=True)
class Known:
    versions: "list[VersionView]"
    traffic: "TrafficSplitView"


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version, or the working directory."""

    target: str
    weight: int
    version: "VersionView | None" = None


def rows_of(known: Known) -> list[VersionRow]:
    """The directory first, then as the server answers: newest first."""
    weights = {share.target: share.weight for share in known.traffic.shares}
    versions = [VersionRow(one.version, weights.get(one.version, one.weight), one) for one in known.versions]
    return [VersionRow(DEV, weights.get(DEV, 0)), *versions]


def cell_of(row: VersionRow, column: str, api: "ApiView | None", now: datetime) -> Spans:
    version = row.version
    match column:
        case "version":
            return [(one_line(row.target), "accent" if version is None else "strong")]
        case "state":
            return _state(row, api)
        case "traffic":
            return _share(row.weight)
        case "channels":
            return [(" ".join(f"@{one_line(one)}" for one in version.channels) if version else "", "primary")]
        case "life":
            return _life(version, now) if version is not None else [("the directory", "dim")]
        case "made":
            return [(ago(version.created_at, now) if version else "", "dim")]
        case _:
            return _why(version)


def traffic_words(traffic: "TrafficSplitView") -> Content:
    shares = [
        Content.assemble((one_line(share.target), "bold $foreground"), (f" {share.weight} %", "$accent"))
        for share in traffic.shares
    ]
    told = Content.styled("traffic  ", "$dim") + Content("   ").join(shares)
    pending = traffic.pending
    if pending is not None:
        what = "back to" if pending.back else f"{pending.weight} % to"
        told += Content.styled(f"   ◐ {what} {one_line(pending.target)} once it is ready", "$warning")
    return told


def _state(row: VersionRow, api: "ApiView | None") -> Spans:
    if row.version is None:
        state = state_condition(api.state) if api is not None else Condition("?", NONE, "dim")
    else:
        state = state_condition(row.version.state)
    return [(state.text, state.tone)]


def _share(weight: int) -> Spans:
    if not weight:
        return [(NONE, "dim")]
    return [(bar(weight, 100, BAR_CELLS).ljust(BAR_CELLS), "accent"), (f" {weight} %", "text")]


def _life(version: "VersionView", now: datetime) -> Spans:
    if version.yanked_at is not None:
        return [("✗ yanked", "bad")]
    if version.sunset_at is not None:
        left_s = (version.sunset_at - now).total_seconds()
        return [("✗ ended", "bad")] if left_s <= 0 else [(f"! ends in {span(left_s)}", "warn")]
    if version.deprecated_at is not None:
        return [("! deprecated", "warn")]
    return [("published", "ok")] if version.published else [("made here", "dim")]


def _why(version: "VersionView | None") -> Spans:
    if version is None:
        return []
    if version.error:
        return [("✗ ", "bad"), (one_line(version.error), "text")]
    if version.yanked_at is not None:
        return [(one_line(version.yanked_reason), "dim")]
    return [(one_line(version.progress), "warn")] if version.progress else [(one_line(version.tree)[:12], "dim")]
