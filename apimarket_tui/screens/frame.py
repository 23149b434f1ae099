"""What every screen has: the top line, the banner, the prompt, the keys, and a word where there is no room."""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget

from apimarket_tui import actions
from apimarket_tui.actions import Action
from apimarket_tui.live import FleetChanged, LinkChanged, OutgoingChanged, ServerChanged
from apimarket_tui.widgets.bars import Banner, KeyBar, Standing, TopBar
from apimarket_tui.widgets.prompt import Kind, Prompt
from apimarket_tui.widgets.tabs import TabLine
from apimarket_tui.words import runs, span

if TYPE_CHECKING:
    from apimarket_tui.app import ApimarketApp
    from apimarket_tui.screens.jump import Target
    from local_server.wire.apis import ApiView

LEAST_WIDTH, LEAST_HEIGHT = 60, 15


class TooSmall(Widget):
    def render(self) -> Content:
        return Content(
            f"needs at least {LEAST_WIDTH}×{LEAST_HEIGHT}, this is {self.app.size.width}×{self.app.size.height}"
        )


def mind_size(screen: Screen[Any], width: int, height: int) -> None:
    """Hide everything but a word where the terminal is too small to be of use."""
    screen.set_class(width < LEAST_WIDTH or height < LEAST_HEIGHT, "-too-small")
    screen.set_class(height < 20, "-low")


def stands(node: Widget) -> bool:
    """Whether its widgets are all there. Taken down, they go one by one while workers still run: ask after waiting."""
    return node.app.is_running and node.display


def bindings(scopes: Iterable[str]) -> list[BindingType]:
    """One binding for every key of these scopes. What it does is decided when it is pressed: by the scopes that apply
    then, since tabs of one screen may use the same key."""
    keyed: dict[str, Action] = {}
    for action in (action for scope in scopes for action in actions.ACTIONS if action.scope == scope):
        for key in action.keys:
            keyed.setdefault(key, action)
    return [
        Binding(key, f"app.press('{key}')", action.title, show=False, priority=action.priority)
        for key, action in keyed.items()
    ]


