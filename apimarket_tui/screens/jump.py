"""Letters on everything that can be gone to; one of them goes there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

LETTERS = "asdfghjklqwertyuiopzxcvbnm"


@dataclass(frozen=True, slots=True)
class Target:
    """A place on the screen, in cells from its corner, and what going there is."""

    x: int
    y: int
    go: Callable[[], object]


class JumpScreen(ModalScreen[Target]):
    """The result is where to go, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,ctrl+o", "leave", show=False)]

    def __init__(self, targets: Sequence[Target]) -> None:
        super().__init__()
        ordered = sorted(targets, key=lambda target: (target.y, target.x))
        self._targets = dict(zip(LETTERS, ordered, strict=False))

    def compose(self) -> ComposeResult:
        for letter, target in self._targets.items():
            label = Static(Content(letter), classes="jump")
            label.styles.offset = (target.x, target.y)
            yield label

    def on_key(self, event: events.Key) -> None:
        if event.key in self._targets:
            event.stop()
            self.dismiss(self._targets[event.key])

    def on_click(self) -> None:
        self.dismiss(None)

    def action_leave(self) -> None:
        self.dismiss(None)
