"""The HTTP method: arrows, enter, a click or its first letter change it."""

from typing import ClassVar

from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
TONES = {"GET": "$success", "DELETE": "$error"}


class MethodPicker(Widget, can_focus=True):
    CHOICES: ClassVar[tuple[str, ...]] = METHODS

    method: reactive[str] = reactive("GET")

    class Changed(Message):
        """Another one is chosen."""

        def __init__(self, picker: "MethodPicker") -> None:
            super().__init__()
            self.picker = picker

        @property
        def control(self) -> "MethodPicker":
            return self.picker

    def __init__(self, chosen: str = "GET", *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.set_reactive(MethodPicker.method, chosen)

    def watch_method(self) -> None:
        self.post_message(self.Changed(self))

    def choose(self, method: str) -> None:
        """Any method may come from a log; one we do not offer is kept as it is if it is a plain word."""
        if method in METHODS or (method.isascii() and method.isalpha() and method.isupper()):
            self.method = method

    def _step(self, by: int) -> None:
        here = self.CHOICES.index(self.method) if self.method in self.CHOICES else 0
        self.method = self.CHOICES[(here + by) % len(self.CHOICES)]

    def on_key(self, event: events.Key) -> None:
        if event.key in ("down", "right", "enter", "space"):
            self._step(1)
        elif event.key in ("up", "left"):
            self._step(-1)
        elif event.character and event.character.isalpha() and (found := self._lettered(event.character)):
            self.method = found
        else:
            return
        event.stop()
        event.prevent_default()

    def _lettered(self, letter: str) -> str | None:
        """The next method that begins with this letter (POST, PUT and PATCH share one)."""
        here = self.CHOICES.index(self.method) if self.method in self.CHOICES else 0
        turned = self.CHOICES[here + 1 :] + self.CHOICES[: here + 1]
        return next((method for method in turned if method.upper().startswith(letter.upper())), None)

    def on_click(self) -> None:
        self._step(1)

    def render(self) -> Content:
        return Content.assemble((f" {self.method}", f"bold {TONES.get(self.method, '$warning')}"), (" ▾", "$dim"))
