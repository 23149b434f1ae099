"""What the program finds in its environment: variables of the manifest, and secrets, of which nobody sees a value."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.content import Content

from apimarket_tui import setting_rows
from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import one_line
from apimarket_tui.manifest_lines import MANIFEST, variable_line
from apimarket_tui.panes.kept_table import KeptTablePane
from apimarket_tui.setting_rows import COLUMNS, Known, SettingRow, rows_of
from apimarket_tui.widgets.table import LineTable
from apimarket_tui.widgets.worded import block

if TYPE_CHECKING:
    from local_server.wire.apis import ApiView
    from local_server.wire.secrets import SecretChanged


class SettingsPane(KeptTablePane[Known, SettingRow]):
    NONE: ClassVar[Content] = Content.assemble(
        ("No settings\n\n", "bold"),
        ("What the program reads from its environment stands in apimarket.toml:\n\n", "$dim"),
        (block(("[run]", 'env = { UNITS = "metric" }', 'secrets = ["API_TOKEN"]')), "$primary"),
        ("\n\ne", "bold $primary"),
        (" opens it, ", "$dim"),
        ("n", "bold $primary"),
        (" gives a secret its value", "$dim"),
    )

    def __init__(self, current: "Callable[[], ApiView | None]") -> None:
        super().__init__(current, id="settings")

    def make_table(self) -> LineTable[SettingRow]:
        return LineTable(
            COLUMNS, lambda row: row.key, lambda row, column, _: setting_rows.cell_of(row, column, self.market.clock())
        )

    async def ask(self, api: "ApiView") -> Known:
        backend = self.market.backend
        return Known(await backend.variables(api.name), await backend.secrets(api.name))

    def rows(self, found: Known) -> Sequence[SettingRow]:
        return rows_of(found)

    def told(self, found: Known) -> Content:
        return setting_rows.told(found)

    # -- Acting

    def do_new_secret(self) -> None:
        self._ask_value("")

    def chosen(self) -> None:
        self.do_set_secret()

    def do_set_secret(self) -> None:
        """A variable has its value in the manifest, and is changed there."""
        row = self.selected
        if row is None:
            return
        if row.secret is not None:
            self._ask_value(row.name)
        else:
            self.do_edit_settings()

    def do_edit_settings(self) -> None:
        api, row = self.api, self.selected
        if api is not None:
            self.market.acts.do_edit(api, MANIFEST, variable_line(api, row.name if row is not None else ""))

    def _ask_value(self, name: str) -> None:
        from apimarket_tui.screens.set_secret import SetSecretScreen

        api = self.api
        if api is not None:
            self.app.push_screen(SetSecretScreen(api, name), lambda done: self._done(done, "set") if done else None)

    def do_remove_secret(self) -> None:
        from apimarket_tui.screens.confirm import ConfirmScreen

        row, api = self.selected, self.api
        if row is None or api is None:
            return
        secret = row.secret
        if secret is None:
            self.market.tell(f"{one_line(row.name)} is no secret; e opens apimarket.toml, where it stands")
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
