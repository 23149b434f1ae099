"""The secrets that the API is started with: their names. Nobody sees a value again."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.content import Content

from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import one_line
from apimarket_tui.panes.kept_table import KeptTablePane
from apimarket_tui.widgets.table import Column, LineTable
from apimarket_tui.words import Spans, ago

if TYPE_CHECKING:
    from local_server.wire.apis import ApiView
    from local_server.wire.secrets import SecretChanged, SecretView

COLUMNS = (
    Column("name", "SECRET", 12, 40),
    Column("state", "STATE", 16, 20),
    Column("set", "SET", 8, 10, right=True),
    Column("used", "IN APIMARKET.TOML", 17, 40, rank=1),
)


class SecretsPane(KeptTablePane["list[SecretView]", "SecretView"]):
    NONE: ClassVar[Content] = Content.assemble(
        ("No secrets\n\n", "bold"),
        ("[run] secrets", "$primary"),
        (" of apimarket.toml names what the program needs; ", "$dim"),
        ("n", "bold $primary"),
        (" gives a value", "$dim"),
    )

    def __init__(self, current: "Callable[[], ApiView | None]") -> None:
        super().__init__(current, id="secrets")

    def make_table(self) -> "LineTable[SecretView]":
        return LineTable(COLUMNS, lambda secret: secret.name, self._cell)

    async def ask(self, api: "ApiView") -> "list[SecretView]":
        return await self.market.backend.secrets(api.name)

    def rows(self, found: "list[SecretView]") -> "Sequence[SecretView]":
        return found

    def told(self, found: "list[SecretView]") -> Content:
        missing = sum(one.used and one.updated_at is None for one in found)
        if missing:
            return Content.styled(f"{missing} without a value", "$error")
        return Content.styled(f"{len(found)} set", "$foreground") if found else Content("secrets")

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

    def chosen(self) -> None:
        self.do_set_secret()

    def do_set_secret(self) -> None:
        secret = self.selected
        if secret is not None:
            self._ask_value(secret.name)

    def _ask_value(self, name: str) -> None:
        from apimarket_tui.screens.set_secret import SetSecretScreen

        api = self.api
        if api is not None:
            self.app.push_screen(SetSecretScreen(api, name), lambda done: self._done(done, "set") if done else None)

    def do_remove_secret(self) -> None:
        from apimarket_tui.screens.confirm import ConfirmScreen

        secret, api = self.selected, self.api
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
        self.ask_again()
