"""What was measured of an API, as figures, charts and lines. Pure."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from textual.content import Content

from apimarket_tui.clean import one_line
from apimarket_tui.plot import Series
from apimarket_tui.widgets.chart import Charted
from apimarket_tui.words import Spans, Tone, ago, count, millis, rate, share, size, sparkline, status_tone

if TYPE_CHECKING:
    from local_server.wire.analytics import StatsPoint, StatsView

STEPS = {"1h": timedelta(minutes=1), "24h": timedelta(hours=1), "7d": timedelta(hours=1), "30d": timedelta(days=1)}
TREND_FROM = 8
"""Fewer samples are no trend."""
CLASSES: tuple[tuple[str, Tone], ...] = (("2xx", "ok"), ("3xx", "primary"), ("4xx", "warn"), ("5xx", "bad"))
"""The worst last: it lies at the bottom of the bars."""


def figures(stats: "StatsView", memory: list[int]) -> list[Content]:
    errors = stats.error_rate or 0.0
    figures = [
        Content.assemble((count(stats.requests), "bold"), (" requests ", "$dim"), f"{rate(stats.requests_per_s)}/s")
    ]
    if stats.requests:
        figures.append(
            Content.assemble(
                ("ok ", "$dim"),
                (share(stats.success_rate or 0.0), "$success"),
                ("  errors ", "$dim"),
                (share(errors), "$error" if errors >= 0.05 else "$warning" if errors > 0 else "$foreground"),
            )
        )
        percentiles = (("p50", stats.p50_ms), ("p95", stats.p95_ms), ("p99", stats.p99_ms))
        figures.append(Content("  ").join([Content.assemble((f"{n} ", "$dim"), millis(ms)) for n, ms in percentiles]))
    if stats.usage is not None:
        trend = sparkline(memory, min(len(memory), 12)) if len(memory) >= TREND_FROM else ""
        figures.append(
            Content.assemble(
                ("memory ", "$dim"),
                (f"{trend} " if trend else "", "$accent"),
                size(stats.usage.memory_bytes),
                ("  cpu ", "$dim"),
                f"{stats.usage.cpu_percent:.1f}%",
            )
        )
    if stats.requests:
        figures.append(
            Content.assemble(("in ", "$dim"), size(stats.bytes_in), ("  out ", "$dim"), size(stats.bytes_out))
        )
    if stats.popularity.of > 1 and stats.requests:
        popular = stats.popularity
        figures.append(
            Content.styled(f"#{popular.rank} of your {popular.of} APIs, {share(popular.share)} of calls", "$dim")
        )
    return figures


def _seconds(stats: "StatsView", point: "StatsPoint") -> float:
    """How long a point lasted; the last is still going on."""
    whole = STEPS[stats.window].total_seconds()
    return float(max(min(whole, (stats.until - point.starts_at).total_seconds()), 1.0))


def requests_chart(stats: "StatsView", times: list[str]) -> Charted:
    lasted = [_seconds(stats, point) for point in stats.points]
    known = [name for name, _ in CLASSES if stats.statuses.get(name)]
    series = [
        Series(
            name,
            tone,
            tuple(point.statuses.get(name, 0) / s for point, s in zip(stats.points, lasted, strict=True)),
        )
        for name, tone in CLASSES
        if name in known
    ]

    def reading(index: int) -> Spans:
        point = stats.points[index]
        spans: Spans = [(f"{_moment(stats.window, point.starts_at)}  ", "primary")]
        spans += [(f"{count(point.requests)} requests  {rate(point.requests / lasted[index])}/s", "text")]
        spans += [(f"  {name} {count(number)}", _class_tone(name)) for name, number in point.statuses.items()]
        return [*spans, (" ", "text")]

    silence: list[Series] = [Series("no requests", "dim", (0.0,) * len(stats.points))]
    return Charted("Requests/s", series or silence, "bars", times, rate, reading)


def latency_chart(stats: "StatsView", times: list[str]) -> Charted:
    points = stats.points
    series = (
        Series("p99", "bad", tuple(point.p99_ms for point in points)),
        Series("p95", "warn", tuple(point.p95_ms for point in points)),
        Series("p50", "ok", tuple(point.p50_ms for point in points)),
    )

    def reading(index: int) -> Spans:
        point = points[index]
        if point.p50_ms is None:
            return [("nothing answered ", "dim")]
        return [
            (f"p50 {millis(point.p50_ms)}", "ok"),
            (f"  p95 {millis(point.p95_ms)}", "warn"),
            (f"  p99 {millis(point.p99_ms)} ", "bad"),
        ]

    return Charted("Latency", series, "lines", times, millis, reading)


def _class_tone(name: str) -> Tone:
    return next((tone for known, tone in CLASSES if known == name), "dim")


def mark(window: str, at: datetime) -> str:
    """What stands below a point: round times only."""
    if window == "1h":
        return f"{at:%H:%M}" if at.minute % 10 == 0 else ""
    if window == "24h":
        return f"{at:%H:%M}" if at.hour % 4 == 0 else ""
    if window == "7d":
        return f"{at:%a %d}" if at.hour == 0 else ""
    return f"{at:%d %b}" if at.day % 5 == 1 else ""


def _moment(window: str, at: datetime) -> str:
    return f"{at:%H:%M}" if window in ("1h", "24h") else f"{at:%a %d %H:%M}" if window == "7d" else f"{at:%a %d %b}"


def errors(stats: "StatsView", now: datetime) -> list[Spans]:
    lines: list[Spans] = [[(" What failed", "strong")]]
    if not stats.errors:
        return [*lines, [(" nothing", "dim")]]
    for group in stats.errors:
        lines.append(
            [
                (f" {count(group.requests):>5} ", "text"),
                (f"{group.status or '–':>3} ", status_tone(group.status)),
                (f"{ago(group.last_at, now):>8}  ", "dim"),
                (f"{one_line(group.method)} {one_line(group.path)}", "text"),
                (f"  {one_line(group.outcome).replace('_', ' ')}", "dim"),
            ]
        )
    return lines


def paths(stats: "StatsView") -> list[Spans]:
    lines: list[Spans] = [[(" Busiest paths", "strong")]]
    top = max((path.requests for path in stats.paths), default=0)
    for path in stats.paths:
        cells = round(path.requests / top * 8) if top else 0
        lines.append(
            [
                (f" {'━' * cells:<8} ", "accent"),
                (f"{count(path.requests):>5} ", "text"),
                (f"{millis(path.mean_ms):>6}  ", "dim"),
                (one_line(path.path), "text"),
            ]
        )
    return lines if stats.paths else [*lines, [(" none", "dim")]]
