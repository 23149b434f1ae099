"""Two sides that went on apart: what merges by itself, what must be chosen, and how it is settled.

Nothing published is ever rewritten; whatever is chosen, the files in the API's directory follow.
"""

import json
from typing import TYPE_CHECKING, ClassVar, Literal

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content

from apimarket_tui import edits
from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import one_line
from apimarket_tui.conflict_rows import ConflictRow, Side, Taken, choices_of, detail_lines, rows_of, side_text
from apimarket_tui.screens.frame import FrameScreen, bindings, stands
from apimarket_tui.widgets.bars import Rule, TopBar
from apimarket_tui.widgets.lines import LineView, TextLines
from apimarket_tui.widgets.table import Column, LineTable
from apimarket_tui.widgets.worded import WordedTable
from apimarket_tui.words import Spans, Tone

if TYPE_CHECKING:
    from local_server.wire.apis import ApiView
    from local_server.wire.outbox import ConflictView, ResolvedView

How = Literal["merge", "mine", "theirs", "fork"]
COLUMNS = (
    Column("what", "WHAT", 16, 40),
    Column("kind", "KIND", 8, 9, rank=1),
    Column("mine", "MINE", 12, 40),
    Column("theirs", "THEIRS", 12, 40),
    Column("choice", "TAKE", 10, 16),
)
_EVERYTHING = Content.styled("Nothing clashes: M makes one version of both", "$dim")
QUESTIONS: dict[How, tuple[str, str, str]] = {
    "merge": (
        "Merge both sides?",
        "One version is made of both and published after theirs; the files in the directory follow.",
        "Merge",
    ),
    "mine": (
        "Keep mine?",
        "My files become a version after theirs, and are published. Theirs stays, as an older version.",
        "Keep mine",
    ),
    "theirs": (
        "Keep theirs?",
        "My unpublished version is given up, and the files in the directory become theirs.",
        "Keep theirs",
    ),
}


