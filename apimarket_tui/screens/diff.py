"""How the files of an API differ between two of its states. What its directory holds is compared with each save."""

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from apimarket_tui.asked import Asked
from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import one_line
from apimarket_tui.diff_rows import COLUMNS, cell_of, heading, lines_of
from apimarket_tui.screens.frame import FrameScreen, bindings, stands
from apimarket_tui.widgets.bars import Rule, TopBar
from apimarket_tui.widgets.lines import LineView, TextLines
from apimarket_tui.widgets.table import LineTable
from apimarket_tui.widgets.worded import WordedTable

if TYPE_CHECKING:
    from local_server.wire.apis import ApiView
    from local_server.wire.versions import FileDifferenceView, TreeDifferenceView

_SAME = Content.assemble(("They hold the same files\n\n", "bold"), ("c", "bold $primary"), (" compares others", "$dim"))


class DiffScreen(FrameScreen):
    SCOPES: ClassVar[tuple[str, ...]] = ("diff", "global")
    TRAIL: ClassVar[tuple[str, ...]] = ("local", "…", "diff")
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(SCOPES),
        # Long lines are read without going to them first.
        Binding("left", "aside(-8)", show=False),
        Binding("right", "aside(8)", show=False),
    ]

    def __init__(self, api_id: str, first: str | None = None, second: str | None = None) -> None:
        """None: what the server takes in its place, a version before and the directory after."""
        super().__init__()
        self.api_id, self._first, self._second = api_id, first, second
        self._whole: dict[str, FileDifferenceView] = {}
        """Files of which all lines were asked for."""
        self._generation: tuple[object, ...] | None = None

    def body(self) -> ComposeResult:
        yield Rule(id="heading")
        table = LineTable["FileDifferenceView"](
            COLUMNS, lambda one: one.path, lambda one, column, _: cell_of(one, column)
        )
        yield WordedTable(table, _SAME, id="files")
        yield Rule(id="file-head")
        yield LineView(id="text")

    @property
    def files(self) -> "WordedTable[FileDifferenceView]":
        return self.query_one("#files", WordedTable)

    def on_mount(self) -> None:
        super().on_mount()
        api = self.current_api()
        self.query_one(TopBar).set_trail(("local", api.name if api else "…", "diff"))
        self._begin()
        self.set_interval(1.0, self._tick)

    def _tick(self) -> None:
        if self.is_current:
            self._show_heading()

    def current_api(self) -> "ApiView | None":
        return self.market.live.fleet.get(self.api_id)

    def focus_main(self) -> None:
        self.set_focus(self.files.table if self.files.table.display else None)

    # -- Asking

    def _begin(self) -> None:
        """Of these two sides: what is known at once, then what the server says."""
        key = ("diff", self.api_id, self._first or "", self._second or "")
        self._asked: Asked[TreeDifferenceView] = Asked(self.market.kept, key, self.market.clock)
        self._whole = {}
        self._show()
        self.do_ask_diff()

    def do_ask_diff(self) -> None:
        self.begin("diff", self._load)

    async def _load(self) -> None:
        api, asked = self.current_api(), self._asked
        if api is None:
            return
        answer = await attempt(self.market.backend.diff(api.name, self._first, self._second))
        if not stands(self) or asked is not self._asked:
            return
        if isinstance(answer, Trouble):
            self.market.live.report(answer)
            self.files.refuse(answer)
        if asked.take(answer):
            self._whole = {}
            self._show()
        self._show_heading()

    def show_fleet(self) -> None:
        api = self.current_api()
        generation = (api.generation.number, api.generation.outcome) if api is not None and api.generation else ()
        if self._generation is not None and generation != self._generation:
            self.do_ask_diff()
        self._generation = generation

    # -- Showing

    def _show(self) -> None:
        if self._asked.found is not None:
            self.files.show(self._asked.found.files)
            if self.focused is None:
                self.focus_main()
        self._show_heading()
        self._show_file()

    def _show_heading(self) -> None:
        found = self._asked.found
        sides = f"{self._first or 'the newest version'} → {self._second or 'what is there now'}"
        told = heading(found) if found is not None else Content.styled(one_line(sides), "$dim")
        self.query_one("#heading", Rule).show(told, self._asked.age())

    @on(LineTable.Moved)
    def _show_file(self) -> None:
        file = self.files.selected
        shown = self._whole.get(file.path, file) if file is not None else None
        text = TextLines(lines_of(shown) if shown is not None else [])
        self.query_one("#text", LineView).show(text, text.widest)
        head = self.query_one("#file-head", Rule)
        head.display = file is not None
        head.show(Content.styled(one_line(file.path) if file is not None else "", "bold $foreground"))

    # -- Acting

    def action_aside(self, columns: int) -> None:
        self.query_one(LineView).action_scroll(columns, 0)

    def do_next_file(self) -> None:
        self.files.table.action_move(1)

    def do_previous_file(self) -> None:
        self.files.table.action_move(-1)

    @on(LineTable.Chosen)
    def _read(self) -> None:
        self.query_one(LineView).focus()

    def do_all_lines(self) -> None:
        file = self.files.selected
        if file is None:
            return
        if file.complete or file.path in self._whole:
            self.market.tell("All of its lines are shown")
        else:
            self.begin("all lines", partial(self._load_whole, file.path))

    async def _load_whole(self, path: str) -> None:
        api, asked = self.current_api(), self._asked
        if api is None:
            return
        answer = await attempt(self.market.backend.diff(api.name, self._first, self._second, path))
        if not stands(self) or asked is not self._asked:
            return
        if isinstance(answer, Trouble):
            self.market.tell_trouble(answer)
            return
        self._whole |= {file.path: file for file in answer.files}
        self._show_file()

    def _sides(self) -> tuple[str, str]:
        """By name, as far as they are known."""
        found = self._asked.found
        if found is None:
            return self._first or "", self._second or ""
        return self._first or found.first.name, self._second or found.second.name

    def do_turn_diff(self) -> None:
        first, second = self._sides()
        if first and second:
            self._first, self._second = second, first
            self._begin()

    def do_choose_sides(self) -> None:
        told = "from and to: a version, a channel, g14, serving or dev"
        self.market.ask(told, " ".join(map(one_line, self._sides())).strip(), self._chosen)

    def _chosen(self, text: str) -> str:
        names = text.split()
        if not 1 <= len(names) <= 2:
            return "give two, as: 1.0.0 dev"
        self._first, self._second = names[0], names[1] if len(names) == 2 else None
        self._begin()
        return ""
