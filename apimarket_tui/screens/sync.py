"""Mode 4: what is on its way to marketplaces and why, and what they have that is not here."""

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static

from apimarket_tui.clean import one_line
from apimarket_tui.live import OutgoingChanged
from apimarket_tui.outgoing import ON_THE_WAY, STUCK, may_cancel, outgoing_state, progress
from apimarket_tui.screens.frame import FrameScreen, bindings
from apimarket_tui.widgets.bars import Rule
from apimarket_tui.widgets.table import Column, LineTable
from apimarket_tui.widgets.worded import WordedTable
from apimarket_tui.words import NONE, Spans, ago, span

if TYPE_CHECKING:
    from local_server.wire.outbox import OutboxEntryView, RemoteApiView, RemoteView

OUTGOING_COLUMNS = (
    Column("name", "ON ITS WAY", 16, 30),
    Column("version", "VERSION", 8, 12),
    Column("state", "STATE", 12, 12),
    Column("sent", "SENT", 17, 31),
    Column("age", "SINCE", 8, 9, right=True),
    Column("why", "WHY", 12, 200, rank=1),
)
THERE_COLUMNS = (
    Column("name", "ON A MARKETPLACE", 16, 30),
    Column("version", "THERE", 8, 12),
    Column("base", "HERE", 8, 12),
    Column("state", "STATE", 14, 20),
    Column("visibility", "SEEN BY", 8, 10, rank=1),
    Column("remote", "WHERE", 14, 60, rank=2),
)
_NOTHING_OUT = Content.assemble(
    ("Nothing is on its way\n\n", "bold"), ("P", "bold $primary"), (" on an API publishes what it runs", "$dim")
)
_NOTHING_THERE = Content.styled("No marketplace has one of your APIs", "$dim")
SEEN_BY = {"public": "everybody", "unlisted": "who knows", "private": "you"}


class SyncScreen(FrameScreen):
    SCOPES: ClassVar[tuple[str, ...]] = ("sync", "global")
    TRAIL: ClassVar[tuple[str, ...]] = ("sync",)
    BINDINGS: ClassVar[list[BindingType]] = bindings(SCOPES)

    def body(self) -> ComposeResult:
        yield Rule(id="remotes")
        yield WordedTable(LineTable(OUTGOING_COLUMNS, lambda entry: entry.op, self._outgoing), _NOTHING_OUT, id="out")
        yield WordedTable(
            LineTable(THERE_COLUMNS, lambda api: f"{api.remote} {api.name}", _there), _NOTHING_THERE, id="there"
        )
        yield Rule(id="why-head")
        yield Static(id="why")

    @property
    def out(self) -> "WordedTable[OutboxEntryView]":
        return self.query_one("#out", WordedTable)

    @property
    def there(self) -> "WordedTable[RemoteApiView]":
        return self.query_one("#there", WordedTable)

    def on_mount(self) -> None:
        super().on_mount()
        self.focus_main()
        self._show()
        self.set_interval(1.0, self._tick)

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        self.market.live.reread()

    def focus_main(self) -> None:
        tables = [one.table for one in (self.out, self.there) if one.table.display]
        self.set_focus(tables[0] if tables else None)

    def _tick(self) -> None:
        if self.is_current:
            self._show_remotes()
            self._show_why()
            self.out.table.refresh()

    # -- Showing

    @on(OutgoingChanged)
    def _show(self) -> None:
        known = self.market.live.outgoing
        if known.refused is not None:
            self.out.refuse(known.refused)
        if not known.loaded:
            return
        self.out.show(known.all())
        self.there.show(known.apis)
        self._show_remotes()
        self._show_why()
        if self.focused is None:
            self.focus_main()

    def _show_remotes(self) -> None:
        remotes = self.market.live.outgoing.remotes
        told = [_remote(one, ago(one.seen_at, self.market.clock()) if one.seen_at else "") for one in remotes]
        none = Content.assemble(
            ("no marketplace is known yet  ", "$dim"), ("A", "bold $primary"), (" signs in to one", "$dim")
        )
        self.query_one("#remotes", Rule).show(Content("   ").join(told) if told else none)

    def _outgoing(self, entry: "OutboxEntryView", column: str, width: int) -> Spans:
        state = outgoing_state(entry)
        done = entry.state not in ON_THE_WAY | STUCK
        match column:
            case "name":
                return [(one_line(entry.name), "dim" if done else "strong")]
            case "version":
                return [(one_line(entry.version), "dim" if done else "text")]
            case "state":
                return [(state.text, state.tone)]
            case "sent":
                return progress(entry, width)
            case "age":
                return [(ago(entry.created_at, self.market.clock()), "dim")]
            case _:
                return [(one_line(entry.trouble.detail) if entry.trouble and not done else "", "dim")]

    @on(LineTable.Moved)
    def _show_why(self) -> None:
        """All that is known of the selected row, in words."""
        head, why = self.query_one("#why-head", Rule), self.query_one("#why", Static)
        entry, there = self._selected()
        if entry is not None:
            title, text = f"{entry.name} {entry.version}", self._of_entry(entry)
        elif there is not None:
            title, text = there.name, _of_api(there)
        else:
            title, text = "", Content("")
        head.display = why.display = bool(title)
        head.show(Content.styled(one_line(title), "bold $foreground"))
        why.update(text)

    def _of_entry(self, entry: "OutboxEntryView") -> Content:
        where = Content.styled(f"{one_line(entry.remote)}  {entry.sent_blobs} of {entry.total_blobs} files", "$dim")
        if entry.state in ("committed", "applied"):
            return Content.assemble((one_line(entry.url), "$primary"), ("   y copies it\n", "$dim")) + where
        if entry.trouble is None:
            return where
        lines = [Content.styled(one_line(entry.trouble.detail), "$error" if entry.state in STUCK else "$warning")]
        if entry.state == "conflict":
            lines.append(Content.assemble(("enter", "bold $primary"), (" shows both sides, and settles it", "$dim")))
        elif entry.next_at is not None:
            left_s = max((entry.next_at - self.market.clock()).total_seconds(), 0)
            lines.append(
                Content.styled(f"tried {entry.attempts} times · again in {span(left_s)} · r tries now", "$dim")
            )
        elif entry.trouble.hint:
            lines.append(Content.styled(one_line(entry.trouble.hint), "$dim"))
        return Content("\n").join(lines)

    # -- Acting

    def _selected(self) -> "tuple[OutboxEntryView | None, RemoteApiView | None]":
        """The row that acts mean: that of the table with the focus."""
        if self.focused is self.there.table:
            return None, self.there.selected
        return self.out.selected, None

    def on_descendant_focus(self) -> None:
        self._show_why()

    def do_other_table(self) -> None:
        other = self.out if self.focused is self.there.table else self.there
        if other.table.display:
            other.table.focus()

    def do_ask_now(self) -> None:
        self.market.outbox_acts.ask_now()

    def do_retry_outgoing(self) -> None:
        entry, _ = self._selected()
        if entry is None:
            self.market.tell("Choose a version that is on its way; tab goes there")
        elif entry.state not in ON_THE_WAY | {"rejected"}:
            self.market.tell(f"It is {outgoing_state(entry).word} already")
        else:
            self.market.outbox_acts.retry(entry)

    def do_cancel_outgoing(self) -> None:
        entry, _ = self._selected()
        if entry is None or not may_cancel(entry):
            self.market.tell("Nothing is on its way there")
        else:
            self.market.outbox_acts.cancel(entry)

    def do_pull_newest(self) -> None:
        entry, there = self._selected()
        if there is None and entry is not None:
            apis = self.market.live.outgoing.apis
            there = next((one for one in apis if one.name == entry.name and one.remote == entry.remote), None)
        if there is None:
            self.market.tell("Choose what a marketplace has; tab goes there")
        else:
            self.market.outbox_acts.pull(there)

    @on(LineTable.Chosen)
    def do_settle(self) -> None:
        """Both sides, where there are two; else the API, or its URL."""
        entry, there = self._selected()
        if entry is not None and entry.state == "conflict":
            self.market.outbox_acts.settle(entry.api, entry.remote)
        elif there is not None and there.ahead and there.api is not None:
            self.market.outbox_acts.settle(there.api, there.remote)
        else:
            name = entry.api if entry is not None else there.api if there is not None else None
            api = self.market.live.fleet.named(name) if name else None
            if api is not None:
                self.market.open_api(api)

    def do_copy_outgoing(self) -> None:
        entry, _ = self._selected()
        if entry is None or entry.state not in ("committed", "applied"):
            self.market.tell("It has a URL once it is published")
        else:
            self.app.copy_to_clipboard(one_line(entry.url))
            self.market.tell(f"copied {one_line(entry.url)}")


