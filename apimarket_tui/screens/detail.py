"""One API in tabs. Pushed over Local; follows the API's own events while open."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import ContentSwitcher

from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import one_line
from apimarket_tui.history import LogHistory
from apimarket_tui.live import following
from apimarket_tui.panes.files import FilesPane
from apimarket_tui.panes.keys import KeysPane
from apimarket_tui.panes.metrics import MetricsPane
from apimarket_tui.panes.pane import Pane
from apimarket_tui.panes.plans import PlansPane
from apimarket_tui.panes.requests import RequestsPane
from apimarket_tui.panes.settings import SettingsPane
from apimarket_tui.panes.versions import VersionsPane
from apimarket_tui.screens.frame import bindings, stands
from apimarket_tui.screens.log_screen import LogScreen
from apimarket_tui.widgets.bars import Rule, TopBar
from apimarket_tui.widgets.lines import LineView
from apimarket_tui.widgets.logs import LogPane
from apimarket_tui.widgets.overview import Overview
from apimarket_tui.widgets.tabs import TabLine
from apimarket_tui.words import condition

if TYPE_CHECKING:
    from apimarket_tui.actions import Action
    from local_server.wire.apis import ApiView, ExecutionView, LogLineView

TABS = ("overview", "logs", "requests", "metrics", "files", "versions", "keys", "plans", "settings")
LOG_START = 5_000
"""Lines read when the screen opens; later ones come as events."""
REQUESTS_KEPT = 1_000
BATCH_S = 0.1


class DetailScreen(LogScreen):
    SCOPES: ClassVar[tuple[str, ...]] = (*TABS[1:], "detail", "row", "global")
    TRAIL: ClassVar[tuple[str, ...]] = ("local", "…")
    BINDINGS: ClassVar[list[BindingType]] = bindings(SCOPES)

    def __init__(self, api_id: str, tab: str = "overview") -> None:
        super().__init__()
        self.api_id = api_id
        self._first_tab = tab
        self._history = LogHistory()
        self._requests: list[ExecutionView] = []
        self._new_lines: list[LogLineView] = []
        self._log_is_read = False
        self._arrived = asyncio.Event()
        self._known_generation: tuple[object, ...] = ()

    def body(self) -> ComposeResult:
        yield TabLine([tab.title() for tab in TABS], id="tabs")
        yield Rule(id="heading")
        with ContentSwitcher(initial=self._first_tab):
            with VerticalScroll(id="overview"):
                yield Overview(self.market.clock)
            yield LogPane(self._history, id="logs")
            yield RequestsPane(self.current_api)
            yield MetricsPane(self.current_api)
            yield FilesPane(self.current_api)
            yield VersionsPane(self.current_api)
            yield KeysPane(self.current_api)
            yield PlansPane(self.current_api)
            yield SettingsPane(self.current_api)

    def on_mount(self) -> None:
        super().on_mount()
        self.tabs.active = TABS.index(self._first_tab)
        self.show_fleet()
        self.focus_main()
        if self.pane is not None:
            self.pane.opened()
        self.run_worker(self._keep_stream(), name="detail events")
        self.run_worker(self._keep_batches(), name="detail batches")
        self.set_interval(1.0, self._tick)

    def _tick(self) -> None:
        if self.is_current:
            self.show_standing()
            if self.tab == "overview":
                self.query_one(Overview).refresh_ages()

    # -- Following the API

    async def _load(self) -> None:
        api = self.current_api()
        if api is None:
            return
        await self._load_log(api)
        requests = await attempt(self.market.backend.requests(api.name, limit=REQUESTS_KEPT))
        await self._load_generations()
        if isinstance(requests, Trouble):
            self.market.live.report(requests)
        if not isinstance(requests, Trouble):
            self._requests = list(requests)
        self._arrived.set()

    async def _load_log(self, api: "ApiView") -> None:
        """Lines that come meanwhile wait, and are not shown twice."""
        self._log_is_read = False
        lines = await attempt(self.market.backend.logs(api.name, limit=LOG_START))
        self._log_is_read = True
        if isinstance(lines, Trouble):
            self.market.live.report(lines)
        elif stands(self):
            past = {(line.at, line.stream, line.text) for line in lines}
            came = [line for line in self._new_lines if (line.at, line.stream, line.text) not in past]
            self._new_lines = [*lines, *came]
            self.query_one(LogPane).clear()

    async def _load_generations(self) -> None:
        api = self.current_api()
        if api is None:
            return
        generations = await attempt(self.market.backend.generations(api.name))
        if not isinstance(generations, Trouble) and stands(self):
            self.query_one(Overview).show_generations(generations)

    async def _keep_stream(self) -> None:
        """The stream is opened before the past is read, so that nothing falls between the two."""
        loading = asyncio.create_task(self._load(), name="detail load")
        try:
            async for event in following(self.market.backend, (f"log:{self.api_id}", f"requests:{self.api_id}")):
                if event.topic == "log":
                    self._new_lines += event.lines
                elif event.topic == "requests":
                    self._requests[:0] = reversed(event.requests)
                    del self._requests[REQUESTS_KEPT:]
                elif event.topic == "resync":
                    await loading
                    loading = asyncio.create_task(self._load(), name="detail load")
                self._arrived.set()
        finally:
            loading.cancel()

    async def _keep_batches(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if not stands(self):
                return
            if self._log_is_read:
                lines, self._new_lines = self._new_lines, []
                self.query_one(LogPane).take(lines)
            self.query_one(RequestsPane).show_rows(list(self._requests))
            self.tabs.retitle(2, f"Requests {len(self._requests)}" if self._requests else "Requests")
            await asyncio.sleep(BATCH_S)

    async def lines_of(self, generation: int) -> "Sequence[LogLineView]":
        api = self.current_api()
        if api is None:
            return ()
        lines = await attempt(self.market.backend.logs(api.name, LOG_START, generation=generation))
        if isinstance(lines, Trouble):
            self.market.live.report(lines)
            return ()
        return lines

    # -- Showing

    def current_api(self) -> "ApiView | None":
        return self.market.live.fleet.get(self.api_id)

    def show_fleet(self) -> None:
        api = self.current_api()
        if api is None:
            if self.market.live.loaded and self.is_current:
                self.market.tell("This API was removed")
                self.app.pop_screen()
            return
        self.query_one(TopBar).set_trail(("local", api.name))
        self.query_one("#heading", Rule).show(*_heading(api))
        self.query_one(Overview).show(api, self.market.live.fleet.traffic(api))
        self.show_keys()
        generation = (api.generation.number, api.generation.outcome) if api.generation else ()
        if generation != self._known_generation:
            self._known_generation = generation
            self.run_worker(self._load_generations(), group="generations", exclusive=True)
            self.query_one(FilesPane).moved()

    # -- Tabs

    @property
    def tabs(self) -> TabLine:
        return self.query_one("#tabs", TabLine)

    @property
    def pane(self) -> Pane | None:
        """The open tab, where it is one that acts by itself."""
        return next((pane for pane in self.query(Pane) if pane.id == self.tab), None)

    def doer(self, action: "Action") -> object:
        return self.pane if action.scope == self.tab and self.pane is not None else self

    @property
    def tab(self) -> str:
        return TABS[self.tabs.active]

    def scopes(self) -> tuple[str, ...]:
        own = (self.tab,) if self.tab != "overview" else ()
        return (*own, "detail", "row", "global")

    def open_tab(self, tab: str) -> None:
        self.tabs.active = TABS.index(tab)

    @on(TabLine.Changed, "#tabs")
    def _tab_changed(self) -> None:
        self.query_one(ContentSwitcher).current = self.tab
        self.show_keys()
        self.focus_main()
        if self.pane is not None:
            self.pane.opened()

    def focus_main(self) -> None:
        if self.tab == "overview":
            self.query_one("#overview").focus()
        elif self.tab == "logs":
            self.query_one(LogPane).query_one(LineView).focus()
        elif self.pane is not None:
            self.pane.main().focus()

    def do_next_tab(self) -> None:
        self.tabs.go(1)

    def do_previous_tab(self) -> None:
        self.tabs.go(-1)


def _heading(api: "ApiView") -> tuple[Content, Content]:
    state = condition(api)
    tone = {"ok": "$success", "warn": "$warning", "bad": "$error"}.get(state.tone, "$dim")
    left = Content.assemble((state.text, tone), (f"  {one_line(api.runtime)}  v{one_line(api.version)}", "$dim"))
    engine = Content.styled(one_line(api.engine), "$dim")
    if not api.isolated:
        engine += Content.styled(" · no isolation", "$warning")
    return left, engine
