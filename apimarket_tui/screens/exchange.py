"""One request and its answer, whole; sent again; and what another generation would answer."""

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content

from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import clean, one_line
from apimarket_tui.exchanges import compare_lines, exchange_lines, replay_lines
from apimarket_tui.screens.frame import FrameScreen, bindings, stands
from apimarket_tui.widgets.bars import Rule, TopBar
from apimarket_tui.widgets.lines import LineView, TextLines
from apimarket_tui.widgets.tabs import TabLine
from apimarket_tui.words import Spans, millis, status_tone

if TYPE_CHECKING:
    from local_server.wire.apis import ApiView, ExecutionView
    from local_server.wire.exchanges import ExchangeView

TABS = ("Exchange", "Replay", "Difference")
TONES = {"ok": "$success", "warn": "$warning", "bad": "$error"}


class ExchangeScreen(FrameScreen):
    SCOPES: ClassVar[tuple[str, ...]] = ("exchange", "global")
    TRAIL: ClassVar[tuple[str, ...]] = ("local", "…", "request")
    BINDINGS: ClassVar[list[BindingType]] = bindings(SCOPES)

    def __init__(self, api_id: str, request: "ExecutionView") -> None:
        super().__init__()
        self.api_id, self._request = api_id, request
        self._exchange: ExchangeView | None = None
        self._texts: dict[str, list[Spans]] = {
            "Exchange": [[("asking…", "dim")]],
            "Replay": [[("p", "primary"), (" sends the request again to what serves now", "dim")]],
            "Difference": [[("d", "primary"), (" compares what another generation answers", "dim")]],
        }

    def body(self) -> ComposeResult:
        yield TabLine(TABS, id="parts")
        yield Rule(id="what")
        yield LineView(id="text")

    def on_mount(self) -> None:
        api = self.current_api()
        self.query_one(TopBar).set_trail(("local", api.name if api else "…", "request"))
        request = self._request
        tone = TONES[status_tone(request.status)]
        left = Content.assemble(
            (f"{one_line(request.method)} {one_line(request.path)}  ", "$foreground"),
            (str(request.status or "–"), f"bold {tone}"),
            (f"  {millis(request.total_ms)}  {request.started_at:%H:%M:%S}", "$dim"),
        )
        self.query_one("#what", Rule).show(left, Content.styled(request.version or f"g{request.generation}", "$accent"))
        self._show()
        self.focus_main()
        self.run_worker(self._load(), name="exchange")

    def current_api(self) -> "ApiView | None":
        return self.market.live.fleet.get(self.api_id)

    def focus_main(self) -> None:
        self.query_one("#text").focus()

    # -- Showing

    @property
    def part(self) -> str:
        return TABS[self.query_one("#parts", TabLine).active]

    @on(TabLine.Changed)
    def _show(self) -> None:
        text = TextLines(self._texts[self.part])
        self.query_one("#text", LineView).show(text, text.widest)

    def _put(self, part: str, lines: list[Spans]) -> None:
        """New text of a part, which is turned to unless it is the first."""
        self._texts[part] = lines
        tabs = self.query_one("#parts", TabLine)
        if self.part == part or part == "Exchange":
            self._show()
        else:
            tabs.active = TABS.index(part)

    async def _load(self) -> None:
        api = self.current_api()
        if api is None:
            return
        exchange = await attempt(self.market.backend.exchange(api.name, self._request.id))
        if not stands(self):
            return
        if isinstance(exchange, Trouble):
            self.market.live.report(exchange)
            self._put("Exchange", _trouble_lines(exchange))
            return
        self._exchange = exchange
        self._put("Exchange", exchange_lines(exchange))

    # -- Acting

    def do_next_part(self) -> None:
        self.query_one("#parts", TabLine).go(1)

    def do_previous_part(self) -> None:
        self.query_one("#parts", TabLine).go(-1)

    def _may_replay(self, part: str) -> bool:
        if self._exchange is None or not self._exchange.replayable:
            why = self._exchange.why_not if self._exchange is not None else "The exchange is not kept"
            self._put(part, [[("✗ ", "bad"), (one_line(why), "text")]])
            return False
        return True

    def do_replay_exchange(self) -> None:
        if self._may_replay("Replay"):
            self._put("Replay", [[("⟳ sending it again…", "warn")]])
            self.run_worker(self._replay(), name="replay", group="replay", exclusive=True)

    async def _replay(self) -> None:
        api = self.current_api()
        if api is None:
            return
        answer = await attempt(self.market.backend.replay_exchange(api.name, self._request.id, None))
        if stands(self):
            self._put("Replay", _trouble_lines(answer) if isinstance(answer, Trouble) else replay_lines(answer))

    def do_compare(self) -> None:
        if self._may_replay("Difference"):
            told = "which generation answers it too, beside what serves now, as: 13"
            self.ask(told, str(self._likely_generation() or ""), self.answered)

    def _likely_generation(self) -> int:
        """The one that answered; where it still serves, the one before. Of what a version answered, the directory's."""
        api, answered = self.current_api(), self._request.generation
        serving = api.serving if api is not None else None
        if self._request.version:
            return serving or 0
        return answered if answered != serving else max(answered - 1, 1)

    def answered(self, text: str) -> str:
        number = text.strip().removeprefix("g")
        if not number.isdecimal() or not 0 < int(number) < 2**31:
            return f"{text.strip()!r} is no generation; write its number, as: 13"
        self._put("Difference", [[(f"⟳ asking g{int(number)} and what serves now…", "warn")]])
        self.run_worker(self._compare(int(number)), name="compare", group="compare", exclusive=True)
        return ""

    async def _compare(self, generation: int) -> None:
        api = self.current_api()
        if api is None:
            return
        answer = await attempt(self.market.backend.compare_exchange(api.name, self._request.id, generation))
        if stands(self):
            self._put("Difference", _trouble_lines(answer) if isinstance(answer, Trouble) else compare_lines(answer))

    def do_copy_exchange(self) -> None:
        if self._exchange is None or not self._exchange.curl:
            self.market.tell("There is no curl command for it", bad=True)
            return
        self.app.copy_to_clipboard(clean(self._exchange.curl))
        self.market.tell("copied as curl, with variables in the place of secrets")

    def do_take_exchange(self) -> None:
        api, exchange = self.current_api(), self._exchange
        if api is None:
            return
        query = f"?{exchange.query}" if exchange is not None and exchange.query else ""
        opening = self.market.open_console(api, self._request.method, self._request.path + query)
        self.market.run_worker(opening, group="console")


def _trouble_lines(trouble: Trouble) -> list[Spans]:
    return [[("✗ ", "bad"), (one_line(trouble.detail), "text")], [("  ", "text"), (one_line(trouble.hint), "dim")]]
