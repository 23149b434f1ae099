"""Every key, from the action registry."""

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from apimarket_tui.actions import ACTIONS, SCOPE_TITLES, key_label
from apimarket_tui.screens.frame import TooSmall, mind_size
from apimarket_tui.widgets.lines import LineView, TextLines
from apimarket_tui.words import Spans


class HelpScreen(ModalScreen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q", "dismiss", show=False)]

    def compose(self) -> ComposeResult:
        yield TooSmall()
        with Vertical(classes="dialog tall"):
            yield Static(Content.assemble(("Keys", "bold"), ("   esc closes · ↑↓ scroll", "$dim")), classes="more")
            yield LineView(id="keys")

    def on_mount(self) -> None:
        lines = TextLines(help_lines())
        view = self.query_one(LineView)
        view.show(lines, lines.widest)
        view.focus()

    def on_resize(self, event: events.Resize) -> None:
        mind_size(self, event.size.width, event.size.height)


def help_lines() -> list[Spans]:
    lines: list[Spans] = []
    for scope, title in SCOPE_TITLES.items():
        lines += [[(title, "strong")]] if not lines else [[], [(title, "strong")]]
        for action in ACTIONS:
            if action.scope == scope:
                keys = " ".join(key_label(key) for key in action.keys)
                lines.append([(f"  {keys:<14}", "primary"), (action.help, "text")])
    lines += [[], [("In lists", "strong")]]
    for keys, meaning in (
        ("↑ ↓ j k", "One line"),
        ("g G", "First, last"),
        ("pgup pgdn", "One page"),
        ("tab", "Next field"),
    ):
        lines.append([(f"  {keys:<14}", "primary"), (meaning, "text")])
    return lines
