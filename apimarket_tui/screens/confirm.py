"""A question before something is lost."""

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from apimarket_tui.clean import clean
from apimarket_tui.screens.frame import TooSmall, mind_size


class ConfirmScreen(ModalScreen[bool]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n", "answer(False)", "no", show=False),
        Binding("y", "answer(True)", "yes", show=False),
        Binding("left,right", "app.focus_next", show=False),
    ]

    def __init__(self, question: str, more: str, verb: str, stay: str = "Keep") -> None:
        """`verb` is what yes does, `stay` what no does."""
        super().__init__()
        self._question, self._more, self._verb, self._stay = question, more, verb, stay

    def compose(self) -> ComposeResult:
        yield TooSmall()
        with Vertical(classes="dialog"):
            yield Static(Content.styled(clean(self._question), "bold"))
            yield Static(Content.styled(clean(self._more), "$dim"), classes="more")
            with Horizontal(classes="buttons"):
                yield Button(Content(f"{self._verb} (y)"), variant="error", id="yes", compact=True)
                yield Button(Content(f"{self._stay} (esc)"), id="no", compact=True)

    def on_mount(self) -> None:
        self.query_one("#no", Button).focus()

    def on_resize(self, event: events.Resize) -> None:
        mind_size(self, event.size.width, event.size.height)

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")
