"""An API's requests, latency and errors over the last hour, day, week or month."""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from apimarket_tui import measured
from apimarket_tui.asked import Asked
from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.panes.pane import Pane
from apimarket_tui.widgets.chart import Chart, Charted
from apimarket_tui.widgets.figures import Figures
from apimarket_tui.widgets.lines import LineView, TextLines
from apimarket_tui.widgets.tabs import TabLine

if TYPE_CHECKING:
    from local_server.wire.analytics import StatsView
    from local_server.wire.apis import ApiView

WINDOWS = ("1h", "24h", "7d", "30d")
REFRESH_S = 5.0
PAGE = 10
"""Points."""
MEMORY_SAMPLES = 60


class MetricsPane(Pane, can_focus=True):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home", "point(-1000)", show=False),
        Binding("pageup", f"point(-{PAGE})", show=False),
        Binding("pagedown", f"point({PAGE})", show=False),
        Binding("end", "unpoint", show=False),
    ]

    def __init__(self, current: "Callable[[], ApiView | None]") -> None:
        super().__init__(current, id="metrics")
        self._asked: Asked[StatsView] | None = None
        """Of the window that is shown."""
        self._cursor: int | None = None
        self._memory: list[int] = []

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
        self._asked = Asked(self.market.kept, ("stats", api.id, self.window), self.market.clock)
        self._draw()
        self._ask()

    @property
    def _stats(self) -> "StatsView | None":
        return self._asked.found if self._asked is not None else None

    def _refresh(self) -> None:
        if self.in_view:
            self._ask()

    def _ask(self) -> None:
        self.run_worker(self._load(), name="stats", group="stats", exclusive=True)

    async def _load(self) -> None:
        api, asked = self.api, self._asked
        if api is None or asked is None:
            return
        stats = await attempt(self.market.backend.stats(api.name, self.window))
        if not self.standing:
            return
        asked.take(stats)
        if isinstance(stats, Trouble):
            self.report(stats)
            self._show_age()
            return
        if stats.usage is not None:
            self._memory = [*self._memory, stats.usage.memory_bytes][-MEMORY_SAMPLES:]
        if asked is self._asked:
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
        self.query_one(Figures).show(measured.figures(stats, self._memory))
        self._draw_charts(stats)
        for view, lines in (
            ("#errors", measured.errors(stats, self.market.clock())),
            ("#paths", measured.paths(stats)),
        ):
            shown = TextLines(lines)
            self.query_one(view, LineView).show(shown, 1)

    def _draw_charts(self, stats: "StatsView") -> None:
        times = [measured.mark(stats.window, point.starts_at) for point in stats.points]
        self.query_one("#requests-chart", Chart).show(measured.requests_chart(stats, times), self._cursor)
        self.query_one("#latency-chart", Chart).show(measured.latency_chart(stats, times), self._cursor)

    def _show_age(self) -> None:
        if not self.standing or not self.display:
            return
        if self._asked is None:
            return
        zone = " · UTC " if self._asked.found is not None else " "
        self.query_one("#age", Static).update(self._asked.age() + Content.styled(zone, "$dim"))
