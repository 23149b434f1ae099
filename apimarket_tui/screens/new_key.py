"""A key to an API is made here, and shown this once."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, cast

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from apimarket_tui.backend import Trouble, attempt
from apimarket_tui.clean import one_line
from apimarket_tui.lengths import length_of
from apimarket_tui.screens.form import Field, FieldError, FormScreen
from apimarket_tui.screens.frame import TooSmall, mind_size

if TYPE_CHECKING:
    from apimarket_tui.app import ApimarketApp
    from local_server.wire.accounts import NewKeyView
    from local_server.wire.apis import ApiView


class NewKeyScreen(FormScreen["NewKeyView"]):
    HEADING = "New key"
    VERB = "Make it"

    def __init__(self, api: "ApiView") -> None:
        super().__init__()
        self._api = api
        self._sent_as = ""
        self._ends_at: datetime | None = None

    def about(self) -> Content:
        return Content.styled(f"Who has it may call {one_line(self._api.name)} from elsewhere.", "$dim")

    def fields(self) -> Sequence[Field]:
        return (
            Field("name", "Name", "what it is for"),
            Field("scopes", "May", "read write", "read write"),
            Field("ends", "Ends in", "never, or as: 30d"),
            Field("limit", "Limit", "the manifest's, or as: 600/min"),
            Field("cidrs", "Only from", "anywhere, or networks as: 10.0.0.0/8"),
        )

    async def submit(self, typed: Mapping[str, str]) -> "NewKeyView | Trouble":
        from local_server.wire.accounts import CreateKey

        try:
            lasts = length_of(typed["ends"]) if typed["ends"] else None
        except ValueError as error:
            raise FieldError("ends", str(error)) from None
        once = self.once.key_for(typed)
        if once != self._sent_as:
            # Sent again it must be the very same: not with an end that moved on.
            self._sent_as, self._ends_at = once, self.market.clock() + lasts if lasts else None
        wanted = CreateKey(
            name=typed["name"],
            scopes=typed["scopes"].replace(",", " ").split(),
            cidrs=typed["cidrs"].replace(",", " ").split(),
            expires_at=self._ends_at,
            rate_limit=typed["limit"] or None,
        )
        answer = await attempt(self.market.backend.create_key(self._api.name, wanted, once))
        if isinstance(answer, Trouble):
            raise FieldError(_field_of(answer), answer.text) from None
        return answer


def _field_of(trouble: Trouble) -> str:
    """The server names the field it refuses."""
    named = {"rate_limit": "limit", "expires_at": "ends"}
    field = str(trouble.extra.get("field", ""))
    field = named.get(field, field)
    return field if field in ("name", "scopes", "ends", "limit", "cidrs") else "cidrs"


class KeyShownScreen(ModalScreen[None]):
    """Holds the key as long as it is open, and nobody does after that."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "leave", show=False),
        Binding("y,c", "copy", show=False),
    ]

    def __init__(self, key: str, api: str) -> None:
        super().__init__()
        self._key, self._to = key, api

    def compose(self) -> ComposeResult:
        yield TooSmall()
        with Vertical(classes="dialog"):
            yield Static(Content.styled(f"Key to {one_line(self._to)}", "bold"))
            yield Static(
                Content.styled("Keep it now: it is not stored, and cannot be shown again.", "$warning"), classes="more"
            )
            yield Static(Content.styled(one_line(self._key), "bold $primary"), id="key")
            yield Static(Content.styled("Send it as  Authorization: Bearer KEY  or  X-Api-Key: KEY", "$dim"), id="how")
            with Horizontal(classes="buttons"):
                yield Button(Content("Copy (y)"), variant="primary", id="copy", compact=True)
                yield Button(Content("Close (esc)"), id="close", compact=True)

    def on_mount(self) -> None:
        self.query_one("#copy").focus()

    def on_resize(self, event: events.Resize) -> None:
        mind_size(self, event.size.width, event.size.height)

    @on(Button.Pressed, "#copy")
    def action_copy(self) -> None:
        market = cast("ApimarketApp", self.app)
        market.copy_to_clipboard(self._key)
        market.tell("copied the key")

    @on(Button.Pressed, "#close")
    def action_leave(self) -> None:
        self._key = ""
        self.query_one("#key", Static).update("")
        cast("ApimarketApp", self.app).forget_copied()
        self.dismiss(None)
