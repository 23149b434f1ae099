"""Mode 5: what works here, what mends what does not, and the server about itself."""

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static

from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import one_line
from apimarket_tui.screens.frame import FrameScreen, bindings, stands
from apimarket_tui.widgets.bars import Rule
from apimarket_tui.widgets.table import Column, LineTable
from apimarket_tui.words import Spans, Tone, size, span

if TYPE_CHECKING:
    from local_server.wire.server import Check, ServerView

MARKS: dict[str, tuple[str, Tone]] = {
    "ok": ("✓ ok", "ok"),
    "warning": ("! warning", "warn"),
    "failed": ("✗ failed", "bad"),
}
ORDER = {"failed": 0, "warning": 1, "ok": 2}
COLUMNS = (Column("status", "STATUS", 10, 10), Column("name", "CHECK", 12, 18), Column("detail", "FOUND", 16, 200))


class DoctorScreen(FrameScreen):
    SCOPES: ClassVar[tuple[str, ...]] = ("doctor", "global")
    TRAIL: ClassVar[tuple[str, ...]] = ("doctor",)
    BINDINGS: ClassVar[list[BindingType]] = bindings(SCOPES)

    def __init__(self) -> None:
        super().__init__()
        self._checking = False
        self._known = False

    def body(self) -> ComposeResult:
        with Horizontal(id="columns"):
            with Vertical(id="checks"):
                yield Rule(id="checks-head")
                yield LineTable["Check"](COLUMNS, lambda check: check.name, _cell, id="table")
                yield Static(id="fix")
            with Vertical(id="about"):
                yield Rule(id="server-head")
                yield Static(id="server")

    @property
    def table(self) -> "LineTable[Check]":
        return self.query_one("#table", LineTable)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#server-head", Rule).show(Content.styled("server & settings", "bold $foreground"))
        self.query_one("#fix", Static).display = False
        self.focus_main()
        self.do_check()
        self.set_interval(1.0, self._tick)

    def _tick(self) -> None:
        if self.is_current:
            self.show_standing()

    def focus_main(self) -> None:
        self.table.focus()

    def show_standing(self) -> None:
        super().show_standing()
        live = self.market.live
        self.query_one("#server", Static).update(_about(live.server, self.market.backend.url, self.market.theme))

    # -- Checks

    def do_check(self) -> None:
        if not self._checking:
            self._checking = True
            self._show_head("⟳ checking…", "$warning")
            self.run_worker(self._check(), name="doctor", exclusive=True)

    async def _check(self) -> None:
        try:
            checks = await attempt(self.market.backend.doctor())
        finally:
            self._checking = False
        if not stands(self):
            return
        if isinstance(checks, Trouble):
            self.market.live.report(checks)
            self._show_head(f"✗ {one_line(checks.detail)}", "$error")
            return
        self.table.show_rows(sorted(checks, key=lambda check: ORDER.get(check.status, 0)))
        wrong = sum(check.status != "ok" for check in checks)
        told = "everything is well" if not wrong else f"{wrong} of {len(checks)} need a look"
        self._show_head(told, "$success" if not wrong else "$warning")
        self._show_fix()

    def _show_head(self, told: str, tone: str) -> None:
        self.query_one("#checks-head", Rule).show(Content.assemble(("checks  ", "bold $foreground"), (told, tone)))

    @on(LineTable.Moved)
    def _show_fix(self) -> None:
        check = self.table.selected
        fix = self.query_one("#fix", Static)
        fix.display = check is not None
        if check is None:
            return
        lines = [Content(one_line(check.detail))]
        if check.fix:
            lines.append(
                Content.assemble(("fix  ", "$dim"), (one_line(check.fix), "bold $primary"), ("   y copies", "$dim"))
            )
        fix.update(Content("\n").join(lines))

    def do_copy_fix(self) -> None:
        check = self.table.selected
        if check is None or not check.fix:
            self.market.tell("Nothing to mend here")
            return
        self.app.copy_to_clipboard(one_line(check.fix))
        self.market.tell("copied the fix")


def _cell(check: "Check", column: str, width: int) -> Spans:
    match column:
        case "status":
            return [MARKS.get(check.status, (f"? {check.status}", "dim"))]
        case "name":
            return [(check.name, "strong")]
        case _:
            return [(check.detail, "text" if check.status != "ok" else "dim")]


def _about(server: "ServerView | None", url: str, theme: str) -> Content:
    look = Content.assemble(theme.removeprefix("apimarket-"), ("  ctrl+t switches", "$dim"))
    if server is None:
        facts = [("url", Content(one_line(url))), ("look", look)]
    else:
        engine = Content.assemble((one_line(server.engine), "$success" if server.engine_available else "$error"))
        engine += Content.styled(f" {one_line(server.engine_detail)}", "$dim")
        isolation = ("containers", "$success") if server.isolated else ("no isolation", "$warning")
        stalls = (
            "none" if not server.loop_stalls else str(server.loop_stalls),
            "$warning" if server.loop_stalls else "$dim",
        )
        facts = [
            ("url", Content.styled(one_line(server.url), "$primary")),
            ("version", Content(f"{one_line(server.version)} · {one_line(server.profile)}")),
            ("owner", Content.styled(one_line(server.owner), "$accent")),
            ("engine", engine),
            ("isolation", Content.assemble(isolation)),
            ("home", Content(one_line(server.home))),
            ("storage", Content(one_line(server.storage))),
            ("process", Content(f"pid {server.pid} · {size(server.memory_bytes)} · up {span(server.uptime_s)}")),
            ("stalls", Content.assemble(stalls)),
            ("log lost", Content(f"{server.executions_dropped:,} requests")),
            ("look", look),
        ]
    return Content("\n").join([Content.styled(f"{name:<10}", "$dim") + value for name, value in facts])
