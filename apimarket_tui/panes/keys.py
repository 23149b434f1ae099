"""Who else may call the API."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import one_line
from apimarket_tui.panes.pane import Pane
from apimarket_tui.widgets.bars import Rule
from apimarket_tui.widgets.table import Column, LineTable
from apimarket_tui.words import NONE, Condition, Spans, ago, span

if TYPE_CHECKING:
    from local_server.wire.accounts import KeyView, NewKeyView
    from local_server.wire.apis import ApiView

REFRESH_S = 10.0
GRACE_S = 3600
COLUMNS = (
    Column("name", "NAME", 8, 28),
    Column("state", "STATE", 9, 16),
    Column("prefix", "BEGINS", 12, 14, rank=4),
    Column("scopes", "MAY", 10, 11),
    Column("limit", "LIMIT", 8, 12, rank=2),
    Column("used", "LAST USED", 9, 10, right=True),
    Column("ends", "ENDS", 7, 10, right=True, rank=1),
    Column("cidrs", "ONLY FROM", 10, 40, rank=3),
)
STATES = {
    "active": Condition("●", "active", "ok"),
    "grace": Condition("◐", "replaced", "warn"),
    "expired": Condition("○", "expired", "dim"),
    "revoked": Condition("✗", "revoked", "dim"),
}


class KeysPane(Pane):
    def __init__(self, current: "Callable[[], ApiView | None]") -> None:
        super().__init__(current, id="keys")
        self._read_at: datetime | None = None

    def compose(self) -> ComposeResult:
        yield Rule(id="keys-head")
        yield LineTable["KeyView"](COLUMNS, lambda key: key.id, self._cell, id="keys-table")
        yield Static(
            Content.assemble(
                ("No keys\n\n", "bold"),
                ("Calls from this machine need none. ", "$dim"),
                ("n", "bold $primary"),
                (" makes one for somebody else.", "$dim"),
            ),
            classes="nothing",
        )

    @property
    def table(self) -> "LineTable[KeyView]":
        return self.query_one(LineTable)

    def on_mount(self) -> None:
        self.query_one(".nothing").display = False
        self.set_interval(REFRESH_S, self._refresh)
        self.set_interval(1.0, self._tick)

    def main(self) -> Widget:
        return self.table

    # -- Asking

    def opened(self) -> None:
        api = self.api
        if api is None:
            return
        kept = self.market.kept.get(("keys", api.id), list)
        if kept is not None:
            self._show(kept[0], kept[1])
        self._ask()

    def _refresh(self) -> None:
        if self.in_view:
            self._ask()

    def _tick(self) -> None:
        if self.in_view:
            self._show_head()
            self.table.refresh()

    def _ask(self) -> None:
        self.run_worker(self._load(), name="keys", group="keys", exclusive=True)

    async def _load(self) -> None:
        api = self.api
        if api is None:
            return
        keys = await attempt(self.market.backend.keys(api.name))
        if not self.standing:
            return
        if isinstance(keys, Trouble):
            self.report(keys)
            self.query_one(Rule).show(Content.styled(f"✗ {one_line(keys.detail)}", "$error"))
            return
        self.market.kept.put(("keys", api.id), keys)
        self._show(keys, self.market.clock())

    def _show(self, keys: "Sequence[KeyView]", at: datetime) -> None:
        self._read_at = at
        self.table.show_rows(keys)
        self.table.display = bool(keys)
        self.query_one(".nothing").display = not keys
        self._show_head()

    def _show_head(self) -> None:
        if self._read_at is None:
            return
        keys = self.table.rows
        forced = sum(key.state in ("active", "grace") for key in keys)
        told = f"{forced} in force" + (f" of {len(keys)}" if len(keys) != forced else "")
        age = Content.styled(f"as of {ago(self._read_at, self.market.clock())}", "$dim")
        self.query_one(Rule).show(Content.styled(told, "$foreground"), age)

    def _cell(self, key: "KeyView", column: str, width: int) -> Spans:
        now = self.market.clock()
        state = STATES.get(key.state) or Condition("?", one_line(key.state), "dim")
        gone = key.state in ("expired", "revoked")
        match column:
            case "name":
                return [(one_line(key.name) or NONE, "dim" if gone else "strong")]
            case "state":
                left = f" {span((key.grace_until - now).total_seconds())}" if key.grace_until and not gone else ""
                return [(state.text, state.tone), (left, "dim")]
            case "prefix":
                return [(f"{one_line(key.prefix)}…", "dim")]
            case "scopes":
                return [(" ".join(key.scopes), "dim" if gone else "text")]
            case "limit":
                return [(key.rate_limit or NONE, "text" if key.rate_limit else "dim")]
            case "used":
                return [(ago(key.last_used_at, now) if key.last_used_at else "never", "dim")]
            case "ends":
                return _ends(key, now)
            case _:
                return [(" ".join(key.cidrs) or "anywhere", "dim")]

    # -- Acting

    @property
    def selected(self) -> "KeyView | None":
        return self.table.selected if self.table.display else None

    def do_new_key(self) -> None:
        from apimarket_tui.screens.new_key import NewKeyScreen

        api = self.api
        if api is not None:
            self.app.push_screen(NewKeyScreen(api), self._made)

    def _made(self, made: "NewKeyView | None") -> None:
        from apimarket_tui.screens.new_key import KeyShownScreen

        if made is not None:
            self.app.push_screen(KeyShownScreen(made.key, made.info.api), lambda _: self._ask())
            self._ask()

    def do_rotate_key(self) -> None:
        from apimarket_tui.screens.confirm import ConfirmScreen

        key = self.selected
        if key is None:
            return
        if key.state != "active":
            self.market.tell(f"Only an active key is replaced; this one is {one_line(key.state)}", bad=True)
            return
        question = f"Replace {one_line(key.name) or one_line(key.prefix)}?"
        more = "A new key with the same rights is shown once; the old one stays in force for an hour more."
        self.app.push_screen(ConfirmScreen(question, more, "Replace"), lambda yes: self._rotate(key) if yes else None)

    def _rotate(self, key: "KeyView") -> None:
        async def rotate() -> None:
            made = await attempt(self.market.backend.rotate_key(key.id, GRACE_S))
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
                self._ask()

        self.run_worker(revoke(), name="revoke key")

    @on(LineTable.Chosen)
    def _chosen(self, event: LineTable.Chosen) -> None:
        event.stop()


def _ends(key: "KeyView", now: datetime) -> Spans:
    if key.revoked_at is not None:
        return [(ago(key.revoked_at, now), "dim")]
    if key.expires_at is None:
        return [("never", "dim")]
    left_s = (key.expires_at - now).total_seconds()
    if left_s <= 0:
        return [(ago(key.expires_at, now), "dim")]
    return [(f"in {span(left_s)}", "warn" if left_s < 86_400 else "text")]