class ConflictScreen(FrameScreen):
    SCOPES: ClassVar[tuple[str, ...]] = ("conflict", "global")
    TRAIL: ClassVar[tuple[str, ...]] = ("sync", "…")
    BINDINGS: ClassVar[list[BindingType]] = bindings(SCOPES)

    def __init__(self, api: str, remote: str) -> None:
        super().__init__()
        self._api, self._remote = api, remote
        self._conflict: ConflictView | None = None
        self._rows: list[ConflictRow] = []
        self._chosen: dict[str, Taken] = {}
        self._busy = "fetching the other side…"
        self._trouble: Trouble | None = None

    def body(self) -> ComposeResult:
        yield Rule(id="sides")
        yield WordedTable(LineTable(COLUMNS, lambda row: row.key, self._cell), _EVERYTHING, id="rows")
        yield Rule(id="row-head")
        yield LineView(id="text")

    @property
    def rows(self) -> "WordedTable[ConflictRow]":
        return self.query_one("#rows", WordedTable)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(TopBar).set_trail(("sync", self._api, "conflict"))
        self.query_one(LineView).can_focus = True
        self._show_sides()
        self.begin("conflict", self._load)

    def current_api(self) -> "ApiView | None":
        return self.market.live.fleet.named(self._api)

    def focus_main(self) -> None:
        self.set_focus(self.rows.table if self.rows.table.display else self.query_one(LineView))

    async def _load(self) -> None:
        answer = await attempt(self.market.backend.conflict(self._api, self._remote))
        if not stands(self):
            return
        self._busy = ""
        if isinstance(answer, Trouble):
            self._trouble = answer
            self.rows.refuse(answer)
        else:
            self._conflict, self._rows = answer, rows_of(answer)
            self.rows.show(self._rows)
            self.focus_main()
        self._show_sides()
        self._show_row()

    # -- Showing

    def _show_sides(self) -> None:
        conflict = self._conflict
        if conflict is None:
            told = Content.styled(f"⟳ {self._busy}" if self._busy else "", "$warning")
            self.query_one("#sides", Rule).show(told)
            return
        mine, theirs = conflict.mine.version or "edits", conflict.theirs.version or "–"
        base = conflict.base.version if conflict.base is not None else None
        left = Content.assemble(
            (one_line(conflict.name), "bold $foreground"),
            (f"  mine {one_line(mine)}", "$success"),
            (f"  theirs {one_line(theirs)}", "$accent"),
            (f"  before both {one_line(base)}" if base else "", "$dim"),
        )
        open_rows = [row for row in self._rows if row.open]
        unchosen = sum(row.key not in self._chosen for row in open_rows)
        right = (f"⟳ {self._busy}", "$warning") if self._busy else _to_choose(len(open_rows), unchosen)
        self.query_one("#sides", Rule).show(left, Content.styled(*right))

    @on(LineTable.Moved)
    def _show_row(self) -> None:
        row = self.rows.selected
        lines: list[Spans] = detail_lines(row, self._chosen.get(row.key)) if row is not None else []
        text = TextLines(lines)
        self.query_one("#text", LineView).show(text, text.widest)
        title = "" if row is None else row.path if row.field is None else f"{row.path} {row.field}"
        self.query_one("#row-head", Rule).show(Content.styled(one_line(title), "bold $foreground"))

    def _cell(self, row: ConflictRow, column: str, width: int) -> Spans:
        chosen = self._chosen.get(row.key)
        match column:
            case "what":
                name: Spans = [(one_line(row.path), "strong" if row.open else "dim")]
                return [*name, (f" {one_line(row.field)}", "primary")] if row.field is not None else name
            case "kind":
                return [("key" if row.field is not None else row.file.kind if row.file is not None else "", "dim")]
            case "mine" | "theirs":
                return [(side_text(row, column), "text" if chosen is None or chosen.side == column else "dim")]
            case _:
                return [("● by itself", "ok")] if not row.open else [_choice(chosen)]

    # -- Choosing

    def _take(self, side: Side) -> None:
        row = self.rows.selected
        if row is None or not row.open:
            self.market.tell("That one merges by itself")
        else:
            self._choose(row, Taken(side))

    def do_edit_both(self) -> None:
        from apimarket_tui.screens.edit import EditScreen

        row = self.rows.selected
        if row is None:
            return
        before = self._chosen.get(row.key)
        try:
            text = before.text if before is not None and before.text is not None else edits.text_of(row)
        except edits.NotEditable as error:
            self.market.tell(str(error), bad=True)
            return
        title = row.path if row.field is None else f"{row.path} {row.field}"
        self.app.push_screen(
            EditScreen(title, text, lambda typed: edits.why_not(row, typed)), lambda typed: self._edited(row, typed)
        )

    def _edited(self, row: ConflictRow, typed: str | None) -> None:
        if typed is None:
            return
        if row.values is not None:
            self._choose(row, Taken(None, value=json.loads(typed)))
        else:
            self._choose(row, Taken(None, text=edits.with_its_breaks(row, typed)))

    def _choose(self, row: ConflictRow, taken: Taken) -> None:
        self._chosen[row.key] = taken
        self.rows.table.refresh()
        self._show_sides()
        self._show_row()
        following = [one for one in self._rows if one.open and one.key not in self._chosen]
        if following:
            self.rows.table.select(following[0].key)

    def do_take_mine(self) -> None:
        self._take("mine")

    def do_take_theirs(self) -> None:
        self._take("theirs")

    def do_take_base(self) -> None:
        self._take("base")

    # -- Settling

    def do_merge(self) -> None:
        left = [row for row in self._rows if row.open and row.key not in self._chosen]
        if left:
            self.rows.table.select(left[0].key)
            self.market.tell(f"{len(left)} to choose still: m takes mine, t theirs, e edits", bad=True)
        else:
            self._confirm("merge")

    def do_keep_mine(self) -> None:
        self._confirm("mine")

    def do_keep_theirs(self) -> None:
        self._confirm("theirs")

    def do_fork(self) -> None:
        if self._conflict is not None and not self._busy:
            self.open_prompt("fork", f"{self._api}-fork")

    def answered(self, text: str) -> str:
        if not text.strip():
            return "give the name under which mine goes on"
        self._settle("fork", text.strip())
        return ""

    def _confirm(self, how: How) -> None:
        from apimarket_tui.screens.confirm import ConfirmScreen

        if self._conflict is None or self._busy:
            return
        question, more, verb = QUESTIONS[how]
        self.app.push_screen(
            ConfirmScreen(question, more, verb, "Not yet"), lambda yes: self._settle(how) if yes else None
        )

    def _settle(self, how: How, name: str | None = None) -> None:
        from local_server.wire.outbox import ResolveConflict

        choices = choices_of(self._chosen, self._rows) if how == "merge" else []
        wanted = ResolveConflict(how=how, choices=choices, name=name, remote=self._remote)

        async def settle() -> None:
            answer = await attempt(self.market.backend.resolve_conflict(self._api, wanted))
            if not stands(self):
                return
            self._busy = ""
            self._show_sides()
            if isinstance(answer, Trouble):
                self.market.tell_trouble(answer)
            else:
                self._settled(answer)

        self._busy = "settling it…"
        self._show_sides()
        self.begin("settle", settle)

    def _settled(self, resolved: "ResolvedView") -> None:
        if resolved.entry is not None:
            self.market.live.take_outgoing(resolved.entry)
        self.market.live.reread()
        told = f"{self._api} is settled" + (f", as {resolved.version}" if resolved.version else "")
        self.market.tell(f"{told}\nThe files in its directory changed" if resolved.written else told)
        self.app.pop_screen()


def _to_choose(rows: int, unchosen: int) -> tuple[str, str]:
    if not rows:
        return ("nothing clashes: M merges", "$success")
    return (f"{unchosen} of {rows} to choose", "$warning") if unchosen else ("all chosen: M merges", "$success")


def _choice(chosen: Taken | None) -> tuple[str, Tone]:
    if chosen is None:
        return ("? choose", "warn")
    match chosen.side:
        case "mine":
            return ("✓ mine", "ok")
        case "theirs":
            return ("✓ theirs", "accent")
        case "base":
            return ("✓ before both", "dim")
        case None:
            return ("✓ edited", "primary")