def _remote(remote: "RemoteView", seen: str) -> Content:
    name = Content.assemble((one_line(remote.url), "$foreground"), (f" as {one_line(remote.account)} ", "$dim"))
    if remote.trouble is not None:
        last = f", answered {seen}" if seen else ""
        return name + Content.styled(f"✗ {one_line(remote.trouble.detail)}{last}", "$error")
    if remote.reachable is None:
        return name + Content.styled("○ not asked yet", "$dim")
    return name + Content.styled(f"● answered {seen}", "$success")


def _there(api: "RemoteApiView", column: str, width: int) -> Spans:
    match column:
        case "name":
            return [(one_line(api.name), "dim" if api.deleted else "strong")]
        case "version":
            return [(one_line(api.version or NONE), "text")]
        case "base":
            return [(one_line(api.base or NONE), "text" if api.base else "dim")]
        case "state":
            return _standing(api)
        case "visibility":
            return [(SEEN_BY.get(api.visibility, one_line(api.visibility)), "dim")]
        case _:
            return [(one_line(api.remote).partition("://")[2] or one_line(api.remote), "dim")]


def _standing(api: "RemoteApiView") -> Spans:
    if api.deleted:
        return [("✗ deleted there", "bad")]
    if api.ahead:
        return [("↓ newer there", "warn")]
    return [("● in step", "ok")] if api.version else [("○ not there yet", "dim")]


def _of_api(api: "RemoteApiView") -> Content:
    lines = []
    if api.ahead:
        keys = (
            ("u", "bold $primary"),
            (" fetches it   ", "$dim"),
            ("enter", "bold $primary"),
            (" shows both sides", "$dim"),
        )
        lines.append(Content.assemble((f"{one_line(api.version or '')} was published elsewhere.  ", "$warning"), *keys))
    for version, reason in list(api.yanked.items())[:3]:
        lines.append(Content.assemble((f"{one_line(version)} is yanked: ", "$dim"), (one_line(reason), "$warning")))
    return Content("\n").join(lines) if lines else Content.styled("Both sides have the same.", "$dim")
