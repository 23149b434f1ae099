"""A text to edit, taken only when nothing speaks against it."""

from collections.abc import Callable
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static, TextArea

from apimarket_tui.clean import clean, one_line
from apimarket_tui.edits import next_place
from apimarket_tui.screens.frame import TooSmall, mind_size


class EditScreen(ModalScreen[str]):
    """The result is the text, or None where it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", show=False, priority=True),
        Binding("ctrl+s", "take", show=False, priority=True),
        Binding("ctrl+n", "next_place", show=False, priority=True),
    ]

    def __init__(self, title: str, text: str, why_not: Callable[[str], str]) -> None:
        """`why_not` says why a text cannot be taken, or nothing."""
        super().__init__()
        self._title, self._text, self._why_not = title, text, why_not
        self._warned = False

    def compose(self) -> ComposeResult:
        yield TooSmall()
        with Vertical(classes="dialog tall"):
            yield Static(Content.styled(one_line(self._title), "bold"))
            more = "ctrl+n goes to the next two sides" if next_place(self._text, -1) is not None else "Written as JSON"
            yield Static(Content.styled(more, "$dim"))
            yield TextArea(self._text, show_line_numbers=True, tab_behavior="indent", id="edited")
            yield Static(id="why-not", classes="error")
            with Horizontal(classes="buttons"):
                yield Button(Content("Take it (ctrl+s)"), id="take", variant="primary", compact=True)
                yield Button(Content("Leave (esc)"), id="leave", compact=True)

    def on_mount(self) -> None:
        self._say("")
        self.area.focus()
        self.action_next_place()

    def on_resize(self, event: events.Resize) -> None:
        mind_size(self, event.size.width, event.size.height)

    @property
    def area(self) -> TextArea:
        return self.query_one(TextArea)

    def _say(self, text: str) -> None:
        line = self.query_one("#why-not", Static)
        line.display = bool(text)
        line.update(Content(clean(text)))

    @on(TextArea.Changed)
    def _changed(self) -> None:
        self._warned = False
        self._say("")

    def action_next_place(self) -> None:
        """Put the cursor where the next two sides begin."""
        line = next_place(self.area.text, self.area.cursor_location[0])
        if line is not None:
            self.area.cursor_location = (line, 0)
            self.area.scroll_cursor_visible(center=True)

    @on(Button.Pressed, "#take")
    def action_take(self) -> None:
        text = self.area.text
        why = self._why_not(text)
        if why:
            self._say(why)
            self.area.focus()
        else:
            self.dismiss(text)

    @on(Button.Pressed, "#leave")
    def action_leave(self) -> None:
        """What was typed is not thrown away by one key."""
        if self.area.text != self._text and not self._warned:
            self._warned = True
            self._say("What you typed is not taken yet: esc again throws it away, ctrl+s takes it")
        else:
            self.dismiss(None)
