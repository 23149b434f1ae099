"""The line that opens at the bottom: `/` filters or finds, `:` commands."""

from collections.abc import Sequence
from typing import Literal

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.suggester import SuggestFromList
from textual.widgets import Input, Static

from apimarket_tui.clean import one_line

Kind = Literal["filter", "find", "command", "generation", "version", "fork", "ask"]
SIGNS: dict[Kind, str] = {
    "filter": "/",
    "find": "/",
    "command": ":",
    "generation": "g",
    "version": "v",
    "fork": "→",
    "ask": "?",
}
PLACEHOLDERS: dict[Kind, str] = {
    "filter": "name, language, state or tag",
    "find": "text in the log",
    "generation": "which generation to compare with, as: 13",
    "version": "the version's number, as: 1.2.0; nothing: the next",
    "fork": "the name under which mine goes on",
    "ask": "",
    "command": "a command, as: logs NAME",
}


class Prompt(Horizontal):
    class Typed(Message):
        def __init__(self, kind: Kind, text: str) -> None:
            super().__init__()
            self.kind, self.text = kind, text

    class Entered(Message):
        def __init__(self, kind: Kind, text: str) -> None:
            super().__init__()
            self.kind, self.text = kind, text

    class Closed(Message):
        """Left with esc."""

        def __init__(self, kind: Kind) -> None:
            super().__init__()
            self.kind = kind

    def __init__(self) -> None:
        super().__init__()
        self.kind: Kind = "filter"
        self.display = False

    def compose(self) -> ComposeResult:
        yield Static("", id="sign")
        yield Input(compact=True, select_on_focus=False, id="typed")
        yield Static("", id="note")

    def open(self, kind: Kind, text: str = "", suggestions: Sequence[str] = (), note: str = "") -> None:
        self.kind = kind
        self.display = True
        text = one_line(text)
        self.query_one("#sign", Static).update(Content.styled(SIGNS[kind], "bold $primary"))
        self.note(note)
        field = self.query_one("#typed", Input)
        field.suggester = SuggestFromList(list(suggestions), case_sensitive=False) if suggestions else None
        field.placeholder = PLACEHOLDERS[kind]
        with self.prevent(Input.Changed):
            field.value = text
        field.cursor_position = len(text)
        field.focus()

    def close(self) -> None:
        self.display = False

    def note(self, text: str, bad: bool = False) -> None:
        """A word at the right end: how many match, or why a command is refused."""
        self.query_one("#note", Static).update(Content.styled(one_line(text), "$error" if bad else "$dim"))

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Typed(self.kind, event.value))

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Entered(self.kind, event.value))

    def on_key(self, event: events.Key) -> None:
        if event.key == "escape":
            event.stop()
            event.prevent_default()
            self.post_message(self.Closed(self.kind))
