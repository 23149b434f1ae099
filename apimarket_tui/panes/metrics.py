"""An API's requests, latency and errors over the last hour, day, week or month."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import one_line
from apimarket_tui.panes.pane import Pane
from apimarket_tui.plot import Series
from apimarket_tui.widgets.chart import Chart, Charted
from apimarket_tui.widgets.figures import Figures
from apimarket_tui.widgets.lines import LineView, TextLines
from apimarket_tui.widgets.tabs import TabLine
from apimarket_tui.words import Spans, Tone, ago, count, millis, rate, share, size, sparkline, status_tone

if TYPE_CHECKING:
    from local_server.wire.analytics import StatsPoint, StatsView
    from local_server.wire.apis import ApiView

WINDOWS = ("1h", "24h", "7d", "30d")
STEPS = {"1h": timedelta(minutes=1), "24h": timedelta(hours=1), "7d": timedelta(hours=1), "30d": timedelta(days=1)}
REFRESH_S = 5.0
MEMORY_SAMPLES = 60
TREND_FROM = 8
"""Fewer samples are no trend."""
CLASSES: tuple[tuple[str, Tone], ...] = (("2xx", "ok"), ("3xx", "primary"), ("4xx", "warn"), ("5xx", "bad"))
"""The worst last: it lies at the bottom of the bars."""


class MetricsPane(Pane, can_focus=True):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home", "point(-1000)", show=False),
        Binding("end", "unpoint", show=False),
    ]

    def __init__(self, current: "Callable[[], ApiView | None]") -> None:
        super().__init__(current, id="metrics")
        self._stats: StatsView | None = None
        self._read_at: datetime | None = None
        self._cursor: int | None = None
        self._memory: list[int] = []
        self._trouble = ""

    def compose(self) -> ComposeResult:
        with Horizontal(id="window-line"):
            yield TabLine(WINDOWS, id="windows")
            yield Static(id="age")
        yield Figures(id="figures")
        yield Chart(id="requests-chart")
        yield Chart(id="latency-chart")
        with Horizontal(id="groups"):
            yield LineView(id="errors")
            yield LineView(id="paths")

    def on_mount(self) -> None:
        for view in self.query(LineView):
            view.can_focus = False
        self.set_interval(REFRESH_S, self._refresh)
        self.set_interval(1.0, self._show_age)
        self._draw()

    # -- Asking

    @property
    def window(self) -> str:
        return WINDOWS[self.query_one("#windows", TabLine).active]

    def opened(self) -> None:
        """What is known of this window at once, then what the server says."""
        api = self.api
        if api is None:
            return
        kept = self._kept(api)
        self._stats, self._read_at = kept or (None, None)
        self._draw()
        self._ask()

    def _kept(self, api: "ApiView") -> "tuple[StatsView, datetime] | None":
        from local_server.wire.analytics import StatsView

        return self.market.kept.get(("stats", api.id, self.window), StatsView)

    def _refresh(self) -> None:
        if self.in_view:
            self._ask()

    def _ask(self) -> None:
        self.run_worker(self._load(), name="stats", group="stats", exclusive=True)

    async def _load(self) -> None:
        api, window = self.api, self.window
        if api is None:
            return
        stats = await attempt(self.market.backend.stats(api.name, window))
        if not self.standing:
            return
        if isinstance(stats, Trouble):
            self.report(stats)
            self._trouble = stats.detail
            self._show_age()
            return
        self._trouble = ""
        self.market.kept.put(("stats", api.id, window), stats)
        if window == self.window:
            self._stats, self._read_at = stats, self.market.clock()
            if stats.usage is not None:
                self._memory = [*self._memory, stats.usage.memory_bytes][-MEMORY_SAMPLES:]
            self._draw()

    # -- Moving

    def main(self) -> Widget:
        return self

    def do_window(self) -> None:
        self.query_one("#windows", TabLine).go(1)

    @on(TabLine.Changed, "#windows")
    def _window_changed(self, event: TabLine.Changed) -> None:
        event.stop()
        self._cursor = None
        self.opened()

    def do_earlier(self) -> None:
        self.action_point(-1)

    def do_later(self) -> None:
        self.action_point(1)

    def action_point(self, by: int) -> None:
        if self._stats is None or not self._stats.points:
            return
        last = len(self._stats.points) - 1
        self._cursor = max(0, min(last, (last + 1 if self._cursor is None else self._cursor) + by))
        self._draw_charts(self._stats)

    def action_unpoint(self) -> None:
        self._cursor = None
        if self._stats is not None:
            self._draw_charts(self._stats)

    @on(Chart.Pointed)
    def _pointed(self, event: Chart.Pointed) -> None:
        self._cursor = event.point
        self.action_point(0)

    # -- Drawing

    def _draw(self) -> None:
        stats = self._stats
        self._show_age()
        if stats is None:
            self.query_one(Figures).show([Content.styled("asking…", "$dim")])
            for chart in self.query(Chart):
                chart.show(Charted("", ()), None)
            return
        self.query_one(Figures).show(_figures(stats, self._memory))
        self._draw_charts(stats)
        for view, lines in (("#errors", _errors(stats, self.market.clock())), ("#paths", _paths(stats))):
            shown = TextLines(lines)
            self.query_one(view, LineView).show(shown, 1)

    def _draw_charts(self, stats: "StatsView") -> None:
        times = [_mark(stats.window, point.starts_at) for point in stats.points]
        self.query_one("#requests-chart", Chart).show(_requests_chart(stats, times), self._cursor)
        self.query_one("#latency-chart", Chart).show(_latency_chart(stats, times), self._cursor)

    def _show_age(self) -> None:
        if not self.standing or not self.display:
            return
        if self._trouble:
            text = Content.styled(f"✗ {one_line(self._trouble)} ", "$error")
        elif self._read_at is None:
            text = Content("")
        else:
            text = Content.styled(f"as of {ago(self._read_at, self.market.clock())} · UTC ", "$dim")
        self.query_one("#age", Static).update(text)


def _figures(stats: "StatsView", memory: list[int]) -> list[Content]:
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


def _requests_chart(stats: "StatsView", times: list[str]) -> Charted:
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


def _latency_chart(stats: "StatsView", times: list[str]) -> Charted:
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


def _mark(window: str, at: datetime) -> str:
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


def _errors(stats: "StatsView", now: datetime) -> list[Spans]:
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


def _paths(stats: "StatsView") -> list[Spans]:
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
