"""Mode 1: every API, live, and a look at the selected one below."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.live import following
from apimarket_tui.screens.frame import FrameScreen, bindings, stands
from apimarket_tui.widgets.bars import TopBar
from apimarket_tui.widgets.peek import LATEST, Peek
from apimarket_tui.widgets.prompt import Prompt
from apimarket_tui.widgets.table import Column, LineTable
from apimarket_tui.words import (
    NONE,
    Spans,
    condition,
    language,
    millis,
    rate,
    reload_note,
    share,
    size,
    sparkline,
)

if TYPE_CHECKING:
    from local_server.wire.apis import ApiView, TrafficView

COLUMNS = (
    Column("name", "NAME", 10, 26),
    Column("lang", "LANG", 4, 4),
    Column("state", "STATE", 10, 11),
    Column("rate", "REQ/S", 5, 5, right=True, rank=1),
    Column("spark", "LAST MINUTE", 6, 20, rank=5),
    Column("p95", "P95", 5, 6, right=True, rank=2),
    Column("errors", "ERR", 4, 5, right=True, rank=3),
    Column("memory", "MEM", 7, 7, right=True, rank=6),
    Column("reload", "RELOAD", 21, 70),
)
PEEK_AFTER_S = 0.15
"""The cursor rests this long on an API before its requests are asked for."""


@dataclass(frozen=True, slots=True)
class Held:
    """Every API and its figures at one moment."""

    at: datetime
    apis: "Mapping[str, ApiView]"
    traffic: "Mapping[str, TrafficView]"


class LocalScreen(FrameScreen):
    SCOPES: ClassVar[tuple[str, ...]] = ("local", "row", "global")
    TRAIL: ClassVar[tuple[str, ...]] = ("local",)
    BINDINGS: ClassVar[list[BindingType]] = bindings(SCOPES)

    def __init__(self) -> None:
        super().__init__()
        self._filter = ""
        self._peek_step = 0
        self._held: Held | None = None
        """What is shown while the figures are frozen; None: what is."""

    def body(self) -> ComposeResult:
        with Vertical(id="apis"):
            yield LineTable["ApiView"](COLUMNS, lambda api: api.id, self._cell, titles=_title, id="table")
            yield Static(id="nothing")
        yield Peek()

    @property
    def table(self) -> "LineTable[ApiView]":
        return self.query_one("#table", LineTable)

    def on_mount(self) -> None:
        super().on_mount()
        self.table.focus()
        self.show_fleet()
        self.set_interval(1.0, self._tick)

    def _tick(self) -> None:
        """Ages grow even when nothing happens."""
        if self.is_current and self.market.live.loaded:
            self.table.refresh()
            self.show_standing()

    def current_api(self) -> "ApiView | None":
        """As it is, also while the figures are frozen."""
        shown = self.table.selected
        return self.market.live.fleet.get(shown.id) if shown is not None else None

    def focus_main(self) -> None:
        self.table.focus()

    # -- Showing

    def show_fleet(self) -> None:
        if not self.is_mounted:
            return
        live = self.market.live
        rows = live.fleet.matching(self._filter)
        if self._held is not None:
            rows = [self._held.apis[row.id] for row in rows if row.id in self._held.apis]
        self.table.show_rows(rows)
        self._show_nothing(len(rows))
        prompt = self.query_one(Prompt)
        if prompt.display and prompt.kind == "filter":
            prompt.note(f"{len(rows)} of {len(live.fleet)}")
        self.query_one(Peek).show(self.current_api())
        self._show_marks()
        self.show_keys()

    def _show_nothing(self, count: int) -> None:
        live = self.market.live
        self.table.display = bool(count)
        nothing = self.query_one("#nothing", Static)
        nothing.display = not count
        if count:
            return
        if not live.loaded:
            text = Content.styled("connecting…" if live.lost is None else "waiting for the server…", "$dim")
        elif self._filter:
            text = Content.assemble(("No API matches ", "$dim"), self._filter, (".  esc shows all", "$dim"))
        else:
            text = Content.assemble(
                ("No APIs yet\n\n", "bold"),
                ("n", "bold $primary"),
                ("  make one from a template, or add a directory\n", "$dim"),
                ("?", "bold $primary"),
                ("  all keys", "$dim"),
            )
        nothing.update(text)

    def _cell(self, api: "ApiView", column: str, width: int) -> Spans:
        state = condition(api)
        traffic = self._held.traffic[api.id] if self._held is not None else self.market.live.fleet.traffic(api)
        stopped = api.state == "stopped"
        match column:
            case "name":
                return [(api.name, "dim" if stopped else "strong")]
            case "lang":
                return [(language(api.runtime), "dim")]
            case "state":
                return [(state.text, state.tone)]
            case "rate":
                return [(rate(traffic.requests_per_s), "text" if traffic.requests_per_s else "dim")]
            case "spark":
                return [(sparkline(traffic.history, width), "accent")]
            case "p95":
                return [(millis(traffic.p95_ms), "dim" if traffic.p95_ms is None else "text")]
            case "errors":
                return _errors(traffic.error_rate, quiet=traffic.p95_ms is None)
            case "memory":
                return [(size(api.usage.memory_bytes) if api.usage else NONE, "dim")]
            case _:
                return reload_note(api, self._held.at if self._held is not None else self.market.clock())

    # -- Acting

    @on(LineTable.Moved)
    def _moved(self) -> None:
        self.query_one(Peek).show(self.current_api())
        self.show_keys()

    @on(LineTable.Chosen)
    def _chosen(self) -> None:
        self.do_open()

    @on(Peek.Wanted)
    def _peek_wanted(self, event: Peek.Wanted) -> None:
        self.workers.cancel_group(self, "peek")
        if event.api is not None:
            self.run_worker(self._keep_peek(event.api), name="peek", group="peek")

    async def _keep_peek(self, api: "ApiView") -> None:
        """Show the latest requests of one API, and each new one; cancelled when another is looked at."""
        await asyncio.sleep(PEEK_AFTER_S)
        backend = self.market.backend
        latest = await attempt(backend.requests(api.name, limit=LATEST))
        if not stands(self):
            return
        peek = self.query_one(Peek)
        if isinstance(latest, Trouble):
            self.market.live.report(latest)
            latest = []
        peek.show_requests(api.id, latest, replace=True)
        async for event in following(backend, (f"requests:{api.id}",)):
            if event.topic == "requests" and stands(self):
                peek.show_requests(api.id, event.requests, replace=False)

    def filtered(self, text: str) -> None:
        self._filter = text
        self.show_fleet()

    def do_filter(self) -> None:
        self.open_prompt("filter", self._filter)
        self.show_fleet()

    def do_open(self) -> None:
        api = self.current_api()
        if api is not None:
            self.market.open_api(api)

    def do_mark(self) -> None:
        self.table.mark()
        self._show_marks()

    def do_hold(self) -> None:
        fleet = self.market.live.fleet
        if self._held is None:
            apis = {api.id: api for api in fleet.all()}
            self._held = Held(self.market.clock(), apis, {id: fleet.traffic(api) for id, api in apis.items()})
        else:
            self._held = None
        self.show_fleet()
        self.table.refresh()

    def do_bulk(self) -> None:
        marked = [api for api in self.market.live.fleet.all() if api.id in self.table.marks]
        shown = {api.id for api in self.table.rows}
        apis = marked or [api for api in self.market.live.fleet.all() if api.id in shown]
        if apis:
            self.market.bulk_acts.choose(apis)

    def _show_marks(self) -> None:
        known = {api.id for api in self.market.live.fleet.all()}
        self.table.marks &= known
        marks = len(self.table.marks)
        told = [f"{marks} marked"] if marks else []
        if self._held is not None:
            told.append("❄ frozen, f goes on")
        self.query_one(TopBar).set_trail((*self.TRAIL, *told))

    def do_new(self) -> None:
        self.market.open_wizard()

    def do_grow(self) -> None:
        self._resize_peek(1)

    def do_shrink(self) -> None:
        self._resize_peek(-1)

    def _resize_peek(self, by: int) -> None:
        self._peek_step = max(-1, min(2, self._peek_step + by))
        peek = self.query_one(Peek)
        peek.set_class(self._peek_step == -1, "-less")
        peek.set_class(self._peek_step == 1, "-more")
        peek.set_class(self._peek_step == 2, "-most")

    def do_back(self) -> None:
        prompt = self.query_one(Prompt)
        if not prompt.display and self.table.marks:
            self.table.unmark()
            self._show_marks()
        elif not prompt.display and self._filter:
            self.filtered("")
        else:
            super().do_back()

    def choose(self, name: str) -> None:
        """Put the cursor on an API, whatever the filter hides."""
        api = self.market.live.fleet.named(name)
        if api is None:
            return
        if api not in self.table.rows:
            self.filtered("")
        self.table.select(api.id)


def _title(column: Column, width: int) -> str:
    return "MINUTE" if column.key == "spark" and width < len(column.title) else column.title


def _errors(error_rate: float, quiet: bool) -> Spans:
    if quiet:
        return [(NONE, "dim")]
    return [(share(error_rate), "bad" if error_rate >= 0.05 else "warn" if error_rate > 0 else "dim")]
