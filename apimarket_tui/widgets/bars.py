"""The lines around every screen: where you are, what is wrong, what you can press."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import events
from textual.content import Content
from textual.message import Message
from textual.style import Style
from textual.widget import Widget

from apimarket_tui.actions import Action, key_label
from apimarket_tui.clean import one_line

if TYPE_CHECKING:
    from local_server.wire.server import ServerView


@dataclass(frozen=True, slots=True)
class Standing:
    """What the top line says of the server."""

    server: "ServerView | None"
    url: str
    lost: str
    """`gone`, or another word for why it is of no use now; empty: it answers."""
    account: str = ""
    """`handle@host` of the session with another server."""
    marks: tuple[int, int, int] = (0, 0, 0)
    """Versions on their way, those that wait for a decision, and newer ones elsewhere."""
    confined: bool = False
    """It answers, and tells an account nothing of itself."""


MARKS = (("↑", "$warning"), ("✗", "$error"), ("↓", "$accent"))


class TopBar(Widget):
    """`apimarket › local          docker ●  gateway :8080 ●  ana`"""

    def __init__(self, trail: Sequence[str]) -> None:
        super().__init__()
        self._trail = tuple(trail)
        self._standing: Standing | None = None

    def show(self, standing: Standing) -> None:
        if standing != self._standing:
            self._standing = standing
            self.refresh()

    def set_trail(self, trail: Sequence[str]) -> None:
        self._trail = tuple(trail)
        self.refresh()

    def render(self) -> Content:
        left = Content.assemble(("apimarket", "bold $primary"))
        for index, step in enumerate(self._trail):
            style = "bold $foreground" if index == len(self._trail) - 1 else "$foreground"
            left += Content.assemble((" › ", "$dim"), (one_line(step), style))
        right = self._right()
        room = self.size.width - left.cell_length - right.cell_length
        if room < 2:
            left = left.truncate(max(self.size.width - right.cell_length - 2, 12), ellipsis=True)
            room = max(self.size.width - left.cell_length - right.cell_length, 1)
        return left + Content(" " * room) + right

    def _right(self) -> Content:
        standing = self._standing
        if standing is None:
            return Content.styled("connecting…", "$dim")
        port = standing.url.rstrip("/").rpartition(":")[2]
        where = f":{port}" if port.isdigit() else ""
        server = standing.server
        if standing.lost:
            return Content.assemble((f"gateway {where} ", "$foreground"), (f"✗ {standing.lost}", "$error"))
        if server is None and standing.confined:
            who = f"  {one_line(standing.account)}"
            return Content.assemble((f"gateway {where} ", "$foreground"), ("●", "$success"), (who, "$primary"))
        if server is None:
            return Content.styled("connecting…", "$dim")
        engine = one_line(server.engine)
        up = server.engine_available
        parts = Content.assemble(
            (f"{engine} ", "$foreground"), ("●" if up else "✗ down", "$success" if up else "$error")
        )
        if up and not server.isolated and self.size.width >= 72:
            parts += Content.styled(" no isolation", "$warning")
        parts += Content.assemble((f"  gateway {where} ", "$foreground"), ("●", "$success"))
        parts += Content.styled(f"  {one_line(server.owner)}", "$accent")
        for number, (sign, style) in zip(standing.marks, MARKS, strict=True):
            if number:
                parts += Content.styled(f"  {sign}{number}", style)
        if standing.account and self.size.width >= 100:
            parts += Content.styled(f" · {one_line(standing.account)}", "$primary")
        elif standing.account:
            parts += Content.styled(" ⇅", "$primary")
        return parts


class Banner(Widget):
    """One line across the screen for what is wrong with all of it; hidden while nothing is."""

    def __init__(self) -> None:
        super().__init__()
        self._text = ""
        self.display = False

    @property
    def text(self) -> str:
        return self._text

    def show(self, text: str) -> None:
        if text != self._text:
            self._text = text
            self.display = bool(text)
            self.refresh()

    def render(self) -> Content:
        return Content(f" ✗ {one_line(self._text)}").truncate(self.size.width, ellipsis=True)


class KeyBar(Widget):
    """As many keys as fit, `? help` always; each can be clicked."""

    def __init__(self) -> None:
        super().__init__()
        self._actions: Sequence[Action] = ()

    def show(self, actions: Sequence[Action]) -> None:
        if actions != self._actions:
            self._actions = actions
            self.refresh()

    class Pressed(Message):
        """A key of the bar was clicked."""

        def __init__(self, action_id: str) -> None:
            super().__init__()
            self.action_id = action_id

    def on_click(self, event: events.Click) -> None:
        action_id = event.style.meta.get(_CLICKED)
        if isinstance(action_id, str):
            self.post_message(self.Pressed(action_id))

    def render(self) -> Content:
        shown = [action for action in self._actions if action.bar and action.id != "help"]
        last = _key(next((action for action in self._actions if action.id == "help"), None))
        room = self.size.width - last.cell_length - 1
        line = Content(" ")
        for action in shown:
            key = _key(action)
            if line.cell_length + key.cell_length + 2 > room:
                break
            line += key + Content("  ")
        return line + Content(" " * max(0, room - line.cell_length)) + last


_CLICKED = "apimarket_action"
"""Textual's own `@click` would draw every key as an underlined link."""


def _key(action: Action | None) -> Content:
    if action is None:
        return Content("")
    key = key_label(action.keys[0])
    content = Content.assemble((key, "bold $primary"), (f" {action.title}", "$dim"))
    return content.stylize(Style.from_meta({_CLICKED: action.id}))


class Rule(Widget):
    """A thin line with a name in it, as between the table and the panel below."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._left: Content = Content("")
        self._right: Content = Content("")

    def show(self, left: Content, right: Content | None = None) -> None:
        self._left, self._right = left, right if right is not None else Content("")
        self.refresh()

    def render(self) -> Content:
        left = Content.styled("── ", "$rule") + self._left if self._left.plain else Content("")
        room = self.size.width - self._right.cell_length - (2 if self._right.plain else 0)
        left = left.truncate(max(room - 2, 4), ellipsis=True)
        if left.plain:
            left += Content(" ")
        line = left + Content.styled("─" * max(0, room - left.cell_length), "$rule")
        return line + Content(" ") + self._right + Content(" ") if self._right.plain else line
