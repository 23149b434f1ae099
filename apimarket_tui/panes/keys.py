"""Who else may call the API."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.content import Content

from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import one_line
from apimarket_tui.key_rows import COLUMNS, cell_of
from apimarket_tui.panes.kept_table import KeptTablePane
from apimarket_tui.replacements import Replacements
from apimarket_tui.widgets.table import LineTable

if TYPE_CHECKING:
    from local_server.wire.accounts import KeyView, NewKeyView
    from local_server.wire.apis import ApiView


class KeysPane(KeptTablePane["list[KeyView]", "KeyView"]):
    NONE: ClassVar[Content] = Content.assemble(
        ("No keys\n\n", "bold"),
        ("Calls from this machine need none. ", "$dim"),
        ("n", "bold $primary"),
        (" makes one for somebody else.", "$dim"),
    )

    def __init__(self, current: "Callable[[], ApiView | None]") -> None:
        super().__init__(current, id="keys")
        self._replacements = Replacements()

    def make_table(self) -> "LineTable[KeyView]":
        return LineTable(COLUMNS, lambda key: key.id, lambda key, column, _: cell_of(key, column, self.market.clock()))

    async def ask(self, api: "ApiView") -> "list[KeyView]":
        return await self.market.backend.keys(api.name)

    def rows(self, found: "list[KeyView]") -> "Sequence[KeyView]":
        return found

    def told(self, found: "list[KeyView]") -> Content:
        forced = sum(key.state in ("active", "grace") for key in found)
        told = f"{forced} in force" + (f" of {len(found)}" if len(found) != forced else "")
        return Content.styled(told, "$foreground")

    # -- Acting

    def do_new_key(self) -> None:
        from apimarket_tui.screens.new_key import NewKeyScreen

        api = self.api
        if api is not None:
            self.app.push_screen(NewKeyScreen(api), self._made)

    def _made(self, made: "NewKeyView | None") -> None:
        from apimarket_tui.screens.new_key import KeyShownScreen

        if made is not None:
            self.app.push_screen(KeyShownScreen(made.key, made.info.api), lambda _: self.ask_again())
            self.ask_again()

    def do_rotate_key(self) -> None:
        from apimarket_tui.screens.confirm import ConfirmScreen

        key = self.selected
        if key is None:
            return
        if key.state != "active" and not self._replacements.waits(key.id):
            self.market.tell(f"Only an active key is replaced; this one is {one_line(key.state)}", bad=True)
            return
        question = f"Replace {one_line(key.name) or one_line(key.prefix)}?"
        more = "A new key with the same rights is shown once; the old one stays in force for an hour more."
        self.app.push_screen(ConfirmScreen(question, more, "Replace"), lambda yes: self._rotate(key) if yes else None)

    def _rotate(self, key: "KeyView") -> None:
        async def rotate() -> None:
            made = await self._replacements.ask(self.market.backend, key.id, key.id)
            if isinstance(made, Trouble):
                self.market.tell_trouble(made)
            elif self.standing:
                self._made(made)

        self.run_worker(rotate(), name="rotate key")

    def do_revoke_key(self) -> None:
        from apimarket_tui.screens.confirm import ConfirmScreen

        key = self.selected
        if key is None:
            return
        if key.state in ("expired", "revoked"):
            self.market.tell(f"That key is {key.state} already")
            return
        question = f"Revoke {one_line(key.name) or one_line(key.prefix)}?"
        more = "It is refused from now on, for good. Whoever uses it gets 401."
        self.app.push_screen(ConfirmScreen(question, more, "Revoke"), lambda yes: self._revoke(key) if yes else None)

    def _revoke(self, key: "KeyView") -> None:
        async def revoke() -> None:
            answer = await attempt(self.market.backend.revoke_key(key.id))
            if isinstance(answer, Trouble):
                self.market.tell_trouble(answer)
            elif self.standing:
                self.market.tell(f"{one_line(key.name) or one_line(key.prefix)} is revoked")
                self.ask_again()

        self.run_worker(revoke(), name="revoke key")