class FrameScreen(Screen[None]):
    """Subclasses give `SCOPES`, `TRAIL` and `body()`."""

    SCOPES: ClassVar[tuple[str, ...]] = ("global",)
    TRAIL: ClassVar[tuple[str, ...]] = ()
    AUTO_FOCUS = ""
    _answer: Callable[[str], str] | None = None
    """Who waits for what is typed."""

    @property
    def market(self) -> "ApimarketApp":
        """The app, by its own type."""
        return cast("ApimarketApp", self.app)

    def compose(self) -> ComposeResult:
        yield TooSmall()
        yield TopBar(self.TRAIL)
        yield Banner()
        yield from self.body()
        yield Prompt()
        yield KeyBar()

    def body(self) -> ComposeResult:
        raise NotImplementedError

    def on_mount(self) -> None:
        self.show_standing()
        self.show_keys()

    def on_screen_resume(self) -> None:
        self.show_standing()
        self.show_fleet()

    def on_resize(self, event: events.Resize) -> None:
        mind_size(self, event.size.width, event.size.height)

    def begin(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work` in the place of what runs under that name. It is called when it starts, so that one that is
        replaced before leaves nothing that was never awaited."""
        self.run_worker(cast("Any", work), name=name, group=name, exclusive=True)

    # -- What the screen can do now

    def scopes(self) -> Sequence[str]:
        """The scopes of actions that apply now; screens with tabs narrow it."""
        return self.SCOPES

    def doer(self, action: Action) -> object:
        """Who has the method of this action, if anybody here has; else it is the app's."""
        return self

    def allowed(self, action: Action) -> bool:
        return action.scope in self.scopes()

    def show_keys(self) -> None:
        """The keys that apply now, told as what they would do: `s stop` on a running API."""
        api = self.current_api()
        here = f"mode-{self.app.current_mode}" if len(self.app.screen_stack) == 1 else ""
        shown = [action for action in actions.in_scopes(self.scopes()) if action.id != here]
        if api is not None:
            toggle = replace(actions.BY_ID["toggle"], title="stop" if runs(api) else "start")
            shown = [toggle if action.id == "toggle" else action for action in shown]
        self.query_one(KeyBar).show(shown)

    def current_api(self) -> "ApiView | None":
        """The API that row actions mean."""
        return None

    def jump_targets(self) -> "list[Target]":
        """Every place of the screen that can be gone to: what can have the focus, and tabs."""
        from apimarket_tui.screens.jump import Target

        found = [Target(one.region.x, one.region.y, one.focus) for one in self.focus_chain if one.region.area]
        for line in self.query(TabLine):
            if line.region.area:
                found += [
                    Target(line.region.x + x, line.region.y, partial(line.open, index)) for index, x in line.places()
                ]
        return found

    # -- What the server tells

    def show_fleet(self) -> None:
        """APIs or figures changed."""

    def show_standing(self) -> None:
        live = self.market.live
        session = self.market.accounts.current
        account = f"{session.handle}@{session.host}" if session is not None else ""
        marks = live.outgoing.marks
        self.query_one(TopBar).show(
            Standing(live.server, self.market.backend.url, self._lost(), account, marks, live.confined)
        )
        self.query_one(Banner).show(self._banner())

    def _lost(self) -> str:
        lost = self.market.live.lost
        if lost is None:
            return ""
        return "signed out" if lost.status == 401 and self.market.by_session else "gone"

    def _banner(self) -> str:
        live = self.market.live
        if live.lost is None:
            server = live.server
            if server is not None and not server.engine_available and server.engine_detail:
                return f"{server.engine} does not answer: {server.engine_detail} · see 5 Doctor"
            return ""
        if live.lost.status == 401 and self.market.by_session:
            return f"{self.market.backend.url} does not know who you are: A signs in"
        if not live.lost.unreachable:
            return f"{live.lost.detail} · {live.lost.hint}"
        if live.heard_at is None:
            return f"server gone: retrying · {live.lost.hint}"
        return f"server gone: retrying · shown as of {span((self.market.clock() - live.heard_at).total_seconds())} ago"

    @on(FleetChanged)
    def _fleet_changed(self) -> None:
        self.show_fleet()

    @on(OutgoingChanged)
    def _outgoing_changed(self) -> None:
        self.show_standing()

    @on(ServerChanged)
    @on(LinkChanged)
    def _standing_changed(self) -> None:
        self.show_standing()
        self.show_fleet()

    @on(KeyBar.Pressed)
    def _key_clicked(self, event: KeyBar.Pressed) -> None:
        self.market.action_act(event.action_id)

    # -- The prompt

    def ask(self, what: str, text: str, answer: Callable[[str], str]) -> None:
        """Ask for a line of text; `answer` says why it is none, or nothing."""
        self._answer = answer
        self.query_one(Prompt).open("ask", text, note=what)

    def open_prompt(self, kind: Kind, text: str = "", suggestions: Sequence[str] = ()) -> None:
        self.query_one(Prompt).open(kind, text, suggestions)

    def close_prompt(self) -> None:
        self.query_one(Prompt).close()
        self.focus_main()

    def focus_main(self) -> None:
        """Put the focus where the letter keys work."""
        self.set_focus(None)

    @on(Prompt.Closed)
    def _prompt_closed(self, event: Prompt.Closed) -> None:
        if event.kind == "filter":
            self.filtered("")
        self.close_prompt()

    @on(Prompt.Typed)
    def _prompt_typed(self, event: Prompt.Typed) -> None:
        if event.kind == "filter":
            self.filtered(event.text)

    @on(Prompt.Entered)
    def _prompt_entered(self, event: Prompt.Entered) -> None:
        if event.kind == "command":
            refusal = self.market.obey(event.text)
            if refusal:
                self.query_one(Prompt).note(refusal, bad=True)
                return
        elif event.kind == "find":
            self.found(event.text)
        elif event.kind in ("generation", "version", "fork", "ask"):
            answer = self._answer if event.kind == "ask" and self._answer is not None else self.answered
            refusal = answer(event.text.strip())
            if refusal:
                self.query_one(Prompt).note(refusal, bad=True)
                return
        self.close_prompt()

    def filtered(self, text: str) -> None:
        """The filter changed."""

    def found(self, text: str) -> None:
        """A text to find was entered."""

    def answered(self, text: str) -> str:
        """A question of the screen's own was answered. Returns why the answer is none, or nothing."""
        return ""

    def do_back(self) -> None:
        if self.query_one(Prompt).display:
            self.close_prompt()
        elif len(self.app.screen_stack) > 1:
            self.app.pop_screen()
        else:
            self.focus_main()
