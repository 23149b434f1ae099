"""The app: modes, the one dispatcher of actions, and the tasks that keep what is shown true."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import App
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen

from apimarket_tui import actions
from apimarket_tui.account_acts import AccountActs
from apimarket_tui.accounts import Accounts, AccountServer, Connect
from apimarket_tui.acts import ApiActs
from apimarket_tui.backend import Backend, Trouble
from apimarket_tui.bulk import BulkActs
from apimarket_tui.clean import clean
from apimarket_tui.kept import Kept
from apimarket_tui.live import FleetChanged, LinkChanged, Live, OutgoingChanged, ServerChanged
from apimarket_tui.marketplaces import Marketplaces
from apimarket_tui.modes import MODES
from apimarket_tui.outbox_acts import OutboxActs
from apimarket_tui.palette import ActionProvider
from apimarket_tui.screens.frame import FrameScreen
from apimarket_tui.screens.local import LocalScreen
from apimarket_tui.theme import DARK, LIGHT

if TYPE_CHECKING:
    from apimarket_tui.screens.console import ConsoleScreen
    from local_server.wire.apis import ApiView


def _nowhere(url: str, token: str) -> AccountServer:
    raise NotImplementedError("this app was given no way to reach other servers")


def utc_now() -> datetime:
    return datetime.now(UTC)


class ApimarketApp(App[int]):
    TITLE = "apimarket"
    CSS_PATH = Path(__file__).parent / "styles" / "app.tcss"
    MODES: ClassVar[dict[str, Callable[[], Screen[Any]]]] = MODES  # type: ignore[assignment]
    DEFAULT_MODE = "local"
    COMMANDS: ClassVar[set[Any]] = {ActionProvider}
    HORIZONTAL_BREAKPOINTS: ClassVar[list[tuple[int, str]]] = [(0, "-narrow"), (80, "-normal"), (110, "-wide")]  # type: ignore[misc]
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+q", "act('quit')", show=False, priority=True)]
    ENABLE_COMMAND_PALETTE = True

    def __init__(
        self,
        backend: Backend,
        clock: Callable[[], datetime] = utc_now,
        *,
        home: Path | None = None,
        connect: Connect | None = None,
        by_session: bool = False,
        **pace: float,
    ) -> None:
        """`home` is where sessions and the calls of the console are kept, `connect` makes the client of another
        server; `by_session`: the backend's server lets nobody in without one; `pace` may set Live's `batch_s`,
        `heartbeat_s` and `retry_s`."""
        super().__init__()
        self.backend, self.clock, self.by_session = backend, clock, by_session
        self.home = home
        self.live = Live(backend, self.post_message, clock, **pace)
        self.kept = Kept(clock)
        self.accounts = Accounts(home, connect or _nowhere, backend.url, clock)
        self.marketplaces = Marketplaces(backend, self.accounts, connect or _nowhere, clock)
        self.acts = ApiActs(self)
        self.account_acts = AccountActs(self)
        self.bulk_acts = BulkActs(self)
        self.outbox_acts = OutboxActs(self)
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = DARK.name

    def on_mount(self) -> None:
        for name, work in (
            ("heartbeat", self.live.keep_heartbeat),
            ("lists", self.live.keep_lists),
            ("events", self.live.keep_events),
            ("batches", self.live.keep_batches),
        ):
            self.run_worker(work(), name=name, group=name)

    async def on_unmount(self) -> None:
        self.workers.cancel_all()
        await self.marketplaces.close()
        await self.backend.close()

    # -- What the server tells goes to the screens that are open

    @on(FleetChanged)
    @on(OutgoingChanged)
    @on(ServerChanged)
    @on(LinkChanged)
    def relay(self, message: Message) -> None:
        """To every screen that is open."""
        for screen in self.screen_stack:
            if isinstance(screen, FrameScreen) and screen.is_mounted:
                screen.post_message(type(message)())

    # -- Acting

    def action_press(self, key: str) -> None:
        """Do what the key stands for where one is."""
        screen = self.screen
        scopes = screen.scopes() if isinstance(screen, FrameScreen) else ("global",)
        action = actions.for_key(scopes, key)
        if action is not None:
            self.action_act(action.id)

    def action_act(self, id: str) -> None:
        """Do an action of the registry, where the open screen allows it."""
        action = actions.BY_ID[id]
        screen = self.screen
        if isinstance(screen, FrameScreen) and not screen.allowed(action):
            return
        if action.scope == "row":
            api = screen.current_api() if isinstance(screen, FrameScreen) else None
            if api is not None:
                self.acts.do(action, api)
            return
        doer = screen.doer(action) if isinstance(screen, FrameScreen) else screen
        method = getattr(doer, action.method, None) or getattr(self, action.method, None)
        if method is not None:
            method()

    def obey(self, line: str) -> str:
        """Do what was typed after `:`. Returns why not, or nothing."""
        verb, _, argument = line.strip().partition(" ")
        if not verb:
            return ""
        action = actions.commands().get(verb)
        if action is None:
            return f"no command {verb!r} · ? lists them"
        if action.scope == "row" or action.id == "open":
            return self._obey_for_api(action, argument.strip())
        screen = self.screen
        if action.scope not in ("global", "local") and not (isinstance(screen, FrameScreen) and screen.allowed(action)):
            return f"{verb} belongs to {actions.SCOPE_TITLES[action.scope]}"
        if action.scope == "local":
            self.show_mode("local")
        self.call_later(self.action_act, action.id)
        return ""

    def _obey_for_api(self, action: actions.Action, name: str) -> str:
        screen = self.screen
        api = self.live.fleet.named(name) if name else None
        if not name and isinstance(screen, FrameScreen):
            api = screen.current_api()
        if api is None:
            return f"no API {name!r}" if name else "name an API"
        if action.id == "open":
            self.open_api(api)
        else:
            self.acts.do(action, api)
        return ""

    # -- Going places

    def show_mode(self, mode: str) -> None:
        while len(self.screen_stack) > 1:
            self.pop_screen()
        if self.current_mode != mode:
            self.switch_mode(mode)

    def do_mode_local(self) -> None:
        self.show_mode("local")

    def do_mode_market(self) -> None:
        self.show_mode("market")

    def do_mode_console(self) -> None:
        self.show_mode("console")

    def do_mode_sync(self) -> None:
        self.show_mode("sync")

    def do_mode_doctor(self) -> None:
        self.show_mode("doctor")

    def open_api(self, api: "ApiView", tab: str = "overview") -> None:
        from apimarket_tui.screens.detail import DetailScreen

        if isinstance(self.screen, DetailScreen) and self.screen.api_id == api.id:
            self.screen.open_tab(tab)
        else:
            self.push_screen(DetailScreen(api.id, tab))

    def open_wizard(self) -> None:
        from apimarket_tui.screens.wizard import WizardScreen

        self.push_screen(WizardScreen(), self._wizard_done)

    def _wizard_done(self, api: "ApiView | None") -> None:
        if api is None:
            return
        self.live.fleet.put(api)
        self.choose_local(api)
        self.tell(f"{api.name} is registered")

    def choose_local(self, api: "ApiView") -> None:
        """Put the cursor of Local on an API that was not there before."""
        screen = self.get_screen_stack("local")[0]
        if isinstance(screen, LocalScreen):
            screen.show_fleet()
            screen.choose(api.name)

    async def open_console(self, api: "ApiView", method: str = "GET", path: str = "/") -> None:
        """The Try-it console, filled in for this API."""
        await self.open_console_at(api.url.rstrip("/") + "/" + path.lstrip("/"), method)

    async def open_console_at(self, url: str, method: str = "GET") -> None:
        self.show_mode("console")
        screen: ConsoleScreen = self.screen  # type: ignore[assignment]
        await screen.prepared()
        screen.fill(method, url)

    def do_help(self) -> None:
        from apimarket_tui.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen())

    def do_command(self) -> None:
        if isinstance(self.screen, FrameScreen):
            names = [api.name for api in self.live.fleet.all()]
            verbs = sorted(actions.commands())
            rows = [f"{verb} {name}" for verb in verbs if actions.commands()[verb].scope == "row" for name in names]
            self.screen.open_prompt("command", "", [*verbs, *rows[:5_000]])

    def do_jump(self) -> None:
        from apimarket_tui.screens.jump import JumpScreen

        if isinstance(self.screen, FrameScreen):
            self.push_screen(JumpScreen(self.screen.jump_targets()), lambda to: to.go() if to is not None else None)

    def ask(self, what: str, text: str, answer: Callable[[str], str]) -> None:
        """Ask for a line of text on the open screen; `answer` says why it is none, or nothing."""
        if isinstance(self.screen, FrameScreen):
            self.screen.ask(what, text, answer)

    def do_palette(self) -> None:
        self.action_command_palette()

    def do_theme(self) -> None:
        self.theme = LIGHT.name if self.theme == DARK.name else DARK.name

    # -- Accounts

    def do_sign_in(self) -> None:
        self.account_acts.sign_in()

    def do_sign_out(self) -> None:
        self.account_acts.sign_out()

    # -- Leaving

    def forget_copied(self) -> None:
        """Let go of what was copied last; the terminal has it."""
        self._clipboard = ""

    def do_back(self) -> None:
        if len(self.screen_stack) > 1:
            self.pop_screen()

    def do_quit(self) -> None:
        self.exit(0)

    # -- Telling

    def tell(self, text: str, bad: bool = False) -> None:
        """A short word in the corner."""
        self.notify(clean(text), severity="error" if bad else "information", timeout=8 if bad else 3, markup=False)

    def tell_trouble(self, trouble: Trouble) -> None:
        self.live.report(trouble)
        self.tell(trouble.text, bad=True)


def run(backend: Backend, home: Path | None = None, connect: Connect | None = None, *, by_session: bool = False) -> int:
    """Run the app until the user leaves; returns the exit status."""
    return ApimarketApp(backend, home=home, connect=connect, by_session=by_session).run() or 0


__all__ = ["ApimarketApp", "run"]
