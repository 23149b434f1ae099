"""The secrets that the API is started with: their names. Nobody sees a value again."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widget import Widget

from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import one_line
from apimarket_tui.panes.pane import Pane
from apimarket_tui.widgets.bars import Rule
from apimarket_tui.widgets.table import Column, LineTable
from apimarket_tui.widgets.worded import WordedTable
from apimarket_tui.words import Spans, ago

if TYPE_CHECKING:
    from local_server.wire.apis import ApiView
    from local_server.wire.secrets import SecretChanged, SecretView

REFRESH_S = 10.0
COLUMNS = (
    Column("name", "SECRET", 12, 40),
    Column("state", "STATE", 16, 20),
    Column("set", "SET", 8, 10, right=True),
    Column("used", "IN APIMARKET.TOML", 17, 40, rank=1),
)
_NONE = Content.assemble(
    ("No secrets\n\n", "bold"),
    ("[run] secrets", "$primary"),
    (" of apimarket.toml names what the program needs; ", "$dim"),
    ("n", "bold $primary"),
    (" gives a value", "$dim"),
)


class SecretsPane(Pane):
    def __init__(self, current: "Callable[[], ApiView | None]") -> None:
        super().__init__(current, id="secrets")
        self._read_at: datetime | None = None

    def compose(self) -> ComposeResult:
        yield Rule(id="secrets-head")
        table = LineTable["SecretView"](COLUMNS, lambda secret: secret.name, self._cell)
        yield WordedTable(table, _NONE, id="secrets-table")

    @property
    def table(self) -> "WordedTable[SecretView]":
        return self.query_one(WordedTable)

    def on_mount(self) -> None:
        self.set_interval(REFRESH_S, self._refresh)

    def main(self) -> Widget:
        return self.table.table

    # -- Asking

    def opened(self) -> None:
        api = self.api
        kept = self.market.kept.get(("secrets", api.id), list) if api is not None else None
        if kept is not None:
            self._show(kept[0], kept[1])
        self._ask()

    def _refresh(self) -> None:
        if self.in_view:
            self._ask()

    def _ask(self) -> None:
        self.run_worker(self._load(), name="secrets", group="secrets", exclusive=True)

    async def _load(self) -> None:
        api = self.api
        if api is None:
            return
        found = await attempt(self.market.backend.secrets(api.name))
        if not self.standing:
            return
        if isinstance(found, Trouble):
            self.report(found)
            self.table.refuse(found)
            return
        self.market.kept.put(("secrets", api.id), found)
        self._show(found, self.market.clock())

    def _show(self, found: "Sequence[SecretView]", at: datetime) -> None:
        self._read_at = at
        had_none = not self.table.table.display
        self.table.show(found)
        if had_none and found and self.in_view:
            self.main().focus()
        missing = sum(one.used and one.updated_at is None for one in found)
        told = (f"{missing} without a value", "$error") if missing else (f"{len(found)} set", "$foreground")
        age = Content.styled(f"as of {ago(at, self.market.clock())}", "$dim")
        self.query_one("#secrets-head", Rule).show(Content.styled(*told) if found else Content("secrets"), age)

    def _cell(self, secret: "SecretView", column: str, width: int) -> Spans:
        missing = secret.updated_at is None
        match column:
            case "name":
                return [(one_line(secret.name), "strong" if secret.used else "dim")]
            case "state":
                if missing:
                    return [("✗ no value", "bad")]
                return [("● set", "ok")] if secret.used else [("○ not used", "dim")]
            case "set":
                return [(ago(secret.updated_at, self.market.clock()) if secret.updated_at else "never", "dim")]
            case _:
                return [("yes", "text") if secret.used else ("no: the program does not see it", "dim")]

    # -- Acting

    def do_new_secret(self) -> None:
        self._ask_value("")

    @on(LineTable.Chosen)
    def do_set_secret(self) -> None:
        secret = self.table.selected
        if secret is not None:
            self._ask_value(secret.name)

    def _ask_value(self, name: str) -> None:
        from apimarket_tui.screens.set_secret import SetSecretScreen

        api = self.api
        if api is not None:
            self.app.push_screen(SetSecretScreen(api, name), lambda done: self._done(done, "set") if done else None)

    def do_remove_secret(self) -> None:
        from apimarket_tui.screens.confirm import ConfirmScreen

        secret, api = self.table.selected, self.api
        if secret is None or api is None:
            return
        if secret.updated_at is None:
            self.market.tell("It has no value; enter gives it one")
            return
        question = f"Forget the value of {one_line(secret.name)}?"
        needs = f"{one_line(api.name)} needs it for its next start." if secret.used else "Nothing uses it now."
        act = self.market.backend.remove_secret
        self.app.push_screen(
            ConfirmScreen(question, f"It cannot be read back. {needs}", "Forget it"),
            lambda yes: self._remove(act(api.name, secret.name)) if yes else None,
        )

    def _remove(self, act: "Awaitable[SecretChanged]") -> None:
        async def remove() -> None:
            answer = await attempt(act)
            if isinstance(answer, Trouble):
                self.market.tell_trouble(answer)
            elif self.standing:
                self._done(answer, "forgotten")

        self.run_worker(remove(), name="remove secret")

    def _done(self, changed: "SecretChanged", word: str) -> None:
        restarts = "; the API starts afresh with it" if changed.restarts else ""
        self.market.tell(f"{changed.name} is {word}{restarts}")
        self._ask()
