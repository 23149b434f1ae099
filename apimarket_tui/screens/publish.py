"""Publishing one API: first what it would do, then how far it is. Leaving the screen stops nothing."""

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static

from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import one_line
from apimarket_tui.live import OutgoingChanged
from apimarket_tui.outgoing import ON_THE_WAY, STUCK, may_cancel, outgoing_state, progress
from apimarket_tui.publish_plan import plan_lines
from apimarket_tui.screens.frame import FrameScreen, bindings, stands
from apimarket_tui.toned import content_of
from apimarket_tui.widgets.bars import Rule, TopBar
from apimarket_tui.widgets.lines import LineView, TextLines
from apimarket_tui.words import Spans, span

if TYPE_CHECKING:
    from local_server.wire.apis import ApiView
    from local_server.wire.outbox import OutboxEntryView, PublishPlanView, PublishView


class PublishScreen(FrameScreen):
    SCOPES: ClassVar[tuple[str, ...]] = ("publish", "global")
    TRAIL: ClassVar[tuple[str, ...]] = ("local", "…", "publish")
    BINDINGS: ClassVar[list[BindingType]] = bindings(SCOPES)

    def __init__(self, api_id: str) -> None:
        super().__init__()
        self.api_id = api_id
        self._version: str | None = None
        """The number that was asked for; None: the server's choice."""
        self._plan: PublishPlanView | None = None
        self._entry: OutboxEntryView | None = None
        self._busy = ""
        """What is being asked of the server."""

    def body(self) -> ComposeResult:
        yield Rule(id="what")
        yield Static(id="progress")
        yield LineView(id="text")

    def on_mount(self) -> None:
        super().on_mount()
        api = self.current_api()
        self.query_one(TopBar).set_trail(("local", api.name if api else "…", "publish"))
        self.focus_main()
        self._dry_run()
        self.set_interval(1.0, self._tick)

    def current_api(self) -> "ApiView | None":
        return self.market.live.fleet.get(self.api_id)

    def focus_main(self) -> None:
        self.query_one("#text").focus()

    def _tick(self) -> None:
        if self.is_current:
            self.show_standing()
            self._show_progress()

    # -- What it would do

    def _dry_run(self) -> None:
        self._busy = "comparing with what is published…"
        self._plan = None
        self._show([])
        self.begin("dry run", partial(self._ask, dry_run=True))

    async def _ask(self, *, dry_run: bool) -> None:
        from local_server.wire.outbox import PublishApi

        api = self.current_api()
        if api is None:
            return
        wanted = PublishApi(version=self._version, dry_run=dry_run)
        answer = await attempt(self.market.backend.publish(api.name, wanted))
        if not stands(self):
            return
        self._busy = ""
        if isinstance(answer, Trouble):
            self.market.live.report(answer)
            self._show(_refusal(answer))
            return
        self._answered(answer)

    def _answered(self, answer: "PublishView") -> None:
        self._plan = answer.plan
        if answer.entry is not None:
            self._entry = answer.entry
            self.market.live.outgoing.put(answer.entry)
        self._show(plan_lines(answer.plan))

    # -- Showing

    def _show(self, lines: list[Spans]) -> None:
        text = TextLines(lines)
        self.query_one("#text", LineView).show(text, text.widest)
        plan, api = self._plan, self.current_api()
        if plan is None:
            self.query_one("#what", Rule).show(Content.styled(api.name if api is not None else "", "bold $foreground"))
        else:
            left = Content.assemble(
                (one_line(plan.name), "bold $foreground"), (f" {one_line(plan.version)}", "$primary")
            )
            self.query_one("#what", Rule).show(left, Content.styled(one_line(plan.remote), "$dim"))
        self._show_progress()
        self.show_keys()

    @on(OutgoingChanged)
    def _moved_on(self) -> None:
        if self._entry is not None:
            self._entry = self.market.live.outgoing.get(self._entry.op) or self._entry
            self._show_progress()

    def _show_progress(self) -> None:
        entry, line = self._entry, self.query_one("#progress", Static)
        line.update(self._told(entry) if entry is not None else self._asking())

    def _asking(self) -> Content:
        if self._busy:
            return Content.styled(f"⟳ {self._busy}", "$warning")
        if self._plan is None:
            return Content.assemble(
                ("esc", "bold $primary"), (" goes back   ", "$dim"), ("r", "bold $primary"), (" looks again", "$dim")
            )
        return Content.assemble(
            ("Nothing is sent yet.  ", "$dim"),
            ("enter", "bold $primary"),
            (" publishes it   ", "$dim"),
            ("v", "bold $primary"),
            (" another version number", "$dim"),
        )

    def _told(self, entry: "OutboxEntryView") -> Content:
        state = outgoing_state(entry)
        spans: Spans = [(f"{state.text}  ", state.tone), *progress(entry)]
        if entry.state in ON_THE_WAY and entry.trouble is not None:
            spans.append((f"  {one_line(entry.trouble.detail)}{self._again(entry)}", "warn"))
        lines = [content_of(spans)]
        if entry.state in ("committed", "applied"):
            lines.append(Content.assemble((one_line(entry.url), "$primary"), ("   y copies it", "$dim")))
        elif entry.state == "conflict" and entry.trouble is not None:
            shows_both = (("   enter", "bold $primary"), (" shows both sides", "$dim"))
            lines.append(Content.assemble((one_line(entry.trouble.detail), "$error"), *shows_both))
        elif entry.state in STUCK and entry.trouble is not None:
            lines.append(
                Content.assemble(
                    (one_line(entry.trouble.detail), "$error"), (f"  {one_line(entry.trouble.hint)}", "$dim")
                )
            )
        elif entry.state in ON_THE_WAY:
            lines.append(Content.styled("It goes on by itself, also when you leave.  c gives it up", "$dim"))
        return Content("\n").join(lines)

    def _again(self, entry: "OutboxEntryView") -> str:
        if entry.next_at is None:
            return ""
        left_s = (entry.next_at - self.market.clock()).total_seconds()
        return f" · again in {span(left_s)}" if left_s >= 1 else " · again now"

    # -- Acting

    def do_send_version(self) -> None:
        if self._entry is not None and self._entry.state == "conflict":
            self.market.outbox_acts.settle(self._entry.api, self._entry.remote)
        elif self._entry is not None:
            self.market.tell(
                "It is on its way already" if self._entry.state in ON_THE_WAY else "That is done; r looks again"
            )
        elif self._plan is None:
            self.market.tell("Nothing can be published as it is")
        elif not self._busy:
            self._busy = "putting it into the outbox…"
            self._show_progress()
            self.begin("publish", partial(self._ask, dry_run=False))

    def do_choose_version(self) -> None:
        self.open_prompt("version", self._version or (self._plan.asked_version or "" if self._plan else ""))

    def answered(self, text: str) -> str:
        self._version = text.strip().removeprefix("v") or None
        self._entry = None
        self._dry_run()
        return ""

    def do_look_again(self) -> None:
        self._entry = None
        self._dry_run()

    def do_give_up(self) -> None:
        entry = self._entry
        if entry is None or not may_cancel(entry):
            self.market.tell("Nothing is on its way")
            return
        self.market.outbox_acts.cancel(entry)

    def do_copy_published(self) -> None:
        entry = self._entry
        if entry is None or entry.state not in ("committed", "applied"):
            self.market.tell("It has a URL once it is published")
            return
        self.app.copy_to_clipboard(one_line(entry.url))
        self.market.tell(f"copied {one_line(entry.url)}")


def _refusal(trouble: Trouble) -> list[Spans]:
    lines: list[Spans] = [[("✗ ", "bad"), (one_line(trouble.detail), "text")]]
    if trouble.code in ("no_remote", "not_logged_in"):
        return [*lines, [("  A", "primary"), (" signs in to a marketplace, or makes an account there", "dim")]]
    return [*lines, [("  ", "text"), (one_line(trouble.hint), "dim")]] if trouble.hint else lines
